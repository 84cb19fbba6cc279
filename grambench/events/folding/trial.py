"""What a trial's events change: its plan, counters, epochs, windows and scores."""

import math
from dataclasses import replace

from grambench.events import types as ev
from grambench.events.folding import ranks
from grambench.events.folding.folded import Folded, Handler, with_null

WINDOWS_KEPT = 200
_RATE_EVENTS = 8


def _trial_planned(known: Folded, source: str, event: ev.TrialPlanned) -> None:
    trial = known.trial(source)
    trial.plan = event
    if event.label:  # also where the line that names the trials is lost
        trial.strategy = with_null(trial, event.strategy)


def _trial_resumed(known: Folded, source: str, event: ev.TrialResumed) -> None:
    """Drop what was logged after the checkpoint: it will be repeated."""
    trial = known.trial(source)
    known.recent.pop(source, None)
    trial.evaluations = [e for e in trial.evaluations if e.step <= event.step]
    trial.staleness = [each for each in trial.staleness if each.step <= event.step]
    trial.best = next((e for e in reversed(trial.evaluations) if e.best), None)
    trial.test, trial.diverged, trial.predictions = None, None, []
    steps = 0
    for number, epoch in enumerate(trial.epochs):
        steps += epoch.steps
        if steps > event.step:
            del trial.epochs[number:]
            break
    trial.windows = [window for window in trial.windows if window.window <= event.windows]
    trial.windows_closed = event.windows
    trial.resumed_steps.append(event.step)
    ranks.resume(trial, event.step)
    trial.round_rows.cut(trial.rounds, event.train_s)
    trial.round_rows.disturbed = False
    if event.step == 0:
        trial.progress = trial.settled = None
        trial.rounds.clear()
        if trial.states is not None:  # a new clock starts at what they have cost now
            trial.states = replace(trial.states, seconds=event.train_s)


def _diverged(known: Folded, source: str, event: ev.Diverged) -> None:
    known.trial(source).diverged = event


def _warmed_up(known: Folded, source: str, event: ev.WarmedUp) -> None:
    known.trial(source).warmed_up = event


def _states_cached(known: Folded, source: str, event: ev.StatesCached) -> None:
    trial = known.trial(source)
    before = trial.states  # its clock goes on from what they have cost before it was resumed
    trial.states = replace(event, seconds=before.seconds, built=before.built) if before else event


def _forecast(known: Folded, source: str, event: ev.TrialForecast) -> None:
    known.trial(source).forecast = event


def _progress(known: Folded, source: str, event: ev.Progress) -> None:
    trial = known.trial(source)
    trial.progress = event
    if trial.plan is None or trial.plan.window_steps == 1:
        trial.settled = event
        ranks.measure(trial)
    recent = known.recent.setdefault(source, [])
    recent.append(event)
    del recent[:-_RATE_EVENTS]
    rate = _ratio(event.samples - recent[0].samples, event.train_s - recent[0].train_s)
    trial.rate = trial.rate if rate is None else rate
    for series, value in (
        (trial.rate_series, rate),
        (trial.encode_series, _ratio(event.encode_s, event.train_s)),
        (trial.encoder_lr_series, event.encoder_lr),
        (trial.loss_series, event.loss),
        (trial.memory_series, event.memory_allocated_bytes),
    ):
        if value is not None:
            series.add(event.train_s, value)


def _ratio(part: float, seconds: float) -> float | None:
    """A part over seconds; None if these are not positive or too few for a finite ratio."""
    ratio = part / seconds if seconds > 0 else math.inf
    return ratio if math.isfinite(ratio) else None


def _window_closed(known: Folded, source: str, event: ev.WindowClosed) -> None:
    trial = known.trial(source)
    trial.windows.append(event)
    del trial.windows[:-WINDOWS_KEPT]
    trial.windows_closed += 1
    trial.settled = trial.progress
    ranks.measure(trial)
    if event.drift is not None:
        trial.drift_series.add(trial.train_s, event.drift)


def _staleness_measured(known: Folded, source: str, event: ev.StalenessMeasured) -> None:
    trial = known.trial(source)
    trial.staleness = [*(each for each in trial.staleness if each.step < event.step), event]


def _epoch_finished(known: Folded, source: str, event: ev.EpochFinished) -> None:
    trial = known.trial(source)
    while trial.epochs and trial.epochs[-1].epoch >= event.epoch:  # when resumed
        trial.epochs.pop()
    trial.epochs.append(event)


def _evaluated(known: Folded, source: str, event: ev.Evaluated) -> None:
    trial = known.trial(source)
    if event.part == "test":
        trial.test = event
        return
    while trial.evaluations and trial.evaluations[-1].step >= event.step:  # when resumed
        trial.evaluations.pop()
    trial.evaluations.append(event)
    if event.best:
        trial.best = event


def _checkpoint_saved(known: Folded, source: str, event: ev.CheckpointSaved) -> None:
    trial = known.trial(source)
    if event.path == "best":
        trial.checkpoint = event
    else:
        trial.resumable = event


def _predictions_written(known: Folded, source: str, event: ev.PredictionsWritten) -> None:
    trial = known.trial(source)
    trial.predictions = [*(each for each in trial.predictions if each.part != event.part), event]


HANDLERS: dict[type[ev.Event], Handler] = {
    ev.TrialPlanned: _trial_planned,
    ev.TrialResumed: _trial_resumed,
    ev.Diverged: _diverged,
    ev.WarmedUp: _warmed_up,
    ev.StatesCached: _states_cached,
    ev.TrialForecast: _forecast,
    ev.Progress: _progress,
    ev.WindowClosed: _window_closed,
    ev.StalenessMeasured: _staleness_measured,
    ev.EpochFinished: _epoch_finished,
    ev.Evaluated: _evaluated,
    ev.CheckpointSaved: _checkpoint_saved,
    ev.PredictionsWritten: _predictions_written,
}
