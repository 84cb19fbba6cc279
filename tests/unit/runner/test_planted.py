"""What others have put into a folder that everybody may write to: links and FIFOs."""

import os
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from grambench.config.presets import load_preset
from grambench.errors import GrambenchError, MachineError
from grambench.events.reader import read_run
from grambench.reports.build import write_report
from grambench.runner import commands
from grambench.runner.resume import check_resumable
from grambench.runner.run_index import INDEX_FILE, run_rows
from grambench.runner.rundir import create_run, list_runs, supervisor_of
from grambench.runner.supervisor import Supervisor
from grambench.runner.workers import Worker
from grambench.training.checkpoint import load_weights, save_weights
from grambench.tui.export import export

RECORDED = Path(__file__).parents[3] / "docs" / "recorded-run"


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    """A folder outside that must stay as it is."""
    folder = tmp_path / "victim"
    folder.mkdir()
    (folder / "file").write_text("precious")
    return folder


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run of one trial."""
    return create_run(load_preset("demo"), "demo", tmp_path / "runs", [])


def recorded(out: Path) -> Path:
    """A finished run."""
    return shutil.copytree(RECORDED, create_run(load_preset("demo"), "demo", out, []), dirs_exist_ok=True)


def untouched(victim: Path) -> bool:
    return [path.name for path in victim.iterdir()] == ["file"] and (
        victim / "file"
    ).read_text() == "precious"


def test_links_at_the_run_s_name_are_passed_by(tmp_path: Path, victim: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    for seconds in range(60):
        moment = datetime.now(UTC) + timedelta(seconds=seconds)
        (out / f"demo-{moment:%Y%m%d-%H%M%S}").symlink_to(victim)
    folder = create_run(load_preset("demo"), "demo", out, [])
    assert folder.parent == out.resolve()
    assert folder.name.endswith("-1")
    assert untouched(victim)


@pytest.mark.parametrize("name", ["supervisor.jsonl", ".lock"])
@pytest.mark.parametrize("how", ["link", "hard link", "fifo"])
def test_a_supervisor_refuses_what_leads_out_of_its_folder(
    run: Path, victim: Path, name: str, how: str
) -> None:
    if how == "fifo":
        os.mkfifo(run / name)
    else:
        getattr(run / name, "symlink_to" if how == "link" else "hardlink_to")(victim / "file")
    with pytest.raises(MachineError, match=r"cannot be written: it (is|has)"):
        Supervisor(run).run()
    assert untouched(victim)


@pytest.mark.parametrize("name", ["gram-1s.s0", "gram-1s.s0/worker.log"])
def test_a_worker_is_not_started_through_a_link(run: Path, victim: Path, name: str) -> None:
    (run / name).parent.mkdir(exist_ok=True)
    (run / name).symlink_to(victim if name.endswith("s0") else victim / "file")
    with pytest.raises(OSError, match="it is a symbolic link"):
        Worker(run, "gram-1s.s0")
    assert untouched(victim)


def test_reports_indexes_commands_exports_and_weights_do_not_follow_links(
    tmp_path: Path, victim: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = recorded(tmp_path / "out")
    for name in ("report.json", "../.runs.json"):
        (run / name).unlink(missing_ok=True)
        (run / name).symlink_to(victim / "file")
    write_report(run)
    [*run_rows(run.parent, list_runs(run.parent))]
    assert not (run / "report.json").is_symlink()
    monkeypatch.setattr(commands, "supervisor_of", lambda _: type("Process", (), {"pid": 1}))
    for name in ("commands", "exports", "best", ".best.tmp", ".best.old"):
        (run / name).symlink_to(victim)
    with pytest.raises(MachineError, match="it is a symbolic link"):
        commands.send(run, commands.Command("stop"))
    with pytest.raises(OSError, match="it is a symbolic link"):
        export(run, "<svg/>")
    save_weights(run / "best", {}, {})
    assert load_weights(run / "best") == {}
    assert untouched(victim)


def test_fifos_make_nothing_wait(tmp_path: Path) -> None:
    run = recorded(tmp_path / "out")
    trial = run / "gram-1s.s0"
    (run / "commands").mkdir(exist_ok=True)
    for name in ("supervisor.pid", "state.json", "report.json", "commands/0.json", f"../{INDEX_FILE}"):
        (run / name).unlink(missing_ok=True)
        os.mkfifo(run / name)
    (trial / "events.jsonl").unlink()
    os.mkfifo(trial / "events.jsonl")
    assert supervisor_of(run) is None
    assert commands.take(run) == []
    (row,) = run_rows(run.parent, list_runs(run.parent))
    assert any("it is not a regular file" in words for words in row.complaints)
    for name in ("run.json", "supervisor.jsonl"):
        (run / name).unlink(missing_ok=True)
        os.mkfifo(run / name)
    with pytest.raises(GrambenchError):
        check_resumable(run)
    assert "it is not a regular file" in " ".join(read_run(run).log_complaints)
    [*run_rows(run.parent, list_runs(run.parent))]
