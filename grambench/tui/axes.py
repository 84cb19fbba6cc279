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
        """Limits with a small margin around `values`; from 0 if `zero`."""
        low, high = min(values, default=0.0), max(values, default=1.0)
        if zero:
            return cls(0.0, high * 1.08 if high > 0 else 1.0)
        span = high - low
        if span < _SHORTEST:  # equal to the labels' precision
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
    """The ticks with as many decimals as are needed to tell them apart."""
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


@dataclass(frozen=True, slots=True)
class XScale:
    """From values to cells, linear or logarithmic."""

    low: float
    high: float
    columns: int
    logarithmic: bool = False

    def cells(self, x: float) -> float:
        """Cells to the right of the axis."""
        if self.logarithmic:
            share = log10(max(x, self.low) / self.low) / log10(self.high / self.low)
        else:
            share = (x - self.low) / (self.high - self.low)
        return share * (self.columns - 1)

    def value(self, share: float) -> float:
        """The value at a position, 0 the left end and 1 the right end."""
        if self.logarithmic:
            return float(self.low * (self.high / self.low) ** share)
        return self.low + share * (self.high - self.low)


def x_scale(
    ends: Sequence[tuple[float, int]], values: Sequence[float], columns: int, logarithmic: bool = False
) -> XScale:
    """A scale on which every curve's end leaves room for its name.

    Args:
        ends: x of each curve's end, and the cells that must stay free to its right.
        values: all values above 0.
        columns: cells of the axis.
        logarithmic: begins at the smallest value; else at 0.
    """
    positive = [(x, room) for x, room in ends if x > 0]
    if not positive:
        return XScale(0.0, float(max(1, columns - 1)), columns)
    most = max(x for x, _ in positive)
    if not logarithmic:
        per_unit = min(max(4, columns - room) / x for x, room in positive)
        return XScale(0.0, max(most, (columns - 1) / per_unit), columns)
    low = min(min(values), most / 2)
    shares = [(log10(x / low), max(4, columns - room) / columns) for x, room in positive if x > low]
    decades = max((decade / share for decade, share in shares), default=1.0)
    return XScale(low, low * 10**decades, columns, True)


def x_ticks(scale: XScale, unit: str, most: int) -> list[tuple[float, str]]:
    """Ticks with their labels; a logarithmic axis shows real values, never exponents."""
    if scale.logarithmic:
        first, last = floor(log10(scale.low)), ceil(log10(scale.high))
        ticks = [10.0**power * step for power in range(first, last + 1) for step in (1, 2, 5)]
        if unit == "s":  # from one minute on in whole minutes and hours
            ticks = [tick for tick in ticks if tick < 60] + [
                float(step) for step in _TIME_STEPS if step >= 60
            ]
        shown = [tick for tick in ticks if scale.low <= tick <= scale.high]
        shown = shown[:: max(1, -(-len(shown) // most))]
        return [(tick, _value_label(tick, unit)) for tick in shown or [scale.low]]
    if unit == "s":
        return time_axis(scale.high, most)
    return [(tick, _value_label(tick, unit)) for tick in nice_ticks(0.0, scale.high, most)]


def _value_label(value: float, unit: str) -> str:
    if unit == "s" and value >= 60:
        return _time_label(round(value), 3600 if value >= 3600 else 60)
    number = f"{value:,.0f}" if value >= 10 or value == round(value) else f"{value:g}"
    return number if unit == "steps" else f"{number} {unit}"


def thin(
    points: Sequence[tuple[float, float]], most: int, pick: Callable[[list[float]], float]
) -> tuple[tuple[float, float], ...]:
    """At most about `most` points: `pick` of each stretch's values, and the newest unchanged."""
    if len(points) <= most or most < 2:
        return tuple(points)
    size = len(points) / (most - 1)
    kept: list[tuple[float, float]] = []
    for index in range(most - 1):
        stretch = points[floor(index * size) : max(floor((index + 1) * size), floor(index * size) + 1)]
        kept.append((stretch[-1][0], pick([y for _, y in stretch])))
    kept[-1] = points[-1]
    return tuple(kept)
