"""Intervals for a race in progress: one pair of processes, valid however often one looks.

They say nothing about other processes and are never to be called the interval of a speed-up. Pure Python: the
dashboard asks for them at every refresh.
"""

import math
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

from grambench.analysis.confidence import (
    ConfidenceInterval,
    around,
    finite,
    mean,
    standard_error,
    t_quantile,
)

ALPHA = 0.05
FEWEST_BLOCKS = 8
"""Before so many blocks a race has no interval."""
ROUNDS_OF_A_BLOCK = 4
"""Shortest block: neighbouring rounds are alike, blocks should not be."""
FEWEST_BATCHES = 4
"""Batches from which a spread is estimated."""
Closed = Sequence[tuple[float, float]]
"""At each round's end, the training seconds and the samples of all windows closed so far."""


class _Stretch(NamedTuple):
    """Consecutive rounds in which both strategies closed whole windows."""

    rounds: int
    first: int
    """The earliest round whose work is in the sums: a window may have begun before the stretch."""
    last: int
    sums: tuple[float, float, float, float]
    """Seconds and samples of the candidate, then those of the reference."""


def block_log_ratios(
    candidate: Closed, reference: Closed, left_out: Iterable[int] = (), rounds: int = ROUNDS_OF_A_BLOCK
) -> list[float]:
    """Log ratios of cost, reference / candidate, one for each block of whole windows of a race.

    Turns are not units: one may hold an encoder pass and not a single sample. A stretch ends with the first
    round by which both strategies have closed another window, consecutive stretches make up a block of at
    least `rounds` rounds, and a cost is a ratio of sums.

    Args:
        candidate: cumulated training seconds and samples of its closed windows at the end of each round.
        reference: the same of the reference, as long.
        left_out: numbers from 0 of the rounds in which something disturbed the race: a foreign process, a
            throttled clock, a pause. Stretches with work of these rounds are left out.
        rounds: shortest block.

    Returns:
        One log ratio a block, in the order of the race; above 0 the candidate was the faster one.
    """
    disturbed, ratios, length, a, b, c, d = sorted(left_out), [], 0, 0.0, 0.0, 0.0, 0.0
    for stretch in _stretches(candidate, reference):
        nearest = bisect_left(disturbed, stretch.first)
        if nearest < len(disturbed) and disturbed[nearest] <= stretch.last:
            continue
        own_s, own_samples, other_s, other_samples = stretch.sums
        a, b, c, d = a + own_s, b + own_samples, c + other_s, d + other_samples
        length += stretch.rounds
        if length >= rounds and min(a, b, c, d) > 0:
            ratios.append(math.log(c / d) - math.log(a / b))
            length, a, b, c, d = 0, 0.0, 0.0, 0.0, 0.0
    return ratios


def _stretches(candidate: Closed, reference: Closed) -> Iterator[_Stretch]:
    own_begun, other_begun, first, ended = (0.0, 0.0), (0.0, 0.0), 0, -1
    own_before, other_before, own_closed, other_closed = 0.0, 0.0, -1, -1
    for number, (own, other) in enumerate(zip(candidate, reference, strict=True)):
        own_closed = number if own[1] > own_before else own_closed
        other_closed = number if other[1] > other_before else other_closed
        own_before, other_before = own[1], other[1]
        if own[1] > own_begun[1] and other[1] > other_begun[1]:
            own_s, other_s = own[0] - own_begun[0], other[0] - other_begun[0]
            sums = own_s, own[1] - own_begun[1], other_s, other[1] - other_begun[1]
            yield _Stretch(number - ended, first, number, sums)
            own_begun, other_begun, ended = own, other, number
            first = min(own_closed, other_closed) + 1


def batched_error(values: Sequence[float]) -> float:
    """Standard error of the mean: the largest one over batches of 1, 2, 4 … values, of at least 4 batches.

    Independent values give about the same at all sizes; where neighbours are alike the long batches tell
    (Flegal & Jones 2010). inf for fewer than 4 values.
    """
    batches, errors = list(values), []
    while len(batches) >= FEWEST_BATCHES:
        errors.append(standard_error(batches))
        batches = [(a + b) / 2 for a, b in zip(batches[::2], batches[1::2], strict=False)]
    return max(errors, default=math.inf)


def anytime_factor(units: int, alpha: float = ALPHA, narrowest_after: float = 15.0) -> float:
    """Half-width over standard error of the anytime-valid t interval after `units` independent values.

    A Gaussian mixture over effect sizes of the scale-invariant likelihood ratio (Lai 1976; Wang & Ramdas
    2024, arXiv 2310.03722) reaches 1 / alpha at its ends; the variance of the mixture makes the interval
    narrowest after about `narrowest_after` values. inf where there are too few.
    """
    if units < 2:
        return math.inf
    log_inverse = -2 * math.log(alpha)
    mixed = 1 + units * (log_inverse + math.log(log_inverse) + 1) / narrowest_after
    bound = (math.sqrt(mixed) / alpha) ** (2 / units)
    if bound >= mixed:
        return math.inf
    return math.sqrt((units - 1) * (bound - 1) / (1 - bound / mixed))


def anytime_interval(log_ratios: Iterable[float], alpha: float = ALPHA) -> ConfidenceInterval | None:
    """Interval of the mean over blocks of one pair of processes, valid at every look during the race.

    It may be watched, and stopped on. Exact for independent normal blocks; `batched_error` widens it where
    the machine wanders. None for fewer than 8 blocks.

    Raises:
        ValueError: a log ratio is not finite.
    """
    values = finite(log_ratios)
    if len(values) < FEWEST_BLOCKS:
        return None
    half = anytime_factor(len(values), alpha) * batched_error(values)
    return around(mean(values), half, 1 - alpha, len(values), "anytime t")


def anytime_median(log_ratios: Iterable[float], alpha: float = ALPHA) -> ConfidenceInterval | None:
    """Interval of the median over blocks, distribution-free and valid at every look during the race.

    None for fewer than 9 blocks at alpha = .05.

    Raises:
        ValueError: a log ratio is not finite.
    """
    ordered = sorted(finite(log_ratios))
    rank = anytime_rank(len(ordered), alpha)
    if not rank:
        return None
    return ConfidenceInterval(ordered[rank - 1], ordered[-rank], 1 - alpha, len(ordered), "anytime median")


@lru_cache(maxsize=4096)
def anytime_rank(units: int, alpha: float = ALPHA) -> int:
    """Rank, from either end of the ordered values, of the anytime interval of the median; 0: too few.

    A Beta(2, 2) mixture of binomial likelihood ratios against one half (Robbins 1970; Howard & Ramdas 2022).
    """
    rank = 0
    while 2 * rank < units and _log_evidence(rank, units) >= -math.log(alpha):
        rank += 1
    return rank


def _log_evidence(below: int, units: int) -> float:
    """Log likelihood ratio of the mixture over one half, with `below` of the values below the median."""
    mixture = math.lgamma(2 + below) + math.lgamma(2 + units - below) - math.lgamma(4 + units)
    return mixture + math.log(6) + units * math.log(2)


def drifts(log_ratios: Iterable[float]) -> bool:
    """True where the halves of a race disagree (Welch, 1 %); False for fewer than 8 blocks, 4 in each half.

    Raises:
        ValueError: a log ratio is not finite.
    """
    values = finite(log_ratios)
    middle = len(values) // 2
    first, second = values[:middle], values[middle:]
    if middle < FEWEST_BATCHES:
        return False
    error = math.hypot(batched_error(first), batched_error(second))
    return abs(mean(first) - mean(second)) > t_quantile(0.995, middle - 1) * error
