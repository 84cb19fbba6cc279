"""Intervals over pairs of fresh processes with the same seed: the unit of inference between processes.

Epochs, turns and steps of one process share one random draw: a nominal 95 % interval over them covers the
truth in only 17 to 85 % of cases (`benchmarks/inference.py`). From 6 pairs on, intervals assume only that the
differences are symmetric; below, that they are normal.
"""

import math
import random
from collections.abc import Iterable, Mapping

from grambench.analysis.confidence import (
    ConfidenceInterval,
    around,
    finite,
    mean,
    standard_error,
    two_sided_t,
)

LEVEL = 0.95
"""Coverage that a report asks for."""
FEWEST_FOR_T, FEWEST_FOR_SIGN_FLIP = 3, 6
"""Seeds from which `seed_interval` gives an interval, and from which it assumes symmetry only."""
EXACT_UP_TO, DRAWN_PATTERNS = 14, 20_000
"""Differences up to which all sign patterns are enumerated, and how many are drawn beyond."""
REPEATED_LEVELS: Mapping[int, float] = {
    8: 0.9715,
    10: 0.9791,
    12: 0.9830,
    16: 0.9870,
    20: 0.9890,
    24: 0.9904,
    30: 0.9916,
}
"""Maximum seeds -> level of the t interval at each look from 6 on, so that all looks together hold with .95.

From 400,000 normal draws. Repeated confidence intervals (Jennison & Turnbull 1989) in Pocock's (1977) shape.
"""
MOST_SEEDS = max(REPEATED_LEVELS)


def seed_interval(differences: Iterable[float], level: float = LEVEL) -> ConfidenceInterval | None:
    """Interval of the mean difference over seeds: sign-flip from 6 seeds on, t for 3 to 5, None below.

    Args:
        differences: candidate - reference, one for each seed.
        level: coverage asked for; `ConfidenceInterval.level` is what it came to.

    Raises:
        ValueError: a difference is not finite. So do all functions of this module.
    """
    values = finite(differences)
    if len(values) >= FEWEST_FOR_SIGN_FLIP:
        return sign_flip_interval(values, level)
    return t_interval(values, level) if len(values) >= FEWEST_FOR_T else None


def t_interval(values: Iterable[float], level: float = LEVEL) -> ConfidenceInterval | None:
    """Interval of the mean, for independent, roughly normal values; None for fewer than 2."""
    listed = finite(values)
    if len(listed) < 2:
        return None
    half = two_sided_t(level, len(listed) - 1) * standard_error(listed)
    return around(mean(listed), half, level, len(listed), "t")


def sign_flip_p(values: Iterable[float], centre: float = 0.0) -> float:
    """Two-sided p of the sign-flip test (Fisher 1935) of "symmetric about `centre`"; at least 2 / 2^n.

    Up to 14 values all patterns are counted, beyond that 20,000 drawn ones. One or more values.
    """
    shifted = [value - centre for value in finite(values)]
    total = math.fsum(shifted)
    least = abs(total) - 1e-12 * math.fsum(map(abs, shifted))
    sums = [abs(2 * subset - total) for subset, _ in _subsets(shifted)]
    hits = sum(value >= least for value in sums)
    return hits / len(sums) if len(shifted) <= EXACT_UP_TO else (hits + 1) / (len(sums) + 1)


def sign_flip_interval(values: Iterable[float], level: float = LEVEL) -> ConfidenceInterval | None:
    """Interval of the mean, for independent values symmetric about it (Hartigan 1969, typical values).

    The means of all 2^n - 1 non-empty subsets cut the line into 2^n parts of equal probability; the interval
    holds the centres that `sign_flip_p` does not reject. None where [min, max] has less than `level`: below 6
    values at .95.
    """
    listed = finite(values)
    means = sorted(total / count for total, count in _subsets(listed) if count)
    parts = len(means) + 1
    rank = math.floor((1 - level) / 2 * parts + 1e-9)
    if rank < 1:
        return None
    return ConfidenceInterval(means[rank - 1], means[-rank], 1 - 2 * rank / parts, len(listed), "sign-flip")


def _subsets(values: list[float]) -> list[tuple[float, int]]:
    """Sum and size of every subset, or of 20,000 drawn ones where there are too many."""
    return _all_subsets(values) if len(values) <= EXACT_UP_TO else _drawn_subsets(values)


def _all_subsets(values: list[float]) -> list[tuple[float, int]]:
    subsets = [(0.0, 0)]
    for value in values:
        subsets += [(total + value, count + 1) for total, count in subsets]
    return subsets


def _drawn_subsets(values: list[float]) -> list[tuple[float, int]]:
    generator, drawn = random.Random(0), [(0.0, 0)] * DRAWN_PATTERNS
    for start in range(0, len(values), 10):
        parts = generator.choices(_all_subsets(values[start : start + 10]), k=DRAWN_PATTERNS)
        drawn = [(a + b, m + n) for (a, m), (b, n) in zip(drawn, parts, strict=True)]
    return drawn


def order_statistics_interval(
    at_least: Iterable[float], at_most: Iterable[float] | None = None, level: float = LEVEL
) -> ConfidenceInterval | None:
    """Distribution-free interval of the median, for values of which some may be known only by bounds.

    Ranks of the sign test (Thompson 1936): the low end comes from the lower bounds, the high end from the
    upper ones. None where [min, max] has less than `level`: below 6 values at .95.

    Args:
        at_least: the values; of a censored one its lower bound, or -inf.
        at_most: the values; of a censored one its upper bound, or inf. None: nothing is censored.
        level: coverage asked for.
    """
    lows = sorted(at_least)
    highs = lows if at_most is None else sorted(at_most)
    count, below, rank = len(lows), 0.0, 0
    while rank < count and below + math.comb(count, rank) / 2**count <= (1 - level) / 2:
        below, rank = below + math.comb(count, rank) / 2**count, rank + 1
    if not rank:
        return None
    return ConfidenceInterval(lows[rank - 1], highs[count - rank], 1 - 2 * below, count, "order statistics")


def repeated_interval(differences: Iterable[float], most: int) -> ConfidenceInterval | None:
    """Interval of the mean difference at each look from seed 6 to `most`: joint coverage of all looks is .95.

    Args:
        differences: candidate - reference of the seeds so far.
        most: seeds after which one stops in any case, fixed before the first; 6 to 30.

    Returns:
        None below 6 seeds.

    Raises:
        ValueError: `most` is out of range, there are more seeds than `most`, or a difference is not finite.
    """
    values = finite(differences)
    if not FEWEST_FOR_SIGN_FLIP <= most <= MOST_SEEDS:
        raise ValueError(f"{most} seeds at most: must be {FEWEST_FOR_SIGN_FLIP} to {MOST_SEEDS}")
    if len(values) > most:
        raise ValueError(f"{len(values)} seeds, but the looks were planned for {most} at most")
    at_each_look = REPEATED_LEVELS[min(seeds for seeds in REPEATED_LEVELS if seeds >= most)]
    look = t_interval(values, at_each_look) if len(values) >= FEWEST_FOR_SIGN_FLIP else None
    return look and ConfidenceInterval(
        look.low, look.high, LEVEL, look.units, f"repeated t, {most} seeds at most"
    )
