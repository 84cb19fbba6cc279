"""`grambench compare`, `merge` and `--fail-on`: output, exit codes, and what is refused before a run."""

import json
from pathlib import Path
from typing import NamedTuple

import pytest
import typer
from report_logs import HOST, write_seeds
from typer.testing import CliRunner

from grambench.cli import app as command_line
from grambench.cli.fail_on import parsed
from grambench.cli.follow import finish
from grambench.errors import ExitCode


class Ended(NamedTuple):
    code: int
    out: str
    err: str


def call(*arguments: str | Path) -> Ended:
    """A command in this process; a user's error gives its sentence and its exit code."""
    done = CliRunner().invoke(command_line.app, [str(each) for each in arguments])
    error = done.exception
    code = getattr(error, "exit_code", done.exit_code)
    assert code != ExitCode.BUG, done.output
    return Ended(
        int(code), done.stdout, done.stderr + ("" if isinstance(error, SystemExit) else str(error or ""))
    )


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    write_seeds(folder / "old", (0, 1, 2))
    write_seeds(folder / "new", (0, 1, 2), epoch_s=5.0)
    write_seeds(folder / "elsewhere", (3, 4, 5), host=HOST | {"cpu_model": "Intel Xeon"})
    return folder


def test_compare_prints_environment_trials_and_changes(runs: Path) -> None:
    ended = call("compare", "old", "new", "--out", runs)
    assert (ended.code, ended.err) == (0, "")
    assert "Machines, software and engines are the same." in ended.out
    assert "0.80× [0.80, 0.80]" in ended.out
    assert "as good" in ended.out


def test_compare_prints_one_json_document(runs: Path) -> None:
    (runs / "old.json").write_text(call("report", "old", "--out", runs).out)
    ended = call("compare", runs / "old.json", "new", "--out", runs, "--json")
    document = json.loads(ended.out)
    assert [run["name"] for run in document["runs"]] == ["old", "new"]
    assert document["labels"][1]["changes"][0]["cost"]["ratio"] == pytest.approx(0.8)


def test_reports_of_two_machines_are_refused_with_exit_code_8(runs: Path) -> None:
    ended = call("compare", "old", "elsewhere", "--out", runs)
    assert (ended.code, ended.out) == (8, "")
    assert ended.err == (
        "The runs differ in CPU: AMD EPYC in old, Intel Xeon in elsewhere."
        " Compare runs of one machine, or give --across-hardware and trust the scores only."
    )
    allowed = call("compare", "old", "elsewhere", "--out", runs, "--across-hardware")
    assert allowed.code == 0
    table, changes = allowed.out.index("Intel Xeon"), allowed.out.index("samples/s")
    assert table < changes
    assert "have no seed in common" in allowed.out


def test_merge_prints_a_verdict_and_writes_the_document(runs: Path, tmp_path: Path) -> None:
    ended = call("merge", "old", "elsewhere", "--runs", runs, "--out", tmp_path / "all.json")
    assert (ended.code, ended.err) == (0, "")
    assert "AUC +.010" in ended.out
    assert "6 seeds" in ended.out
    document = json.loads((tmp_path / "all.json").read_text())
    assert document["comparisons"][0]["quality"]["seeds"] == 6
    assert call("merge", "old", "elsewhere", "--runs", runs, "--json").out.startswith("{")
    absent = call("merge", "old", "elsewhere", "--runs", runs, "--out", tmp_path / "absent" / "all.json")
    assert absent.code == ExitCode.ENVIRONMENT


@pytest.mark.parametrize(
    ("condition", "code", "line"),
    [
        ("speedup.gram-1s < 5", 6, "speedup.gram-1s < 5: it is 1.98"),
        ("speedup.gram-1s < 1", 0, ""),
        (
            "auc.e2e < 1 and grade.kept >= 0",
            6,
            "auc.e2e < 1 and grade.kept >= 0: auc.e2e is 0.65, grade.kept is",
        ),
        ("change.samples_per_s.gram-1s < .9", 6, "change.samples_per_s.gram-1s < .9: it is 0.8"),
        ("change.auc.gram-1s < -.01", 0, ""),
        ("speedup.gram-1 < 5", 2, "Did you mean speedup.gram-1s"),
        ("speedup.e2e < 5", 2, "speedup.e2e has no value: it is the reference."),
        ("speedup.gram-1s << 5", 2, "needs one of"),
    ],
)
def test_a_condition_that_holds_exits_with_6(runs: Path, condition: str, code: int, line: str) -> None:
    ended = call("compare", "old", "new", "--out", runs, "--fail-on", condition)
    assert ended.code == code
    assert line in ended.err
    if not condition.startswith("change"):
        reported = call("report", "new", "--out", runs, "--format", "markdown", "--fail-on", condition)
        assert (reported.code, reported.err) == (ended.code, ended.err)


def test_every_condition_that_holds_has_its_line_and_its_run(runs: Path) -> None:
    conditions = ("--fail-on", "auc.e2e > 0", "--fail-on", "difference.gram-1s > 0")
    ended = call("compare", "old", "new", "elsewhere", "--across-hardware", "--out", runs, *conditions)
    assert ended.code == 6
    assert [line.partition(" ")[0] for line in ended.err.splitlines()] == [
        "new:", "new:", "elsewhere:", "elsewhere:",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--fail-on", "speedup.gram-2s < 5"), "Unknown name speedup.gram-2s"),
        (("--fail-on", "speedup.gram-1s <"), "needs a number"),
        (("--fail-on", "speedup.gram-1s < 5", "--detach"), "--detach does not wait for"),
    ],
)
def test_run_refuses_a_condition_before_it_begins(
    tmp_path: Path, options: tuple[str, ...], words: str
) -> None:
    ended = call("run", "--preset", "demo", "--out", tmp_path / "runs", *options)
    assert ended.code == ExitCode.USAGE
    assert words in ended.err
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("exit_code", "condition", "code"),
    [(0, "speedup.gram-1s < 5", 6), (0, "speedup.gram-1s > 5", 0), (5, "speedup.gram-1s < 5", 5)],
)
def test_a_run_ends_with_6_only_if_it_would_have_ended_with_0(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], exit_code: int, condition: str, code: int
) -> None:
    folder = write_seeds(tmp_path / "a", (0,), exit_code=exit_code)
    with pytest.raises(typer.Exit) as ended:
        finish(folder, as_json=True, left=None, fail_on=parsed([condition]))
    assert ended.value.exit_code == code
    assert (f"{condition}: it is 2.5" in capsys.readouterr().err) is (code == 6)
