"""What the supervisor's events change: the run, its workers, turns, and what watchers asked for."""

from grambench.events import types as ev
from grambench.events.energy import stop_crediting
from grambench.events.folding.folded import Folded, Handler
from grambench.events.state import SETUP, TrialState
from grambench.metrics.catalogue import SELECTS

MARKS_KEPT = 100


def _run_started(known: Folded, _: str, event: ev.RunStarted) -> None:
    state = known.state
    state.run, state.preset, state.pid = event.run, event.preset, event.pid
    state.model_label, state.data_label = event.model_label, event.data_label
    state.schedule = event.schedule
    scoring = event.spec.get("evaluation")
    state.select_by = str(scoring.get("select_by", SELECTS)) if isinstance(scoring, dict) else SELECTS
    state.scores_test = not isinstance(scoring, dict) or scoring.get("test") is not False
    state.tuned = event.tuned
    state.finished, state.exit_code, state.seconds = False, None, None  # when resumed
    state.paused, state.active = False, None
    known.turns_before, known.turns = known.turns_before + known.turns, 0
    state.holders.clear()
    for gpu in state.gpus.values():
        stop_crediting(gpu, state.trials)
    for name in event.trials:
        known.add_trial(name, event.strategies)


def _preloading(known: Folded, _: str, __: ev.Preloading) -> None:
    known.state.setup.phase = known.state.setup.phase or "start"


def _worker_spawned(known: Folded, _: str, event: ev.WorkerSpawned) -> None:
    begun = known.worker(event.trial)
    begun.phase = begun.phase or "start"
    if isinstance(begun, TrialState):
        begun.group = None
    if begun.exit_code is not None:  # when resumed
        begun.outcome, begun.reason, begun.exit_code = None, "", None


def _trial_dropped(known: Folded, _: str, event: ev.TrialDropped) -> None:
    trial = known.trial(event.trial)
    trial.outcome, trial.decided_after = "skipped", event.decided_after
    after = event.decided_after
    trial.reason = "skipped before it began" if after is None else f"decided after {after} seeds"


def _decision_looked(known: Folded, _: str, event: ev.DecisionLooked) -> None:
    known.state.looks.append(event)


def _turn_granted(known: Folded, _: str, event: ev.TurnGranted) -> None:
    state, known.turns = known.state, event.turn
    if event.trial != SETUP:
        known.trial(event.trial).turn = event.turn
        if event.trial not in state.trials:
            return
    state.active = event.trial
    if event.trial in state.holders:
        state.holders.remove(event.trial)
    state.holders.append(event.trial)


def _run_paused(known: Folded, _: str, __: ev.RunPaused) -> None:
    known.state.paused = True
    for trial in known.state.trials.values():
        trial.round_rows.disturbed |= trial.phase == "train" and not trial.ended


def _run_resumed(known: Folded, _: str, __: ev.RunResumed) -> None:
    known.state.paused = False


def _marked(known: Folded, _: str, event: ev.Marked) -> None:
    known.state.marks.append((known.state.elapsed_s, event.text))
    del known.state.marks[:-MARKS_KEPT]


def _worker_exited(known: Folded, _: str, event: ev.WorkerExited) -> None:
    ended = known.worker(event.trial)
    ended.exit_code = event.code
    if ended.outcome is None:
        ended.outcome = "stopped" if event.stopped else "failed"
        cause = f"signal {-event.code}" if event.code < 0 else f"exit code {event.code}"
        how = "the end of the run ended the worker" if event.stopped else f"the worker ended with {cause}"
        why = f": {event.why}" if event.why else ""
        ended.reason = f"{how} in phase {ended.phase or 'start'}{why}"
    known.release(event.trial)


def _run_finished(known: Folded, _: str, event: ev.RunFinished) -> None:
    known.state.finished, known.state.active = True, None
    known.state.exit_code, known.state.seconds = event.exit_code, event.seconds


HANDLERS: dict[type[ev.Event], Handler] = {
    ev.RunStarted: _run_started,
    ev.Preloading: _preloading,
    ev.WorkerSpawned: _worker_spawned,
    ev.TrialDropped: _trial_dropped,
    ev.DecisionLooked: _decision_looked,
    ev.TurnGranted: _turn_granted,
    ev.RunPaused: _run_paused,
    ev.RunResumed: _run_resumed,
    ev.Marked: _marked,
    ev.WorkerExited: _worker_exited,
    ev.RunFinished: _run_finished,
}
