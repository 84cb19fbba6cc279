"""Which runs a suite uses again, and the curves of Figure 4."""

import csv
from pathlib import Path

import pytest

from grambench.cli import suite_runs
from grambench.cli.suite_figures import COLUMNS, write_figures
from grambench.cli.suite_runs import PresetResults, Settings, results
from grambench.errors import ExitCode
from grambench.events import types as ev
from grambench.events.journal import Journal
from grambench.reports.read import read_report
from grambench.reports.suites import FIGURE_4, Row, Suite
from grambench.runner.rundir import create_run, list_runs

RACE = Path(__file__).parents[2] / "kept_runs" / "report-2" / "demo-race" / "report.json"
SUITE = Suite("T", ("demo",), (Row("e2e", "e2e"),), (), {}, {})


def settings(out: Path, *words: str) -> Settings:
    return Settings.of([], list(words), out, resume=True)


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Folders whose supervisor was started; each run ends at once."""
    found: list[Path] = []

    class Follow:
        def __init__(self, folder: Path) -> None:
            self.folder, self.supervisor, self.left = folder, None, None

        def __enter__(self) -> "Follow":
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def watch(self, mode: str) -> None:
            found.append(self.folder)
            finish(self.folder, ExitCode.OK)

    monkeypatch.setattr(suite_runs, "Follow", Follow)
    monkeypatch.setattr(suite_runs, "start_supervisor", lambda folder: None)
    return found


def finish(folder: Path, code: ExitCode) -> None:
    with Journal(folder / "supervisor.jsonl") as journal:
        journal.append(ev.RunFinished(int(code), 1.0))


def kept(out: Path, *words: str, code: ExitCode | None = None) -> Path:
    folder = create_run(
        suite_runs._spec("demo", ["e2e"], (), settings(out, *words)), "demo", out, ["grambench"]
    )
    if code is not None:
        finish(folder, code)
    return folder


@pytest.mark.parametrize("code", [ExitCode.OK, ExitCode.PARTIAL, ExitCode.NOT_EQUIVALENT])
def test_a_run_that_is_done_is_used_as_it_is(tmp_path: Path, started: list[Path], code: ExitCode) -> None:
    done = kept(tmp_path, code=code)
    kept(tmp_path)  # a newer one, never finished
    ended, found = results(SUITE, ("demo",), settings(tmp_path))
    assert (ended, started) == (code, [])
    assert [report.run.name for ours in found for report in ours.reports] == [done.name]


@pytest.mark.parametrize("code", [None, ExitCode.INTERRUPTED, ExitCode.STOPPED, ExitCode.ENVIRONMENT])
def test_a_run_that_is_not_is_resumed(tmp_path: Path, started: list[Path], code: ExitCode | None) -> None:
    left = kept(tmp_path, code=code)
    assert results(SUITE, ("demo",), settings(tmp_path))[0] == ExitCode.OK
    assert started == [left]


def test_a_run_of_other_settings_is_left_alone(tmp_path: Path, started: list[Path]) -> None:
    other = kept(tmp_path, "training.epochs=3", code=ExitCode.OK)
    results(SUITE, ("demo",), settings(tmp_path))
    (new,) = started
    assert list_runs(tmp_path) == [other, new]


def test_figure_4_is_a_curve_of_each_trial_and_a_row_of_each_validation(tmp_path: Path) -> None:
    report = read_report(RACE)
    files = write_figures("figure4", [PresetResults("duolingo-fr", reports=[report])], tmp_path)
    assert files == [str(tmp_path / f"figure4-duolingo-fr.{suffix}") for suffix in ("svg", "csv")]
    assert Path(files[0]).read_text().startswith("<svg")
    with Path(files[1]).open() as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == COLUMNS
    for trial in report.trials:
        own = [row for row in rows if row["trial"] == trial.name]
        assert [(float(row["train_s"]), float(row["score"])) for row in own] == [
            (scores.train_s, scores.auc) for scores in trial.validations
        ]
        (chosen,) = [row for row in own if row["selected"] == "1"]
        assert trial.best_validation is not None
        assert float(chosen["score"]) == trial.best_validation.auc
    assert {row.strategy for row in FIGURE_4.rows} == {"e2e", "gram-1s", "gram-10s", "gram-0.5e", "gram-1e"}
