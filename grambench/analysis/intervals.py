"""How certain a speed-up is: the spread of a trial's epochs, and what a null test says about the machine."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, variance

from grambench.analysis.comparison import repeated_by, samples_per_second
from grambench.events.state import RunState, TrialState

_T = (
    *(12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228),
    *(2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086),
    *(2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042),
)
"""97.5 % quantiles of Student's t for 1 to 30 degrees of freedom."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A 95 % interval of a ratio."""

    low: float
    high: float


def speedup_interval(state: RunState, trial: TrialState, reference: TrialState) -> Interval | None:
    """The interval of the ratio of samples/s; None with fewer than two finished epochs of either trial.

    Welch's interval of the log ratio of both means, over the epochs' seconds per sample. Where a null test
    of the same seed ran, its apparent difference, which is noise alone, is added in quadrature.
    """
    own, other = seconds_per_sample(trial), seconds_per_sample(reference)
    if trial is reference or len(own) < 2 or len(other) < 2:
        return None
    floor = 0.0 if trial.is_null else noise_floor(state, trial.seed) or 0.0
    rates = samples_per_second(trial), samples_per_second(reference)
    centre = rates[0] / rates[1] if rates[0] and rates[1] else None
    try:
        return ratio_interval(other, own, floor, centre)
    except ArithmeticError:  # impossible seconds, from a damaged log
        return None


def seconds_per_sample(trial: TrialState) -> list[float]:
    """Training seconds per sample of each finished epoch."""
    return [epoch.train_s / epoch.samples for epoch in trial.epochs if epoch.samples and epoch.train_s > 0]


def noise_floor(state: RunState, seed: int) -> float | None:
    """|log| of the apparent speed-up of a strategy over itself; None: no null test of the seed."""
    for trial in state.trials.values():
        if trial.seed != seed or not trial.is_null:
            continue
        repeated = repeated_by(state, trial)
        own = seconds_per_sample(trial)
        other = seconds_per_sample(repeated) if repeated is not None else []
        if own and other:
            below = fmean(own)
            ratio = fmean(other) / below if below else math.inf
            return abs(math.log(ratio)) if 0 < ratio < math.inf else None
    return None


def ratio_interval(
    above: Sequence[float], below: Sequence[float], floor: float = 0.0, centre: float | None = None
) -> Interval:
    """95 % interval of mean(above) / mean(below), both of two or more positive numbers.

    Args:
        above: measurements of the numerator.
        below: of the denominator.
        floor: |log| of a ratio caused by noise alone.
        centre: the ratio itself, where it is known from more than these measurements.
    """
    parts = [variance(values) / len(values) / fmean(values) ** 2 for values in (above, below)]
    total = sum(parts)
    freedom = [len(values) - 1 for values in (above, below)]
    squares = sum(part**2 / degrees for part, degrees in zip(parts, freedom, strict=True))
    welch = total**2 / squares if squares else math.inf
    half = math.hypot(_quantile(welch) * math.sqrt(total), floor)
    ratio = centre or fmean(above) / fmean(below)
    return Interval(ratio * math.exp(-half), ratio * math.exp(half))


def _quantile(freedom: float) -> float:
    """The 97.5 % quantile of Student's t, with degrees of freedom rounded down."""
    if freedom >= len(_T) + 1:
        return _T[-1]
    return _T[max(1, math.floor(freedom)) - 1]
