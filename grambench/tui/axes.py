"""Axis limits and ticks at round values."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil, floor, log10
from typing import Self

_SHORTEST = 1e-6
_TIME_STEPS = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400, 21600, 43200, 86400)


@dataclass(frozen=True, slots=True)
class Axis:
    """Lowest and highest value shown."""

    low: float
    high: float

    @classmethod
    def around(cls, values: Sequence[float], zero: bool = False) -> Self:
        """Limits with a little air around `values`; from 0 where `zero`."""
        low, high = min(values, default=0.0), max(values, default=1.0)
        if zero:
            return cls(0.0, high * 1.08 if high > 0 else 1.0)
        span = high - low
        if span < _SHORTEST:  # equal as far as labels can tell
            span = max(abs(high) * 0.02, 1e-3)
        return cls(low - 0.06 * span, high + 0.10 * span)


def nice_ticks(low: float, high: float, most: int) -> list[float]:
    """At most about `most` values 1, 2 or 5 times a power of ten apart; never none."""
    span = high - low
    if span <= 0:
        return [low]
    power = 10.0 ** floor(log10(span / max(1, most)))
    step = next(power * factor for factor in (1, 2, 5, 10, 20) if span / (power * factor) <= most)
    first, last = ceil(low / step - 1e-9), floor(high / step + 1e-9)
    ticks = [round(index * step, 12) for index in range(first, last + 1)]
    return ticks or [round((low + high) / 2, 12)]


def tick_labels(ticks: Sequence[float]) -> list[str]:
    """The ticks with as many decimals as tell them apart."""
    step = ticks[1] - ticks[0] if len(ticks) > 1 else abs(ticks[0]) / 10 or 1.0
    decimals = max(0, -floor(log10(step) + 1e-9)) if step > 0 else 0
    return [f"{tick:,.{decimals}f}" for tick in ticks]


def time_axis(high_s: float, most: int) -> list[tuple[float, str]]:
    """Ticks from 0 to `high_s` seconds, each with its value and unit: `20 s`, `5 min`, `2 h`."""
    if high_s <= 0:
        return [(0.0, "0 s")]
    if high_s / most < 1:
        return [(tick, f"{tick:g} s") for tick in nice_ticks(0.0, high_s, most)]
    step = next((step for step in _TIME_STEPS if high_s / step <= most), _TIME_STEPS[-1])
    step *= ceil(high_s / step / most) if high_s / step > most else 1
    ticks = [float(index * step) for index in range(floor(high_s / step) + 1)]
    return [(tick, _time_label(tick, step)) for tick in ticks]


def _time_label(value: float, step: int) -> str:
    if not value:
        return "0"
    if step >= 3600:
        return f"{value / 3600:g} h"
    if step >= 60:
        return f"{value / 60:g} min"
    return f"{value:g} s"


def thin(
    points: Sequence[tuple[float, float]], most: int, pick: Callable[[list[float]], float]
) -> tuple[tuple[float, float], ...]:
    """At most about `most` points: `pick` of each stretch's values, and the newest as it is."""
    if len(points) <= most or most < 2:
        return tuple(points)
    size = len(points) / (most - 1)
    found: list[tuple[float, float]] = []
    for index in range(most - 1):
        stretch = points[floor(index * size) : max(floor((index + 1) * size), floor(index * size) + 1)]
        found.append((stretch[-1][0], pick([y for _, y in stretch])))
    found[-1] = points[-1]
    return tuple(found)
