"""What the events change that the setup's worker and a trial's have in common."""

from grambench.events import types as ev
from grambench.events.folding.folded import Folded, Handler
from grambench.events.state import SETUP


def _worker_started(known: Folded, source: str, event: ev.WorkerStarted) -> None:
    target = known.worker(source)
    if target.started is not None and target.started.pid != event.pid:
        target.outcome, target.reason = None, ""  # resumed after a supervisor that logged no end
    target.started = event


def _phase_entered(known: Folded, source: str, event: ev.PhaseEntered) -> None:
    known.worker(source).phase = event.phase


def _turn_ended(known: Folded, source: str, event: ev.TurnEnded) -> None:
    trial = known.trial(source)
    trial.turns += event.train_s > 0  # else it only warmed up
    trial.switch_s += event.switch_s
    if event.train_s > 0 and trial.progress is not None:
        closed = trial.settled
        if closed is not None and closed.train_s > trial.train_s:  # of before the trial was resumed
            closed = None
        trial.round_rows.add(trial.rounds, known.turns_before + event.turn, closed)
    if event.turn == trial.turn:  # else the next one was granted before the worker wrote this line
        known.release(source)


def _warned(known: Folded, source: str, event: ev.Warned) -> None:
    run_wide = source in ("", SETUP)
    target = known.state.warnings if run_wide else known.trial(source).warnings
    target[event.code] = event.message
    if event.code == "race-memory":
        known.state.schedule = "sequential"


def _process_stopped(known: Folded, source: str, event: ev.ProcessStopped) -> None:
    if source == SETUP:
        return
    trial = known.trial(source)
    trial.stops += 1
    trial.round_rows.disturbed = True
    trial.stopped_s += event.seconds
    trial.stopped_training_s += event.training_s


def _trial_finished(known: Folded, source: str, event: ev.TrialFinished) -> None:
    target = known.worker(source)
    target.outcome, target.reason = event.outcome, event.reason


HANDLERS: dict[type[ev.Event], Handler] = {
    ev.WorkerStarted: _worker_started,
    ev.PhaseEntered: _phase_entered,
    ev.TurnEnded: _turn_ended,
    ev.Warned: _warned,
    ev.ProcessStopped: _process_stopped,
    ev.TrialFinished: _trial_finished,
}
