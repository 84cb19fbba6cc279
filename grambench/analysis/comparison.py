"""Numbers that compare trials: speed-ups, reuse ratio, seconds to a target. Pure functions of the state."""

import math
from collections.abc import Iterable
from statistics import median
from typing import Literal

from grambench.events.state import RunState, Stretch, TrialState

REFERENCES: tuple[Literal["e2e", "e2e-unique"], ...] = ("e2e", "e2e-unique")
"""What speed-ups are measured against."""


def reuse_ratio(trial: TrialState) -> float | None:
    """R = occurrences / unique items over the closed windows (eq. 10, 11)."""
    settled = trial.settled
    return settled.occurrences / settled.unique_items if settled and settled.unique_items else None


def seconds_per_epoch(trial: TrialState) -> float | None:
    """Median training seconds of a finished epoch; before the first one, from the pace so far."""
    if trial.epochs and len(group_sizes([trial])) < 2:
        return median(epoch.train_s for epoch in trial.epochs)
    pace_s = _seconds_per_step(trial)
    return None if pace_s is None or trial.plan is None else pace_s * trial.plan.steps_per_epoch


def _seconds_per_step(trial: TrialState) -> float | None:
    """Mean training seconds of a CF step over the closed windows, by the ranks that train it now."""
    settled, first = trial.settled, trial.stretches[-1].first if trial.stretches else None
    steps = settled.step - (first.step if first else 0) if settled else 0
    if settled is None or steps <= 0:
        return None
    cached_s = trial.states.seconds if trial.states is not None else 0.0
    return (settled.train_s - (first.train_s if first else cached_s)) / steps


def samples_per_second(trial: TrialState) -> float | None:
    """Users trained on per training second, over the closed windows."""
    return _per_second(trial, "samples")


def items_encoded_per_second(trial: TrialState) -> float | None:
    """Item encodings per training second, over the closed windows."""
    return _per_second(trial, "items_encoded")


def tokens_per_second(trial: TrialState) -> float | None:
    """Token positions encoded per training second, over the closed windows."""
    return _per_second(trial, "tokens_encoded")


def _per_second(trial: TrialState, counter: str) -> float | None:
    """None also where several numbers of ranks have trained: their rates are not one number."""
    settled = trial.settled
    if settled is None or settled.train_s <= 0 or len(group_sizes([trial])) > 1:
        return None
    return float(getattr(settled, counter)) / settled.train_s


def group_sizes(trials: Iterable[TrialState]) -> set[int]:
    """The numbers of ranks that have trained them; 1: one process."""
    return {stretch.size for trial in trials for stretch in trial.stretches}


def stretch_rate(stretch: Stretch) -> float | None:
    """Users trained on per training second by one number of ranks; None: measured at one moment only."""
    first, last = stretch.first, stretch.last
    samples = last.samples - (first.samples if first else 0)
    seconds = last.train_s - (first.train_s if first else 0.0)
    return samples / seconds if seconds > 0 else None


def efficiency(state: RunState, trial: TrialState) -> float | None:
    """Samples/s of its ranks over as many times those of one process, of the same label and seed."""
    same = [each for each in state.trials.values() if (each.label, each.seed) == (trial.label, trial.seed)]
    alone = [stretch_rate(each) for one in same for each in one.stretches if each.size == 1]
    own = stretch_rate(trial.stretches[-1]) if trial.stretches else None
    if own is None or trial.stretches[-1].size == 1 or not any(alone):
        return None
    return own / trial.stretches[-1].size / next(filter(None, alone))


def seconds_to_best(trial: TrialState) -> float | None:
    """Train-only seconds before the evaluation that selected the checkpoint."""
    return trial.best.train_s if trial.best else None


def reference_of(state: RunState, trial: TrialState, strategy: str) -> TrialState | None:
    """The trial of `strategy` with the same seed and repeat, of `reference_label`."""
    own = trial.trial_name
    named = state.named(own.of(strategy))
    return named or state.named(own.of(reference_label(state, strategy) or strategy))


def reference_label(state: RunState, strategy: str) -> str | None:
    """The label that others are compared with: the strategy's name, else its first; None: it did not run."""
    labels = [trial.label for trial in state.trials.values() if trial.strategy == strategy]
    return strategy if strategy in labels else next(iter(labels), None)


def repeated_by(state: RunState, trial: TrialState) -> TrialState | None:
    """The trial that a null test repeats."""
    return state.named(trial.trial_name.repeated)


def speedup(state: RunState, trial: TrialState, strategy: str = "e2e") -> float | None:
    """Samples/s of `trial` over those of the reference of its seed and repeat; None: not both measured."""
    return ratio_over(trial, reference_of(state, trial, strategy))


def ratio_over(trial: TrialState, reference: TrialState | None) -> float | None:
    """Samples/s of a trial over those of another; None: not both measured, or a damaged log denies it."""
    if reference is None or len(group_sizes((trial, reference))) > 1:
        return None
    own, other = samples_per_second(trial), samples_per_second(reference)
    ratio = own / other if own and other else 0.0
    return ratio if 0 < ratio < math.inf else None


def remaining_s(trial: TrialState) -> float | None:
    """Training seconds until the last step at the mean pace of the closed windows.

    Early stopping may end it sooner; None before the first window has closed, since its cost is unknown.
    """
    progress, plan, pace_s = trial.progress, trial.plan, _seconds_per_step(trial)
    if trial.ended:
        return 0.0
    if progress is None or plan is None or pace_s is None:
        return None
    return (plan.max_steps - progress.step) * pace_s
