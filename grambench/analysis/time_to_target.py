"""Training seconds until a target, from noisy validations; compared over seeds, of which some may miss it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import NamedTuple

from grambench.analysis.confidence import ConfidenceInterval
from grambench.analysis.paired import LEVEL, order_statistics_interval, t_interval


class Arrival(NamedTuple):
    """When a validation curve passed its target, and how exactly that is known; training seconds."""

    seconds: float
    bracket_s: float
    """Between the last validation below the target and the first one that is not."""


def isotonic(values: Sequence[float]) -> list[float]:
    """The nearest sequence that never falls (least squares, pool adjacent violators)."""
    blocks: list[tuple[float, int]] = []
    for value in values:
        total, count = value, 1
        while blocks and blocks[-1][0] * count >= total * blocks[-1][1]:
            before, length = blocks.pop()
            total, count = total + before, count + length
        blocks.append((total, count))
    return [total / count for total, count in blocks for _ in range(count)]


def arrival(seconds: Sequence[float], scores: Sequence[float], target: float) -> Arrival | None:
    """When the target was passed; None: never.

    The validations up to the best one are made monotone and read linearly, so that a trial that validates
    more often does not pass earlier by luck. Before the first validation nothing is known: its bracket is the
    whole wait.

    Args:
        seconds: training seconds before each validation, rising.
        scores: finite scores, larger is better (negate a loss), one for each.
        target: on the same scale.
    """
    if not scores or max(scores) < target:
        return None
    best = list(scores).index(max(scores))
    smooth = [*isotonic(scores[:best]), scores[best]]
    last = next(k for k, score in enumerate(smooth) if score >= target)
    if last == 0:
        return Arrival(seconds[0], seconds[0])
    width = seconds[last] - seconds[last - 1]
    share = (target - smooth[last - 1]) / (smooth[last] - smooth[last - 1])
    return Arrival(seconds[last - 1] + width * share, width)


class Wait(NamedTuple):
    """One trial's training seconds to the target."""

    seconds: float | None
    """Positive; None: the target was not reached."""
    budget_s: float
    """What it trained for in all: a wait without arrival is longer."""

    @property
    def log_bounds(self) -> tuple[float, float]:
        """Lower and upper bound of the log of the seconds."""
        if self.seconds is not None:
            return math.log(self.seconds), math.log(self.seconds)
        return math.log(self.budget_s) if self.budget_s > 0 else -math.inf, math.inf


@dataclass(frozen=True, slots=True)
class TimeToTarget:
    """Seconds to the target of two trials over seeds, as log ratios: above 0 the candidate is faster."""

    median_low: float
    """What the median of these seeds is at least; equal to `median_high` where both sides arrived."""
    median_high: float
    interval: ConfidenceInterval | None
    """Interval of the median, from order statistics of the bounds; None below 6 seeds."""
    at_least: float | None
    """Low end of a t interval that takes the budget for seconds, where only references missed the target."""
    seeds: int
    candidate_reached: int
    reference_reached: int


def compare_waits(
    candidate: Sequence[Wait], reference: Sequence[Wait], level: float = LEVEL
) -> TimeToTarget | None:
    """The waits of both sides, paired by seed, in the same order; None without a seed.

    Raises:
        ValueError: the sides have different numbers of seeds.
    """
    bounds = [log_ratio_bounds(own, other) for own, other in zip(candidate, reference, strict=True)]
    if not bounds:
        return None
    lows, highs = zip(*bounds, strict=True)
    own, other = (sum(wait.seconds is not None for wait in side) for side in (candidate, reference))
    censored_only = t_interval(lows, level) if own == len(lows) > other and min(lows) > -math.inf else None
    return TimeToTarget(
        median_low=median(lows),
        median_high=median(highs),
        interval=order_statistics_interval(lows, highs, level),
        at_least=censored_only.low if censored_only else None,
        seeds=len(lows),
        candidate_reached=own,
        reference_reached=other,
    )


def log_ratio_bounds(candidate: Wait, reference: Wait) -> tuple[float, float]:
    """Lower and upper bound of log(seconds of the reference / seconds of the candidate)."""
    own, other = candidate.log_bounds, reference.log_bounds
    return other[0] - own[1], other[1] - own[0]
