"""Axis limits and ticks at round values."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import ceil, floor, inf, log10

_HALF_A_DOT = 0.125
"""In rows of four dots."""
_NEARLY = 1.25
"""A scale with steps so much coarser is preferred if it has more ticks."""
_TIME_STEPS = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400, 21600, 43200, 86400)


@dataclass(frozen=True, slots=True)
class YScale:
    """From values to rows; every tick is in the middle of a row."""

    bottom: float
    """Value in the middle of the lowest row; its logarithm to base 10 on a logarithmic scale."""
    per_row: float
    """By which the value, or its logarithm, rises from row to row."""
    rows: int
    ticks: tuple[tuple[int, float], ...]
    """Row from the top and value of each, from the lowest to the highest."""
    logarithmic: bool = False

    def place(self, value: float) -> float:
        """Rows below the upper edge; a value outside the scale is at its edge."""
        if self.logarithmic:
            value = log10(value) if value > 0 else self.bottom
        above = (value - self.bottom) / self.per_row
        return self.rows - 0.5 - max(0.0, min(self.rows - 1.0, above))

    @property
    def labels(self) -> list[str]:
        """The ticks with as many decimals as are needed to tell them apart."""
        values = [value for _, value in self.ticks]
        if self.logarithmic:
            return [f"{value:,.0f}" if value >= 1 else f"{value:g}" for value in values]
        step = values[1] - values[0]
        return [f"{value:,.{max(0, -floor(log10(step) + 1e-9))}f}" for value in values]


def y_scale(values: Sequence[float], rows: int, zero: bool = False, logarithmic: bool = False) -> YScale:
    """The scale of `rows` rows that holds `values`, with fine steps and at least two ticks.

    Args:
        values: what is shown.
        rows: height of the chart.
        zero: from 0, unless logarithmic.
        logarithmic: by powers of ten; values at or below 0 are at its lower edge.
    """
    if logarithmic:
        values = [log10(value) for value in values if value > 0]
    low, high = min(values, default=0.0), max(values, default=1.0)
    low = min(low, 0.0) if zero and not logarithmic else low
    if high - low < (1.0 if logarithmic else max(1e-6, 1e-9 * abs(high))):
        high = low + (1.0 if logarithmic else max(abs(high) * 0.02, 1e-3))
    fitting = list(_fitting(low, high, rows, logarithmic))
    if fitting:
        return max(fitting, key=lambda scale: len(scale.ticks))
    ends = [(row, 10**value if logarithmic else value) for row, value in ((rows - 1, low), (0, high))]
    return YScale(low, (high - low) / max(1, rows - 1), rows, tuple(ends), logarithmic)


def _fitting(low: float, high: float, rows: int, logarithmic: bool) -> Iterator[YScale]:
    """The finest scale that fits, and those that are nearly as fine."""
    gaps, finest = max(1, rows - 1), inf
    steps, marks = (_decades, _powers) if logarithmic else (_round_steps, _multiples)
    for step, parts in steps((high - low) / gaps, gaps):
        lowest = floor(low * parts / step + 1e-6)
        spare = lowest + rows - 1 - ceil(high * parts / step - 1e-6)
        if step / parts > _NEARLY * finest:
            return
        if spare < 0:
            continue
        lowest -= spare // 2 if low else 0  # in the middle, unless it stands on 0
        inside = range(lowest, lowest + rows)
        found = marks(inside, step, parts)
        if 2 <= len(found) <= max(2, min(6, (rows + 1) // 2)):
            finest = min(finest, step / parts)
            ticks = tuple((inside[-1] - index, value) for index, value in found)
            yield YScale(lowest * step / parts, step / parts, rows, ticks, logarithmic)


def _round_steps(per_row: float, gaps: int) -> list[tuple[float, int]]:
    """Distances of ticks, and the rows that each spans: at least `per_row` a row, the finest first.

    `gaps`: rows that a tick may span at most.
    """
    power = floor(log10(per_row))
    steps = [factor * 10.0**shifted for shifted in range(power, power + 4) for factor in (1, 2, 5)]
    most = [min(gaps, floor(step / per_row + 1e-6)) for step in steps]
    pairs = [(step, parts) for step, last in zip(steps, most, strict=True) for parts in range(1, last + 1)]
    return sorted(pairs, key=lambda pair: pair[0] / pair[1])


def _multiples(inside: range, step: float, parts: int) -> list[tuple[int, float]]:
    return [(index, round(index // parts * step, 12)) for index in inside if index % parts == 0]


def _decades(per_row: float, gaps: int) -> list[tuple[float, int]]:
    """The same for logarithms: a decade on several rows, or several decades on each."""
    parts = range(max(1, min(2 * gaps, floor(1 / per_row + 1e-6))), 0, -1)
    return [*((1.0, each) for each in parts), *((float(step), 1) for step in range(2, 2 + ceil(per_row)))]


def _powers(inside: range, step: float, parts: int) -> list[tuple[int, float]]:
    """Powers of ten; where fewer than two are inside, also 2 and 5 times them if they hit a row, nearly."""
    powers = [(index, 10.0 ** (index // parts * step)) for index in inside if index % parts == 0]
    if len(powers) > 1 or step > 1:
        return powers
    decades = range(inside[0] // parts, inside[-1] // parts + 1)
    exact = [(log10(f * 10.0**decade) * parts, f * 10.0**decade) for decade in decades for f in (1, 2, 5)]
    near = [(round(index), value) for index, value in exact if abs(index - round(index)) <= _HALF_A_DOT]
    return [(index, value) for index, value in near if index in inside]


def nice_ticks(high: float, most: int) -> list[float]:
    """At least two values from 0 on, 1, 2 or 5 times a power of ten apart, and at most about `most`."""
    power = 10.0 ** floor(log10(high / max(1, most)))
    steps = [power * factor for factor in (1, 2, 5, 10, 20) if power * factor <= high]
    step = next((step for step in steps if high / step <= most), steps[-1])
    return [round(index * step, 12) for index in range(floor(high / step + 1e-9) + 1)]


def time_axis(high_s: float, most: int) -> list[tuple[float, str]]:
    """Ticks from 0 to `high_s` seconds, each with its value and unit: `20 s`, `5 min`, `2 h`."""
    if high_s <= 0:
        return [(0.0, "0")]
    if high_s / most < 1:
        return [(tick, _time_label(tick, 1)) for tick in nice_ticks(high_s, most)]
    steps = [step for step in _TIME_STEPS if step <= high_s]
    step = next((step for step in steps if high_s / step <= most), steps[-1])
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
        shown = shown[:: max(1, -(-len(shown) // most))] if len(shown) > 1 else [scale.low, scale.high]
        return [(tick, _value_label(tick, unit)) for tick in shown]
    if unit == "s":
        return time_axis(scale.high, most)
    return [(tick, _value_label(tick, unit)) for tick in nice_ticks(scale.high, most)]


def _value_label(value: float, unit: str) -> str:
    if unit == "s" and value >= 60:
        return _time_label(round(value), 3600 if value >= 3600 else 60)
    if not value:
        return "0"
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
