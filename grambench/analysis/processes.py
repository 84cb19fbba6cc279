"""Costs of whole processes: intervals from a spread that all strategies share, and sample sizes.

A cost is the natural logarithm of training seconds a sample over the whole windows of one process. A log
ratio is reference - candidate: above 0 the candidate is the faster one.
"""

import math
from collections.abc import Iterable, Sequence
from statistics import median

from grambench.analysis.confidence import ConfidenceInterval, around, finite, mean, squares, two_sided_t
from grambench.analysis.paired import LEVEL

_FEWEST_FOR_OUTLIERS, _FAR = 5, 5.0


def pooled_interval(
    candidate: Iterable[float],
    reference: Iterable[float],
    others: Sequence[Iterable[float]] = (),
    level: float = LEVEL,
) -> ConfidenceInterval | None:
    """Interval of the mean log ratio, with one spread between processes for all strategies.

    Args:
        candidate: log cost of each of its processes.
        reference: the same of the reference.
        others: of further strategies and null tests on this machine; they only add degrees of freedom.
        level: coverage asked for.

    Returns:
        None where a side has no process, or nothing a second one: the spread is unknown.

    Raises:
        ValueError: a cost is not finite.
    """
    groups = [finite(group) for group in (candidate, reference, *others)]
    freedom = sum(len(group) - 1 for group in groups if group)
    if freedom < 1 or not groups[0] or not groups[1]:
        return None
    variance = sum(squares(group) for group in groups if group) / freedom
    error = math.sqrt(variance * (1 / len(groups[0]) + 1 / len(groups[1])))
    fewest = min(len(groups[0]), len(groups[1]))
    method = f"pooled t, {freedom} degrees of freedom"
    centre = mean(groups[1]) - mean(groups[0])
    return around(centre, two_sided_t(level, freedom) * error, level, fewest, method)


def null_pair_interval(
    log_ratio: float, null_log_ratios: Iterable[float], level: float = LEVEL
) -> ConfidenceInterval | None:
    """Interval of one pair's log ratio, from null pairs (a strategy with itself); None without any.

    One null pair gives an honest interval, 12.7 times its difference wide to each side.

    Raises:
        ValueError: a log ratio is not finite.
    """
    differences = finite(null_log_ratios)
    if not differences:
        return None
    pairs = len(differences)
    spread = math.sqrt(math.fsum(value**2 for value in differences) / pairs)
    method = f"t, {pairs} null pair{'s' * (pairs > 1)}"
    return around(log_ratio, two_sided_t(level, pairs) * spread, level, 1, method)


def outliers(values: Sequence[float]) -> list[int]:
    """Numbers from 0 of the values that lie far from the others; empty below 5 values.

    Further from the median than 5 times the median distance from it, scaled to a standard deviation (Hampel
    1974). They are flagged, never left out: a process that was slow is a process.
    """
    if len(values) < _FEWEST_FOR_OUTLIERS:
        return []
    middle = median(values)
    spread = 1.4826 * median(abs(value - middle) for value in values)
    return [i for i, value in enumerate(values) if abs(value - middle) > _FAR * spread > 0]
