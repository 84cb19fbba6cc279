"""Numbers that compare trials: speed-ups, reuse ratio, seconds to a target. Pure functions of the state."""

import math
from statistics import median
from typing import Literal

from grambench.events.state import RunState, TrialState

REFERENCES: tuple[Literal["e2e", "e2e-unique"], ...] = ("e2e", "e2e-unique")
"""What speed-ups are measured against."""


def reuse_ratio(trial: TrialState) -> float | None:
    """R = occurrences / unique items over the closed windows (eq. 10, 11)."""
    settled = trial.settled
    return settled.occurrences / settled.unique_items if settled and settled.unique_items else None


def seconds_per_epoch(trial: TrialState) -> float | None:
    """Median training seconds of a finished epoch; before the first one, from the pace so far."""
    if trial.epochs:
        return median(epoch.train_s for epoch in trial.epochs)
    settled, plan = trial.settled, trial.plan
    if settled is None or plan is None or not settled.step:
        return None
    return settled.train_s / settled.step * plan.steps_per_epoch


def samples_per_second(trial: TrialState) -> float | None:
    """Users trained on per training second, over the closed windows."""
    settled = trial.settled
    return settled.samples / settled.train_s if settled and settled.train_s > 0 else None


def items_encoded_per_second(trial: TrialState) -> float | None:
    """Item encodings per training second, over the closed windows."""
    settled = trial.settled
    return settled.items_encoded / settled.train_s if settled and settled.train_s > 0 else None


def tokens_per_second(trial: TrialState) -> float | None:
    """Token positions encoded per training second, over the closed windows."""
    settled = trial.settled
    return settled.tokens_encoded / settled.train_s if settled and settled.train_s > 0 else None


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
    if reference is None:
        return None
    own, other = samples_per_second(trial), samples_per_second(reference)
    ratio = own / other if own and other else 0.0
    return ratio if 0 < ratio < math.inf else None


def remaining_s(trial: TrialState) -> float | None:
    """Training seconds until the last step at the mean pace of the closed windows.

    Early stopping may end it sooner; None before the first window has closed, since its cost is unknown.
    """
    progress, settled, plan = trial.progress, trial.settled, trial.plan
    if trial.ended:
        return 0.0
    if progress is None or settled is None or plan is None or not settled.step:
        return None
    return (plan.max_steps - progress.step) * settled.train_s / settled.step
