"""Curves with their names at their ends, on the braille canvas of textual-plot."""

from dataclasses import dataclass
from itertools import pairwise
from math import floor
from typing import Literal

from textual import on
from textual.events import Leave, MouseMove
from textual.message import Message
from textual.strip import Strip
from textual_hires_canvas import Canvas

from grambench.tui.axes import Axis, XScale, nice_ticks, tick_labels, x_scale, x_ticks
from grambench.tui.palette import Tones

_CROWDED = 14
Unit = Literal["s", "steps", "J"]


@dataclass(frozen=True, slots=True)
class Curve:
    """One line of a chart."""

    name: str
    colour: str
    marker: str
    points: tuple[tuple[float, float], ...]
    marked: bool = True
    """Draw the marker at every point, not only at the end."""


@dataclass(frozen=True, slots=True)
class Picture:
    """What a chart shows; an equal picture is not redrawn."""

    curves: tuple[Curve, ...]
    tones: Tones
    zero: bool = False
    """The value axis begins at 0."""
    unit: Unit = "s"
    """Of the x-axis."""
    logarithmic: bool = False
    """Logarithmic x-axis; values at or below 0 are at its start."""
    target: float | None = None
    """A value drawn as a horizontal line."""
    cursor: float | None = None
    """Position of a vertical line on the x-axis, 0 to 1."""


class Chart(Canvas):
    """A quiet chart: dim axes, bright data. It takes no keys, and reports where the mouse is."""

    can_focus = False

    class Hovered(Message):
        """The mouse is at a position on the x-axis, 0 to 1; None: it has left the chart."""

        def __init__(self, chart: "Chart", share: float | None) -> None:
            super().__init__()
            self.chart, self.share = chart, share

        @property
        def control(self) -> "Chart":
            """The chart under the mouse."""
            return self.chart

    def __init__(self) -> None:
        super().__init__(1, 1)
        self._picture: Picture | None = None
        self._span = (0, 0)
        """First column of the x-axis, and its columns."""
        self.drawn = 0
        """Frames drawn so far."""

    def show(self, picture: Picture) -> None:
        """Draw `picture` unless it is already drawn."""
        if picture != self._picture:
            self._picture = picture
            self._draw()

    def render_line(self, y: int) -> Strip:
        """A row; blank in the theme's colours until it is drawn (NO_COLOR needs a style)."""
        strip = super().render_line(y)
        return strip if strip.cell_length else Strip.blank(self.size.width, self.rich_style)

    @on(Canvas.Resize)
    def _resized(self, event: Canvas.Resize) -> None:
        event.stop()
        self._draw()

    def _draw(self) -> None:
        size, picture = self.size, self._picture
        if picture is None or not size.area:
            return
        self.drawn += 1
        with self.batch_refresh():
            self.reset(size=size)
            if size.width < 16 or size.height < 4 or not any(c.points for c in picture.curves):
                return
            painter = _Painter(self, picture)
            self._span = painter.left + 1, painter.columns
            painter.paint()

    def on_mouse_move(self, event: MouseMove) -> None:
        """Report the position on the x-axis."""
        first, columns = self._span
        if columns > 1:
            share = (event.x - first) / (columns - 1)
            self.post_message(self.Hovered(self, min(1.0, max(0.0, share))))

    def on_leave(self, _: Leave) -> None:
        """Report that the mouse has left."""
        self.post_message(self.Hovered(self, None))


class _Painter:
    """One drawing of one picture."""

    def __init__(self, canvas: Chart, picture: Picture) -> None:
        self.canvas, self.picture = canvas, picture
        self.width, self.height = canvas.size
        self.rows = self.height - 2
        ys = [y for curve in picture.curves for _, y in curve.points]
        ys += [picture.target] if picture.target is not None else []
        self.y = Axis.around(ys, zero=picture.zero)
        self.y_ticks = nice_ticks(self.y.low, self.y.high, max(2, min(6, self.rows // 2)))
        self.y_labels = tick_labels(self.y_ticks)
        self.left = max(len(label) for label in self.y_labels) + 1
        self.columns = self.width - self.left - 1
        self.x = self._x_scale()
        self.taken: set[tuple[int, int]] = set()

    def _x_scale(self) -> XScale:
        """A scale on which every curve's end leaves room for its name."""
        ends = [(c.points[-1][0], len(c.name) + 4) for c in self.picture.curves if c.points]
        firsts = [x for curve in self.picture.curves for x, _ in curve.points if x > 0]
        return x_scale(ends, firsts, self.columns, self.picture.logarithmic)

    def paint(self) -> None:
        """Axes first, then the data over them, then markers, then names."""
        self._axes()
        self._guides()
        curves = [curve for curve in self.picture.curves if curve.points]
        for curve in curves:
            self._line(curve)
        for curve in curves:
            self._markers(curve)
        for curve in sorted(curves, key=lambda c: -c.points[-1][0]):
            self._name(curve)

    def cell(self, x: float, y: float) -> tuple[float, float]:
        """Position in cells, with fractions for the braille dots."""
        share = (self.y.high - y) / (self.y.high - self.y.low)
        top = share * (self.rows - 1) + 0.5
        return self.left + 1 + self.x.cells(x) + 0.25, max(0.0, min(self.rows - 0.01, top))

    def _axes(self) -> None:
        tones, bottom = self.picture.tones, self.rows
        for row in range(self.rows):
            self.canvas.set_pixel(self.left, row, "│", tones.faint)
        for column in range(self.left, self.width):
            self.canvas.set_pixel(column, bottom, "─" if column > self.left else "└", tones.faint)
        for tick, label in zip(self.y_ticks, self.y_labels, strict=True):
            row = floor(self.cell(0.0, tick)[1])
            self._text(self.left - 1 - len(label), row, label, tones.muted)
            self.canvas.set_pixel(self.left, row, "┤", tones.faint)
        free = 0
        for tick, label in x_ticks(self.x, self.picture.unit, max(2, self.columns // 12)):
            column = self.left + 1 + floor(self.x.cells(tick) + 0.25) - (tick == 0)
            start = min(max(column - len(label) // 2, 0), self.width - len(label))
            if start < free:
                continue
            free = start + len(label) + 1
            self.canvas.set_pixel(column, bottom, "┴" if tick else "└", tones.faint)
            self._text(start, bottom + 1, label, tones.muted)

    def _guides(self) -> None:
        """The target's line and the cursor's."""
        tones = self.picture.tones
        if self.picture.target is not None:
            row = floor(self.cell(self.x.low, self.picture.target)[1])
            for column in range(self.left + 1, self.width):
                self.canvas.set_pixel(column, row, "╌", tones.accent)
            self._text(self.left + 2, row, f" target {self.picture.target:g} ", tones.accent)
        if self.picture.cursor is not None:
            column = self.left + 1 + floor(self.picture.cursor * (self.columns - 1))
            for row in range(self.rows):
                self.canvas.set_pixel(column, row, "┊", tones.muted)

    def _line(self, curve: Curve) -> None:
        cells = [self.cell(x, y) for x, y in curve.points]
        # markers are in the middle of a cell, and the line must meet them
        for index in range(len(cells)) if curve.marked else (len(cells) - 1,):
            cells[index] = (floor(cells[index][0]) + 0.5, floor(cells[index][1]) + 0.5)
        if len(cells) > 1:
            segments = [(*a, *b) for a, b in pairwise(cells)]
            self.canvas.draw_hires_lines(segments, style=curve.colour)

    def _markers(self, curve: Curve) -> None:
        for x, y in curve.points if curve.marked else curve.points[-1:]:
            column, row = (floor(part) for part in self.cell(x, y))
            self.canvas.set_pixel(column, row, curve.marker, curve.colour)
            self.taken.add((column, row))

    def _name(self, curve: Curve) -> None:
        if not curve.name:
            return
        column, row = (floor(part) for part in self.cell(*curve.points[-1]))
        length = len(curve.name)
        places = [(column + 2, row + shift) for shift in (0, -1, 1, -2, 2, -3, 3, -4, 4)]
        places += [(column - length // 2, row + shift) for shift in (-1, 1, -2, 2)]
        inside = [
            (x, y) for x, y in places if self.left < x and x + length <= self.width and 0 <= y < self.rows
        ]
        if not inside:
            return
        x, y = min(inside, key=lambda place: self._cost(place, length, row))
        if not curve.marked and self._cost((x, y), length, row) > _CROWDED:
            return  # the marker at the curve's end identifies it
        self._text(x, y, curve.name, f"bold {curve.colour}")
        self.taken.update((x + i, y) for i in range(-1, length + 1))

    def _cost(self, place: tuple[int, int], length: int, row: int) -> int:
        """How much a name of `length` cells at `place` would hide, and how far from its `row` it is."""
        x, y = place
        cells = [(x + i, y) for i in range(length)]
        names = sum(cell in self.taken for cell in cells)
        data = sum(self.canvas.get_pixel(*cell)[0] != " " for cell in cells)
        return 100 * names + 6 * data + 2 * abs(y - row)

    def _text(self, x: int, y: int, text: str, style: str) -> None:
        """Character by character: the canvas's own text writer takes markup."""
        for shift, character in enumerate(text):
            self.canvas.set_pixel(x + shift, y, character, style)
