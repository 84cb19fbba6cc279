"""`grambench run` that cannot do what it is asked: one sentence and an exit code."""

import subprocess
from pathlib import Path

import pytest
from live_runs import Bench, Command, complaint, grambench, report_of

from grambench.config.data import SyntheticData
from grambench.domains.news.synthetic import generate

pytestmark = pytest.mark.usefixtures("begun")  # test_run_report.py's run trains in the meantime


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--preset", "dmo"), "Did you mean 'demo'?"),
        (("--preset", "no/such.toml"), "does not exist"),
        (("--set", "training.epoch=3"), "Did you mean 'training.epochs'?"),
        (("--set", "training.batch_size=-1"), "training.batch_size: must be at least 1, not -1"),
        (("--strategies", "gram-0s"), "unknown strategy 'gram-0s'"),
        (("--data-dir", "."), "generates its data"),
    ],
)
def test_a_wrong_setting_is_one_sentence_and_exit_code_2(
    bench: Bench, arguments: tuple[str, ...], words: str
) -> None:
    ended = bench.run(*arguments).wait()
    assert (ended.code, ended.out) == (2, "")
    assert words in complaint(ended.err)
    assert ended.err.count("\n") == 1


def test_a_missing_data_folder_is_exit_code_3(bench: Bench, tmp_path: Path) -> None:
    ended = bench.start("run", "--preset", "mind-small", "--data-dir", tmp_path / "absent").wait()
    assert (ended.code, ended.out) == (3, "")
    assert f"data   The data folder {tmp_path}/absent does not exist.\n" in ended.err
    assert "Use --data-dir with a folder that holds train/ and dev/" in complaint(ended.err.splitlines()[-1])


def test_a_model_that_nothing_can_fetch_is_exit_code_4_before_anything_is_created(bench: Bench) -> None:
    ended = bench.run(
        *("--set", "encoder.model=nobody/not-in-the-cache", "--set", "filter.nrms.heads=1")
    ).wait()
    assert (ended.code, ended.out) == (4, "")
    assert "model  The model 'nobody/not-in-the-cache' is not in the Hugging Face cache" in ended.err
    assert "Run `hf download nobody/not-in-the-cache`" in complaint(ended.err.splitlines()[-1])


def test_data_that_were_never_fetched_are_exit_code_3_with_the_command(bench: Bench) -> None:
    ended = bench.start("run", "--preset", "mind-small").wait()
    assert (ended.code, ended.out) == (3, "")
    *screen, last = ended.err.splitlines()
    assert "         grambench data prepare mind-small" in screen
    assert "         hf download nreimers/TinyBERT_L-6_H-768_v2" in screen
    assert complaint(last).startswith("mind-small cannot start without its data and model: see above.")
    assert not [*bench.folder.glob("**/mind-small-2*")]


@pytest.fixture(scope="module")
def failures(bench: Bench) -> dict[str, Command]:
    """Runs whose setup fails, all at once."""
    folder = bench.folder / "mind"
    generate(SyntheticData(news=60, users=40, train_impressions=50, dev_impressions=20), folder)
    behaviors = folder / "train" / "behaviors.tsv"
    lines = behaviors.read_text().split("\n")
    lines[2] = "3\tU1\tno time"
    behaviors.write_text("\n".join(lines))
    mind = ("--set", "data.source=mind", "--data-dir", folder)
    return {
        "device": bench.run("--device", "cuda"),
        "data": bench.run(*mind),
    }


@pytest.mark.parametrize(
    ("case", "code", "words"),
    [
        ("device", 4, "--device cuda: torch"),
        ("data", 3, "train/behaviors.tsv:3: "),
    ],
)
def test_a_setup_that_fails_says_why_and_leaves_a_partial_report(
    failures: dict[str, Command], case: str, code: int, words: str
) -> None:
    ended = failures[case].wait()
    assert ended.code == code
    assert words in complaint(ended.err)
    assert ended.out.startswith("report: ")
    report = report_of(failures[case].run)
    assert report["partial"]
    assert report["run"]["exit_code"] == code
    assert any(
        sentence.startswith("The setup failed: ") and words in sentence for sentence in report["missing"]
    )
    assert all(trial["phase"] is None for trial in report["trials"])


def test_a_closed_pipe_prints_no_traceback(bench: Bench) -> None:
    ended = subprocess.run(
        "set -o pipefail; grambench presets mind-small --json | head -1",
        shell=True,
        executable="/bin/bash",
        capture_output=True,
        text=True,
        env=bench.environment | {"PATH": f"{Path(grambench()).parent}:/usr/bin:/bin"},
        timeout=600,
        check=False,
    )
    assert (ended.stdout, ended.stderr) == ("{\n", "")
