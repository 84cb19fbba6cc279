"""What a figure shows: axes with round ticks, curves, dots and bars. `svg.py` draws it."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from math import ceil, floor, log10

from grambench.reports.render.labels import LabelTrials
from grambench.views.axes import XScale, x_scale, x_ticks, y_scale
from grambench.views.palette import looks

_ROWS = 60
"""Steps of a value axis: its ticks lie on whole ones."""
_COLUMNS = 1001
"""Steps of an axis of amounts; its ticks lie anywhere."""
_MARGIN = 1.12
"""Free at both ends of a logarithmic axis, a ratio."""
_DASHES = ("", "7 3", "2 3", "8 3 2 3", "12 4")
Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Key:
    """How a label is drawn everywhere: by marker and dashes as well as by colour."""

    label: str
    light: str
    """Colour on a light ground."""
    dark: str
    """Colour on a dark ground."""
    marker: str
    dash: str
    """SVG's `stroke-dasharray`; empty: solid."""

    @property
    def css(self) -> str:
        """Class that has its colour."""
        return f"k{self.light[1:].lower()}"


@dataclass(frozen=True, slots=True)
class Axis:
    """From values to shares of the axis, 0 to 1."""

    title: str
    ticks: tuple[tuple[float, str], ...]
    """Share and label of each."""
    share: Callable[[float], float]


@dataclass(frozen=True, slots=True)
class Curve:
    """Values of a label, with a marker at each."""

    key: Key
    points: tuple[Point, ...]
    band: tuple[tuple[float, float, float], ...] = ()
    """x, lowest and highest y."""


@dataclass(frozen=True, slots=True)
class Dot:
    """One value of a label."""

    key: Key
    x: float
    y: float
    low: float
    """Lower end of the interval of y; y itself without one."""
    high: float
    hollow: bool = False
    ringed: bool = False


@dataclass(frozen=True, slots=True)
class Chart:
    """Curves and dots over two axes."""

    x: Axis
    y: Axis
    curves: tuple[Curve, ...] = ()
    dots: tuple[Dot, ...] = ()
    line: tuple[Point, Point, str] | None = None
    """Two points and what the dashed line between them is."""


@dataclass(frozen=True, slots=True)
class Bar:
    """A horizontal bar; without ends it is the heading of those below."""

    name: str
    ends: Point | None = None
    text: str = ""
    """At its end."""
    key: Key | None = None
    hollow: bool = False


@dataclass(frozen=True, slots=True)
class Bars:
    """Horizontal bars over one axis."""

    x: Axis
    bars: tuple[Bar, ...]


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure, or why there is none."""

    name: str
    """For file names."""
    title: str
    chart: Chart | Bars | None
    caption: str
    """How to read it; without a chart, why there is none."""


def keys_of(labels: Sequence[LabelTrials]) -> dict[str, Key]:
    """The key of each label; colours and markers are the dashboard's."""
    strategies = {each.label: each.strategy for each in labels}
    light, dark = looks(strategies, dark=False), looks(strategies)
    return {
        label: Key(
            label, light[label].colour, dark[label].colour, light[label].marker, _DASHES[n % len(_DASHES)]
        )
        for n, label in enumerate(strategies)
    }


def value_axis(title: str, values: Iterable[float], zero: bool = False) -> Axis:
    """An axis that holds all values; `zero`: from 0."""
    scale = y_scale([*values], _ROWS, zero)
    ticks = zip((1 - (row + 0.5) / _ROWS for row, _ in scale.ticks), scale.labels, strict=True)
    return Axis(title, tuple(ticks), lambda value: 1 - scale.place(value) / _ROWS)


def log_axis(title: str, values: Iterable[float]) -> Axis:
    """A logarithmic axis that holds all values, which are above 0, with two round ticks or more."""
    listed = [*values]
    low, high = min(listed) / _MARGIN, max(listed) * _MARGIN
    first, last = floor(log10(low)), ceil(log10(high))
    steps = [step * 10.0**power for power in range(first, last + 1) for step in (1, 2, 5)]
    if sum(low <= step <= high for step in steps) < 2:
        low, high = max(step for step in steps if step <= low), min(step for step in steps if step >= high)
    return _over(title, XScale(low, high, _COLUMNS, logarithmic=True), "steps", 7)


def amount_axis(title: str, values: Iterable[float], unit: str) -> Axis:
    """An axis of seconds or joules from 0 on."""
    return _over(title, x_scale([(max(values, default=1.0), 0)], (), _COLUMNS), unit, 5)


def _over(title: str, scale: XScale, unit: str, most: int) -> Axis:
    def share(value: float) -> float:
        return scale.cells(value) / (scale.columns - 1)

    return Axis(title, tuple((share(tick), label) for tick, label in x_ticks(scale, unit, most)), share)


def legend(chart: Chart) -> list[Key]:
    """The keys of a chart, each once."""
    return list(dict.fromkeys(chain((c.key for c in chart.curves), (d.key for d in chart.dots))))
