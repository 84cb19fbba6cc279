from pathlib import Path

from live_runs import until

from grambench.events.journal import Journal
from grambench.events.reader import RunReader, log_of, read_run
from grambench.events.snapshot import FILE, load
from grambench.events.types import Marked, RunStarted
from grambench.runner.snapshots import SnapshotKeeper


def begun(folder: Path) -> Journal:
    folder.mkdir()
    journal = Journal(log_of(folder, ""))
    journal.append(RunStarted("run", "demo", ["e2e.s0"], 1))
    return journal


def test_a_log_that_has_grown_by_enough_gets_a_snapshot(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with begun(folder) as journal:
        keeper = SnapshotKeeper(folder, period_s=0.02, worth_bytes=2000)
        keeper.start()
        for number in range(30):
            journal.append(Marked(f"mark {number} " + "x" * 100))
        until(lambda: load(folder) is not None, "the snapshot")
        for number in range(30, 60):
            journal.append(Marked(f"mark {number} " + "x" * 100))
        keeper.stop()
    reader = RunReader(folder)
    assert reader.bytes_read == log_of(folder, "").stat().st_size  # the end is in it
    assert reader.state == read_run(folder)
    assert len(reader.state.marks) == 60


def test_a_short_log_gets_none(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with begun(folder) as journal:
        keeper = SnapshotKeeper(folder, period_s=0.01)
        keeper.start()
        journal.append(Marked("one"))
        keeper.stop()
    assert not keeper.is_alive()
    assert not (folder / FILE).exists()


def test_a_folder_that_takes_no_file_costs_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with begun(folder) as journal:
        (folder / FILE).mkdir()  # no file can be renamed over a folder, whoever one is
        (folder / FILE / "in the way").touch()
        keeper = SnapshotKeeper(folder, period_s=0.01, worth_bytes=1)
        keeper.start()
        journal.append(Marked("one"))
        keeper.stop()
    assert not keeper.is_alive()
    assert [path.name for path in folder.iterdir() if path.name not in (FILE, "supervisor.jsonl")] == []
    assert read_run(folder).marks
