"""Prediction files of a run: MIND's own evaluation of them gives the report's numbers."""

import json
import shutil
import zipfile
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from live_runs import Bench, Ended, report_of

from grambench.config.data import SyntheticData
from grambench.domains.news.synthetic import generate
from grambench.errors import ExitCode

Floats = npt.NDArray[np.floating]


@pytest.fixture(scope="module")
def data(bench: Bench) -> Path:
    """Train and dev with labels, test without."""
    folder = bench.folder / "predicted"
    generate(SyntheticData(news=80, users=60, train_impressions=200, dev_impressions=40, topics=4), folder)
    shutil.copytree(folder / "dev", folder / "test")
    behaviors = folder / "test" / "behaviors.tsv"
    behaviors.write_text(behaviors.read_text().replace("-0", "").replace("-1", ""))
    return folder


@pytest.fixture(scope="module")
def ended(bench: Bench, data: Path) -> Ended:
    asked = ("--set", "data.source=mind", "--data-dir", data, "--strategies", "gram-1s", "--predictions")
    return bench.run(*asked, "--foreground", "--set", "training.epochs=1").wait()


@pytest.fixture(scope="module")
def run(ended: Ended, bench: Bench) -> Path:
    assert ended.code == 0, ended.err
    return bench.commands[-1].run


def official(predictions: Path, behaviors: Path) -> list[float]:
    """AUC, MRR, nDCG@5 and nDCG@10, in the steps of MIND's evaluate.py: a score is 1 / rank."""
    labels = {}
    for line in behaviors.read_text().splitlines():
        fields = line.split("\t")
        labels[fields[0]] = np.array([int(word[-1]) for word in fields[4].split()])
    rows = []
    for line in lines_of(predictions):
        id_, ranks = line.split(" ")
        truth, scores = labels[id_], 1 / np.array(json.loads(ranks))
        if 0 < truth.sum() < len(truth):
            by_rank = truth[np.argsort(scores)[::-1]]
            mrr = np.sum(by_rank / np.arange(1, len(truth) + 1)) / truth.sum()
            rows.append((_auc(truth, scores), mrr, *(_ndcg(by_rank, k) for k in (5, 10))))
    return list(np.mean(rows, axis=0))


def _auc(truth: npt.NDArray[np.int64], scores: Floats) -> float:
    return float(np.mean(scores[truth == 1][:, None] > scores[truth == 0]))


def _ndcg(by_rank: npt.NDArray[np.int64], most: int) -> float:
    discount = 1 / np.log2(np.arange(2, len(by_rank) + 2))
    ideal = np.sort(by_rank)[::-1]
    return float((by_rank * discount)[:most].sum() / (ideal * discount)[:most].sum())


def lines_of(predictions: Path) -> list[str]:
    with zipfile.ZipFile(predictions) as archive:
        assert archive.namelist() == ["prediction.txt"]
        return archive.read("prediction.txt").decode().splitlines()


def test_the_official_evaluation_of_the_file_gives_the_scores_of_the_report(run: Path, data: Path) -> None:
    test = report_of(run)["trials"][0]["test"]
    found = official(run / "gram-1s.s0/predictions/test.zip", data / "dev" / "behaviors.tsv")
    assert found == pytest.approx(
        [test["auc"], test["mrr"], test["ndcg_at_5"], test["ndcg_at_10"]], abs=1e-12
    )


def test_a_part_without_labels_is_scored_likewise_and_the_report_says_that_it_was_not_evaluated(
    run: Path, ended: Ended
) -> None:
    folder = run / "gram-1s.s0" / "predictions"
    assert lines_of(folder / "unlabelled-test.zip") == lines_of(folder / "test.zip")  # the same impressions
    written = {each["part"]: each for each in report_of(run)["trials"][0]["predictions"]}
    assert [(name, each["labelled"], each["rows"]) for name, each in written.items()] == [
        ("test", True, 40),
        ("unlabelled-test", False, 40),
    ]
    assert "unlabelled-test.zip, 40 rows, without labels: never evaluated" in ended.out


def test_the_best_weights_give_the_same_files_afterwards(
    run: Path, tmp_path: Path, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    from grambench.worker.predict import main

    monkeypatch.setenv("GRAMBENCH_CACHE", bench.environment["GRAMBENCH_CACHE"])
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    assert main(run, "gram-1s.s0", tmp_path) == 0
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before
    for path in (run / "gram-1s.s0" / "predictions").iterdir():
        assert (tmp_path / path.name).read_bytes() == path.read_bytes()


def test_changed_data_are_refused(
    run: Path,
    data: Path,
    tmp_path: Path,
    bench: Bench,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from grambench.worker.predict import main

    monkeypatch.setenv("GRAMBENCH_CACHE", bench.environment["GRAMBENCH_CACHE"])
    with (data / "dev" / "news.tsv").open("a") as news:
        news.write("N999999\tnews\tnews\tlate\t\t\t[]\t[]\n")
    assert main(run, "gram-1s.s0", tmp_path) == ExitCode.DATA
    assert "have changed since the run prepared them" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
