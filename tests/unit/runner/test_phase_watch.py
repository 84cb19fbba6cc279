from pathlib import Path

from grambench.events import types as ev
from grambench.events.journal import Journal
from grambench.runner.phase_watch import PhaseWatch

TRIAL, OTHER = "e2e.s0", "gram-1s.s0"


def log(folder: Path, trial: str, *events: ev.Event) -> None:
    (folder / trial).mkdir(exist_ok=True)
    with Journal(folder / trial / "events.jsonl") as journal:
        for event in events:
            journal.append(event)


def test_a_phase_is_noticed_once(tmp_path: Path) -> None:
    watch = PhaseWatch(tmp_path)
    assert not watch.changed([TRIAL])
    log(tmp_path, TRIAL, ev.PhaseEntered("load"), ev.Warned("a", "b"))
    assert watch.changed([TRIAL])
    assert not watch.changed([TRIAL])
    log(tmp_path, TRIAL, ev.Warned("a", "phase_entered"))
    assert not watch.changed([TRIAL])


def test_several_logs_are_read_to_their_ends(tmp_path: Path) -> None:
    watch = PhaseWatch(tmp_path)
    assert not watch.changed([TRIAL, OTHER])
    log(tmp_path, TRIAL, ev.PhaseEntered("load"), ev.PhaseEntered("probe"))
    log(tmp_path, OTHER, ev.PhaseEntered("train"))
    assert watch.changed([TRIAL, OTHER])
    assert not watch.changed([TRIAL, OTHER])


def test_what_a_resumed_trials_log_held_before_does_not_count(tmp_path: Path) -> None:
    log(tmp_path, TRIAL, ev.PhaseEntered("train"))
    watch = PhaseWatch(tmp_path)
    assert not watch.changed([TRIAL])
    log(tmp_path, TRIAL, ev.PhaseEntered("evaluate"))
    assert watch.changed([TRIAL])


def test_without_a_folder_there_are_no_phases() -> None:
    assert not PhaseWatch(None).changed([TRIAL])
