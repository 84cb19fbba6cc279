"""A setup whose log is damaged says what is lost with it."""

from pathlib import Path

import pytest

from grambench.config.spec import Spec
from grambench.errors import DataError
from grambench.events import types as ev
from grambench.events.journal import Journal
from grambench.worker.main import _lost_engine, engine_of, main
from grambench.worker.probe import settled
from grambench.worker.trial import prepared_folder


def log(folder: Path, *events: ev.Event) -> Path:
    folder.mkdir(exist_ok=True)
    with Journal(folder / "events.jsonl") as journal:
        for event in events:
            journal.append(event)
    return folder / "events.jsonl"


@pytest.fixture
def setup(tmp_path: Path) -> Path:
    """The setup's log of a run in which a trial has begun."""
    log(tmp_path / "e2e.s0", ev.PhaseEntered("load"))
    prepared = ev.DataPrepared("/data", "f" * 64, {}, 1.0, False)
    chosen = ev.EngineChosen({"encoder.layout": "buckets"})
    return log(tmp_path / "setup", ev.PhaseEntered("prepare"), prepared, chosen, ev.PhaseEntered("done"))


def test_a_lost_choice_of_the_engine_is_told_before_another_one_is_made(setup: Path) -> None:
    assert engine_of(setup.parent) is not None
    assert _lost_engine(setup.parent) is None
    setup.write_bytes(setup.read_bytes().replace(b"buckets", b"buckety"))
    assert engine_of(setup.parent) is None
    warning = _lost_engine(setup.parent)
    assert warning is not None
    assert warning.code == "engine-lost"
    (setup.parent.parent / "e2e.s0" / "events.jsonl").write_bytes(b"")
    assert _lost_engine(setup.parent) is None  # nothing was trained with it


def test_a_lost_folder_of_the_data_is_told(setup: Path) -> None:
    run = setup.parent.parent
    assert prepared_folder(run, "encoder") == Path("/data")
    setup.write_bytes(setup.read_bytes().replace(b"/data", b"/date"))
    with pytest.raises(DataError, match="1 line of the setup's log is damaged"):
        prepared_folder(run, "encoder")


def test_an_engine_of_unknown_settings_is_a_data_error() -> None:
    for choice in ({"encoder.layouts.x": 1}, {"encoder.layout": "bucketz"}, {"x": 1}):
        with pytest.raises(DataError, match="cannot be used"):
            settled(Spec(), ev.EngineChosen(choice))


def test_a_folder_in_the_place_of_a_log_is_an_error_of_the_machine(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "setup" / "events.jsonl").mkdir(parents=True)
    assert main(["prepare", str(tmp_path)]) == 4
    assert "cannot be written: Is a directory" in capsys.readouterr().err


def test_a_damaged_run_file_is_a_data_error(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("[" * 100_000)
    assert main(["prepare", str(tmp_path)]) == 3
    last = (tmp_path / "setup" / "events.jsonl").read_text().splitlines()[-1]
    assert "run.json cannot be read" in last
