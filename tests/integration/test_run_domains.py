"""`grambench run` of both domains with every baseline: real workers, generated data, reports."""

from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from live_runs import Bench, Command, strict_json

pytestmark = pytest.mark.slow

TRACING = """
name = "tiny-kt"
cpu_threads = 1

[data]
source = "synthetic-answers"
dataset = "tiny-kt"
validation = "users"
validation_share = 0.2
cold_items = 15
fields = { title = 16 }
synthetic_answers = { items = 60, students = 120, answers_mean = 12.0, skills = 4 }

[encoder]
pooling = "mean"
architecture = { hidden_size = 16, layers = 1, heads = 2, intermediate_size = 32 }

[language_model]
architecture = { hidden_size = 16, layers = 1, heads = 2, positions = 64 }

[filter]
sequence = 10
lstm = { layers = 1, dropout = 0.0 }

[training]
epochs = 2
batch_size = 32
"""
GRAM = ("e2e", "gram-1s", "gram-2s", "gram-1e", "gram-auto")
TEXTLESS = ("nofinetune", "nocontent", "crcf-1s", "crcf-1e")


def word_vectors(folder: Path) -> Path:
    """A few common words; the rest of the vocabulary is drawn."""
    path = folder / "vectors.txt"
    words = ("the", "of", "to", "in", "easy", "hard", "find", "report", "city", "plan")
    path.write_text("".join(f"{word} {n / 10} .5 -.25 {-n / 7:.4f}\n" for n, word in enumerate(words)))
    return path


def started(bench: Bench, preset: Path, strategies: tuple[str, ...], *settings: str) -> Command:
    vectors = word_vectors(bench.folder)
    changes = [f"words.vectors={vectors}", "words.width=16", *settings]
    arguments = [word for change in changes for word in ("--set", change)]
    return bench.start("run", "--json", "--preset", preset, "--strategies", ",".join(strategies), *arguments)


@pytest.fixture(scope="module")
def commands(bench: Bench) -> dict[str, Command]:
    path = bench.folder / "tiny-kt.toml"
    path.write_text(TRACING)
    return {
        "knowledge-tracing": started(bench, path, (*GRAM, *TEXTLESS, "eernn", "lm-kt")),
        "news": started(
            bench, bench.preset, ("gram-1s", *TEXTLESS, "nrms", "speedyfeed"), "filter.nrms.heads=2"
        ),
    }


@pytest.fixture(scope="module", params=["knowledge-tracing", "news"])
def report(request: pytest.FixtureRequest, commands: dict[str, Command]) -> dict[str, Any]:
    ended = commands[request.param].wait()
    assert ended.code == 0, ended.err
    document: dict[str, Any] = strict_json(ended.out)
    return document


def test_every_system_of_the_domain_ends_with_a_scored_test_part(
    report: dict[str, Any], bench: Bench
) -> None:
    schema = strict_json(bench.call("report", "--schema").out)
    jsonschema.validate(report, schema, jsonschema.Draft202012Validator)
    assert (report["run"]["exit_code"], report["partial"]) == (0, False)
    tracing = report["run"]["preset"].endswith("tiny-kt.toml")
    for trial in report["trials"]:
        assert trial["outcome"] == "completed", trial
        assert len(trial["validations"]) == 2
        test = trial["test"]
        assert 0 < test["auc"] < 1
        assert (test["mrr"] is None) == tracing == (test["csauc"] is not None)
        if tracing:
            assert test["csauc_low"] <= test["csauc"] <= test["csauc_high"]
    assert report["audit"]["equivalent"]


@pytest.mark.parametrize("domain", ["knowledge-tracing", "news"])
def test_every_system_keeps_its_test_scores_of_the_same_users(
    domain: str, commands: dict[str, Command]
) -> None:
    trials = strict_json(commands[domain].wait().out)["trials"]
    kept = [np.load(commands[domain].run / trial["name"] / "test_scores.npz") for trial in trials]
    users = kept[0]["clusters"]
    assert len(np.unique(users)) > 10
    for trial, scores in zip(trials, kept, strict=True):
        assert np.array_equal(scores["clusters"], users)
        assert len(users) == trial["test"]["impressions"]
        mean = 0.0 if domain == "knowledge-tracing" else trial["test"]["auc"]  # influences add up to nothing
        assert np.nanmean(scores["values"]) == pytest.approx(mean, abs=1e-6)
        assert np.isnan(scores["values"]).sum() == trial["test"]["skipped"]


def test_single_step_follows_e2e_on_answers(commands: dict[str, Command]) -> None:
    ended = commands["knowledge-tracing"].wait()
    trials = {trial["strategy"]: trial for trial in strict_json(ended.out)["trials"]}
    pairs = zip(trials["e2e"]["validations"], trials["gram-1s"]["validations"], strict=True)
    assert all(first["auc"] == pytest.approx(second["auc"], abs=1e-4) for first, second in pairs)
    assert trials["nocontent"]["plan"]["encoder_parameters"] == 60 * 16


def test_markdown_shows_the_scores_of_the_domain(commands: dict[str, Command], bench: Bench) -> None:
    for domain, column in (("knowledge-tracing", "CSAUC"), ("news", "nDCG@10")):
        commands[domain].wait()
        shown = bench.call("report", commands[domain].run, "--format", "markdown")
        assert shown.code == 0
        assert f"| {column} |" in shown.out


def test_a_system_of_the_other_domain_is_exit_code_2(bench: Bench) -> None:
    ended = bench.run("--strategies", "eernn").wait()
    assert ended.code == 2
    assert "eernn is a system for knowledge-tracing, but the data is news" in ended.err


def test_a_suite_prints_the_papers_figures_and_ours_and_why_a_cell_is_blank(
    commands: dict[str, Command], bench: Bench
) -> None:
    preset = bench.folder / "tiny-kt.toml"
    arguments = (
        "--datasets",
        f"{preset},duolingo-es",
        "--strategies",
        "e2e,nocontent",
        "--out",
        "suite-runs",
    )
    ended = bench.start("suite", "table4", *arguments, "--set", "training.epochs=1").wait()
    assert ended.code == 0, ended.err
    ours, papers = ended.out.split("duolingo-es", 1)
    (row,) = [line.split() for line in ours.splitlines() if line.startswith(" nocontent")]
    auc, csauc, faster = float(row[2]), float(row[4]), float(row[6])
    assert 0 < auc < 100
    assert 0 < csauc < 100
    assert faster > 0  # which of two trials of some milliseconds is faster depends on the machine's load
    assert "left out by --strategies" in ours
    (row,) = [line.split() for line in papers.splitlines() if line.startswith(" gram-1e")]
    assert row[1::2] == ["74.7", "67.0", "5.7", "–"]
    assert set(row[2::2]) == {"–"}
    assert "10.7910/DVN/8SWHNO" in papers

    before = sorted((bench.folder / "suite-runs").iterdir())
    again = (
        "suite",
        "table4",
        *arguments[:-2],
        "--resume",
        "suite-runs",
        "--set",
        "training.epochs=1",
        "--json",
    )
    resumed = bench.call(*again)
    assert (resumed.code, sorted((bench.folder / "suite-runs").iterdir())) == (0, before)
    assert " is done in " in resumed.err
    document = strict_json(resumed.out)
    assert [document[key] for key in ("suite", "exit_code", "files")] == ["table4", 0, []]
    rows = {(row["preset"], row["system"]): row for row in document["rows"]}
    measures = rows[str(preset), "nocontent"]["measures"]
    assert f"{measures['AUC']['ours']:.2f}" == f"{auc:.2f}"
    assert rows["duolingo-es", "gram-1e"]["measures"]["speed-up"] == {"paper": 5.7, "ours": None}
    assert rows[str(preset), "gram-1s"]["reason"] == "left out by --strategies"


def test_a_plan_probes_a_few_steps_and_trains_nothing_to_its_end(
    commands: dict[str, Command], bench: Bench
) -> None:
    preset = bench.folder / "tiny-kt.toml"
    ended = bench.start(
        "suite", "table4", "--plan", "--datasets", preset, "--strategies", "nocontent", "--out", "plan-runs"
    ).wait()
    assert ended.code == 0, ended.err
    (row,) = [line for line in ended.out.splitlines() if " nocontent " in line]
    assert row.count(":") == 2
    assert "left out by --strategies" in ended.out


def test_a_folder_without_its_preset_is_refused(bench: Bench) -> None:
    ended = bench.call("suite", "table5", "--data-dir", "somewhere")
    assert ended.code == 2
    assert "Write --data-dir PRESET=DIR." in ended.err


def test_a_table_of_impressions_is_trained_on(bench: Bench) -> None:
    folder = bench.folder / "tables"
    folder.mkdir()
    titles = "".join(f"N{n}\tstory {n} of the {('town', 'sea', 'moon')[n % 3]}\n" for n in range(30))
    (folder / "items.tsv").write_text(f"id\ttitle\n{titles}")
    rows = (
        f"U{n % 20}\tN{n % 30} N{(n + 3) % 30}\tN{(n + 6) % 30}-1 N{(n + 1) % 30}-0\t150{n:03}0000\n"
        for n in range(300)
    )
    (folder / "impressions.tsv").write_text(f"user\thistory\tcandidates\ttime\n{''.join(rows)}")
    ended = bench.run(
        *("--json", "--strategies", "gram-1s,gram-1e", "--data-dir", folder),
        *("--set", "data.source=news-tables", "--set", "data.dataset=mine"),
    ).wait()
    assert ended.code == 0, ended.err
    report = strict_json(ended.out)
    assert report["data"]["counts"]["test"]["impressions"] == 60
    assert all(0 < trial["test"]["auc"] < 1 for trial in report["trials"])
