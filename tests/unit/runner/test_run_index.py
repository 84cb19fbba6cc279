"""The list of runs: honest states, and an index that spares the logs."""

import gc
import os
import time
from dataclasses import replace
from pathlib import Path

import pytest
from report_logs import Run, run_started, write_seeds, write_setup, write_whole

from grambench.events import types as ev
from grambench.reports.build import write_report
from grambench.runner import run_index
from grambench.runner.run_index import INDEX_FILE, RunRow, read_row, run_rows
from grambench.runner.rundir import list_runs, write_pid

MOST_S = 0.3
"""CPU seconds in which two thousand runs are listed again: ten thousand in 1.5 s."""


def begun(out: Path, name: str = "a") -> Run:
    (out / name).mkdir()
    run = Run(out / name)
    run.log("", 0, run_started("e2e.s0", "gram-1s.s0", "null-e2e.s0"))
    return run


def row_of(out: Path) -> RunRow:
    (row,) = run_rows(out, list_runs(out))
    return row


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The runs whose logs are read."""
    names: list[str] = []

    def reading(folder: Path) -> RunRow:
        names.append(folder.name)
        return read_row(folder)

    monkeypatch.setattr(run_index, "read_row", reading)
    return names


@pytest.mark.parametrize(
    ("exit_code", "state"),
    [
        (0, "finished"),
        (7, "finished"),
        (5, "partial"),
        (75, "interrupted"),
        (130, "stopped"),
        (1, "failed"),
        (3, "failed"),
        (4, "failed"),
    ],
)
def test_a_run_is_what_its_exit_code_says(tmp_path: Path, exit_code: int, state: str) -> None:
    begun(tmp_path).log("", 1, ev.RunFinished(exit_code, 1.0))
    row = row_of(tmp_path)
    assert (row.state, row.exit_code) == (state, exit_code)
    assert (row.reason != "") == (exit_code == 7)


def test_a_run_is_running_while_its_supervisor_lives_and_then_interrupted(
    tmp_path: Path, read: list[str]
) -> None:
    run = begun(tmp_path)
    write_pid(run.folder)
    assert [row_of(tmp_path).state for _ in range(2)] == ["running", "running"]
    assert read == ["a", "a"], "it may change at any moment"
    (run.folder / "supervisor.pid").unlink()
    assert [row_of(tmp_path).state for _ in range(2)] == ["interrupted", "interrupted"]
    assert read == ["a"] * 3
    run.log("e2e.s0", 2, ev.TrialFinished("interrupted"))  # by a worker that outlived the supervisor
    assert row_of(tmp_path).trials_done == 1


def test_a_row_has_preset_date_labels_and_the_fastest(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    write_whole(tmp_path / "a")
    row = row_of(tmp_path)
    assert (row.preset, row.created) == ("demo", "2025-01-01T00:00:00Z")
    assert (row.strategies, row.trials, row.trials_done) == (["e2e", "gram-1s"], 2, 2)
    assert (row.fastest, row.speedup, row.conclusion) == ("gram-1s", pytest.approx(2.5), None)


def test_a_row_has_the_conclusion_of_the_report_if_that_is_of_these_logs(tmp_path: Path) -> None:
    folder = write_seeds(tmp_path / "a", (0, 1, 2, 3, 4, 5))
    assert row_of(tmp_path).conclusion is None
    write_report(folder)
    row = row_of(tmp_path)
    assert (row.fastest, row.conclusion) == ("gram-1s", "pays")
    assert row.speedup == pytest.approx(2.44, abs=0.01)
    report = folder / "report.json"
    report.write_text(report.read_text().replace('"seconds": ', '"seconds": 1', 1))
    assert row_of(tmp_path).conclusion is None, "it was resumed after the report"


def test_a_failed_setup_says_why_and_a_run_that_never_began_what_it_would_train(tmp_path: Path) -> None:
    run = begun(tmp_path)
    run.log("setup", 1, ev.TrialFinished("failed", "no data"))
    run.log("", 1, ev.RunFinished(3, 1.0))
    assert (row_of(tmp_path).state, row_of(tmp_path).reason) == ("failed", "no data")
    (tmp_path / "b").mkdir()
    Run(tmp_path / "b")
    (other,) = run_rows(tmp_path, [tmp_path / "b"])
    assert (other.state, other.strategies) == ("interrupted", ["e2e", "gram-1s", "gram-1e"])


def test_logs_are_read_once_and_again_when_a_file_has_changed(tmp_path: Path, read: list[str]) -> None:
    begun(tmp_path).log("", 1, ev.RunFinished(75, 1.0))
    write_seeds(tmp_path / "b", (0,))
    first = [*run_rows(tmp_path, list_runs(tmp_path))]
    assert [*run_rows(tmp_path, list_runs(tmp_path))] == first
    assert sorted(read) == ["a", "b"]
    write_setup(resumed := begun(tmp_path, "c"))
    row_of_c = [*run_rows(tmp_path, [resumed.folder])]
    resumed.log("", 9, ev.RunFinished(0, 9.0))
    assert [*run_rows(tmp_path, [resumed.folder])] != row_of_c
    assert read[2:] == ["c", "c"]


@pytest.mark.parametrize("harm", [b"", b"[" * 10_000, b'{"format": 1}', b'{"runs": 3}', b"\xff"])
def test_a_damaged_index_costs_only_time(tmp_path: Path, harm: bytes, read: list[str]) -> None:
    begun(tmp_path).log("", 1, ev.RunFinished(0, 1.0))
    row = row_of(tmp_path)
    (tmp_path / INDEX_FILE).write_bytes(harm)
    assert row_of(tmp_path) == row_of(tmp_path) == row
    assert read == ["a", "a"]


def test_an_index_that_cannot_be_written_is_done_without(tmp_path: Path, read: list[str]) -> None:
    begun(tmp_path)
    (tmp_path / INDEX_FILE).mkdir()
    assert row_of(tmp_path) == row_of(tmp_path)
    assert read == ["a", "a"]


def test_a_removed_run_leaves_the_index(tmp_path: Path) -> None:
    begun(tmp_path)
    row_of(tmp_path)
    (tmp_path / "a").rename(tmp_path / "b")
    assert row_of(tmp_path).run == "b"
    assert '"a"' not in (tmp_path / INDEX_FILE).read_text()


def test_many_runs_are_listed_in_a_blink(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "runs"
    out.mkdir()
    run = begun(tmp_path)
    run.log("", 1, ev.RunFinished(0, 1.0))
    row = read_row(run.folder)
    for number in range(2_000):
        folder = f"{out}/{number}"
        os.mkdir(folder)  # noqa: PTH102 - thousands of them
        for name in ("run.json", "supervisor.jsonl"):
            os.link(run.folder / name, f"{folder}/{name}")
    monkeypatch.setattr(run_index, "read_row", lambda folder: replace(row, run=folder.name))
    assert len([*run_rows(out, list_runs(out))]) == 2_000
    monkeypatch.setattr(run_index, "read_row", lambda folder: pytest.fail(f"{folder} was read again"))
    gc.freeze()  # else a collection looks through all that the tests before have made
    began_s = time.thread_time()
    listed = [*run_rows(out, list_runs(out))]
    took_s = time.thread_time() - began_s
    gc.unfreeze()
    assert took_s < MOST_S
    assert {each.run for each in listed} == {str(number) for number in range(2_000)}
