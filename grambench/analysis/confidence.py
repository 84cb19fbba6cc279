"""Confidence intervals of a mean or a median, and the quantiles of Student's t that they need."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist

_CLOSED_FORM_UP_TO = 100
"""Degrees of freedom beyond which the expansion in 1 / freedom is exact to 1e-9."""


@dataclass(frozen=True, slots=True)
class ConfidenceInterval:
    """Interval of a mean or a median, in the unit of the data; an infinite end is unbounded."""

    low: float
    high: float
    level: float
    """Nominal coverage, 0 to 1; distribution-free intervals may have more than was asked for."""
    units: int
    """Independent units behind it: seeds, pairs of processes or blocks of rounds; a count."""
    method: str

    def as_ratio(self) -> tuple[float, float]:
        """Both ends of a log ratio as ratios; inf where a ratio is too large for a float."""
        return to_ratio(self.low), to_ratio(self.high)


def to_ratio(log_ratio: float) -> float:
    """e to the power of a log ratio; inf instead of an overflow."""
    return math.exp(log_ratio) if log_ratio < 709 else math.inf


def finite(values: Iterable[float]) -> list[float]:
    """The values as a list, all of them finite.

    Raises:
        ValueError: a value is NaN or infinite.
    """
    listed = [float(value) for value in values]
    if not all(map(math.isfinite, listed)):
        raise ValueError("a value is not finite")
    return listed


def mean(values: list[float]) -> float:
    """Arithmetic mean of one or more values, rounded once."""
    return math.fsum(values) / len(values)


def squares(values: list[float]) -> float:
    """Sum of squared deviations from the mean."""
    centre = mean(values)
    return math.fsum((value - centre) ** 2 for value in values)


def standard_error(values: list[float]) -> float:
    """Standard error of the mean of two or more independent values."""
    return math.sqrt(squares(values) / (len(values) - 1) / len(values))


def around(centre: float, half: float, level: float, units: int, method: str) -> ConfidenceInterval:
    """The symmetric interval centre ± half."""
    return ConfidenceInterval(centre - half, centre + half, level, units, method)


def two_sided_t(level: float, freedom: int) -> float:
    """Half-width over standard error of a two-sided t interval; `level` between 0 and 1."""
    return t_quantile((1 + level) / 2, freedom)


@lru_cache(maxsize=4096)
def t_quantile(p: float, freedom: int) -> float:
    """Quantile of Student's t; `p` strictly between 0 and 1, whole degrees of freedom from 1 on.

    Up to 100 degrees by bisection of the closed form (Abramowitz & Stegun 26.7.3 and 26.7.4), beyond by the
    expansion in 1 / freedom (26.7.5).

    Raises:
        ValueError: `p` or `freedom` is out of range.
    """
    if not 0 < p < 1 or freedom < 1:
        raise ValueError(f"Student's t has no quantile {p} with {freedom} degrees of freedom")
    if p < 0.5:
        return -t_quantile(1 - p, freedom)
    return _bisected(p, freedom) if freedom <= _CLOSED_FORM_UP_TO else _expanded(p, freedom)


def _bisected(p: float, freedom: int) -> float:
    low, high = 0.0, 1.0
    while _t_probability(high, freedom) < p:
        low, high = high, 2 * high
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _t_probability(middle, freedom) < p else (low, middle)
    return (low + high) / 2


def _t_probability(t: float, freedom: int) -> float:
    angle = math.atan(t / math.sqrt(freedom))
    sine, cosine = math.sin(angle), math.cos(angle)
    odd = freedom % 2
    term, total = cosine if odd else 1.0, 0.0
    for k in range(1 + odd, freedom, 2):
        total += term
        term *= cosine**2 * k / (k + 1)
    inside = 2 / math.pi * (angle + sine * total) if odd else sine * total
    return 0.5 + inside / 2


def _expanded(p: float, freedom: int) -> float:
    z = NormalDist().inv_cdf(p)
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return z + math.fsum(term / freedom**power for power, term in enumerate(terms, 1))
