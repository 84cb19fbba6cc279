"""Curves with their names at their ends, in braille dots."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise, product
from math import floor, hypot
from typing import Literal

from textual import on
from textual.events import Leave, MouseMove
from textual.message import Message
from textual.strip import Strip
from textual_hires_canvas import Canvas

from grambench.views.axes import XScale, x_scale, x_ticks, y_scale
from grambench.views.palette import Tones

_CROWDED = 14
"""A name that costs more is left out of a small chart."""
_COSTS_MUCH = 8
"""The same in a chart with many names: four rows from its curve, or one row and a hidden cell."""
_HIDES_A_NAME = 100
_MANY = 7
"""A chart with more names than this leaves out those that would hide curves, or be far from their own."""
_APART = 4
"""Cells between the markers of a curve."""
_DASH = 3
"""Cells in a row that a curve owns where it coincides with others."""
_COINCIDING = 0.8
"""Share of its dots that the shorter of two coinciding curves has on the longer, or next to it."""
_BRAILLE = 0x2800
_DOT = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
"""Bit of each dot of a braille cell, by row and column."""
_DOT_ROWS = 0.25
Unit = Literal["s", "steps", "J"]


@dataclass(frozen=True, slots=True)
class Curve:
    """One line of a chart."""

    name: str
    colour: str
    marker: str
    points: tuple[tuple[float, float], ...]
    marked: bool = True
    """Draw the marker beside every point, not only at the end."""
    dimmed: bool = False
    """Draw it below the others, without name and markers."""


@dataclass(frozen=True, slots=True)
class Picture:
    """What a chart shows; an equal picture is not redrawn."""

    curves: tuple[Curve, ...]
    tones: Tones
    zero: bool = False
    """The value axis begins at 0, unless it is logarithmic."""
    logarithmic_y: bool = False
    """The value axis is logarithmic."""
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


Cell = tuple[int, int]


class _Painter:
    """One drawing of one picture."""

    def __init__(self, canvas: Chart, picture: Picture) -> None:
        self.canvas, self.picture = canvas, picture
        self.width, self.height = canvas.size
        self.rows = self.height - 2
        ys = [y for curve in picture.curves for _, y in curve.points]
        ys += [picture.target] if picture.target is not None else []
        self.y = y_scale(ys, self.rows, picture.zero, picture.logarithmic_y)
        self.left = max(map(len, self.y.labels)) + 1
        self.columns = self.width - self.left - 1
        self.curves = [curve for curve in picture.curves if curve.points]
        self.x = self._x_scale([[curve] for curve in self.curves])
        self.labels = self._together()
        self.crowded = sum(any(curve.name for curve in label) for label in self.labels) > _MANY
        self.x = self._x_scale(self.labels)
        self.taken: set[Cell] = set()

    def _x_scale(self, labels: Sequence[Sequence[Curve]]) -> XScale:
        """A scale on which every curve's end leaves room for its label."""
        ends = [
            (curve.points[-1][0], len(" = ".join(f"{c.marker} {c.name}" for c in label if c.name)) + 2)
            for label in labels
            for curve in label
        ]
        firsts = [x for curve in self.curves for x, _ in curve.points if x > 0]
        return x_scale(ends, firsts, self.columns, self.picture.logarithmic)

    def _together(self) -> list[list[Curve]]:
        """The curves that have a name, those that coincide in one list."""
        labels: list[list[Curve]] = []
        for curve in self.curves:
            for label in labels if curve.name else []:
                if self._coincide(label[0], curve):
                    label.append(curve)
                    break
            else:
                labels.append([curve])
        return labels

    def _coincide(self, one: Curve, other: Curve) -> bool:
        (x, y), (other_x, other_y) = (self._place(*curve.points[-1]) for curve in (one, other))
        if not one.name or abs(x - other_x) > 1 or abs(y - other_y) > _DOT_ROWS:
            return False
        shorter, longer = sorted((set(self._dots(curve)) for curve in (one, other)), key=len)
        near = {(x, y + shift) for x, y in longer for shift in (-1, 0, 1)}
        return len(shorter & near) >= _COINCIDING * len(shorter)

    def paint(self) -> None:
        """Axes first, then the data over them, then names, then markers where there is room."""
        self._axes()
        self._guides()
        self._lines()
        named: list[Curve] = []
        for label in sorted(self.labels, key=lambda label: -label[0].points[-1][0]):
            named += self._name(label)
        looks = {(curve.colour, curve.marker) for curve in named}
        for curve in self.curves:
            unnamed = (curve.colour, curve.marker) not in looks and len(self.curves) > 1
            if self.crowded and unnamed and curve.name:
                self._end_marker(curve)
            elif not (self.crowded or curve.dimmed):
                self._markers(curve, unnamed or (curve.marked and curve not in named))

    def _place(self, x: float, y: float) -> tuple[float, float]:
        """Position in cells, with fractions for the dots."""
        return self.left + 1 + self.x.cells(x) + 0.25, self.y.place(y)

    def _cell(self, x: float, y: float) -> Cell:
        column, row = self._place(x, y)
        return floor(column), floor(row)

    def _dots(self, curve: Curve) -> Iterator[Cell]:
        """Dots of a curve, two to a column and four to a row."""
        places = [self._place(x, y) for x, y in curve.points]
        ends = [(floor(2 * column), floor(4 * row)) for column, row in places]
        yield ends[0]
        for (x, y), (to_x, to_y) in pairwise(ends):
            steps = max(abs(to_x - x), abs(to_y - y))
            for step in range(1, steps + 1):
                yield x + round((to_x - x) * step / steps), y + round((to_y - y) * step / steps)

    def _lines(self) -> None:
        """Every dot of every curve; a cell of several is theirs in turn, along the line."""
        for dimmed in (True, False):
            self._draw_lines([curve for curve in self.curves if curve.dimmed == dimmed])

    def _draw_lines(self, curves: Sequence[Curve]) -> None:
        cells: dict[Cell, tuple[int, list[str]]] = {}
        for curve in curves:
            for x, y in self._dots(curve):
                dots, colours = cells.setdefault((x // 2, y // 4), (0, []))
                if curve.colour not in colours:
                    colours.append(curve.colour)
                cells[x // 2, y // 4] = dots | _DOT[y % 4][x % 2], colours
        shared = 0
        for (column, row), (dots, colours) in cells.items():
            shared += len(colours) > 1
            colour = colours[shared // _DASH % len(colours)]
            self.canvas.set_pixel(column, row, chr(_BRAILLE + dots), colour)

    def _axes(self) -> None:
        tones, bottom = self.picture.tones, self.rows
        for row in range(self.rows):
            self.canvas.set_pixel(self.left, row, "│", tones.faint)
        for column in range(self.left, self.width):
            self.canvas.set_pixel(column, bottom, "─" if column > self.left else "└", tones.faint)
        for (row, _), label in zip(self.y.ticks, self.y.labels, strict=True):
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
            height = floor(4 * self.y.place(self.picture.target))
            for column in range(self.left + 1, self.width, 2):
                self.canvas.set_pixel(
                    column, height // 4, chr(_BRAILLE + sum(_DOT[height % 4])), tones.accent
                )
            text = f" target {self.picture.target:g} "
            self._text(self.left + 2, height // 4, text, tones.accent)
        if self.picture.cursor is not None:
            column = self.left + 1 + floor(self.picture.cursor * (self.columns - 1))
            for row in range(self.rows):
                self.canvas.set_pixel(column, row, "┊", tones.muted)

    def _markers(self, curve: Curve, with_end: bool) -> None:
        """Above the points, where nothing is drawn; the line shows the points themselves."""
        points = curve.points[:-1] if curve.marked else ()
        last = -_APART
        for column, row in (self._cell(x, y) for x, y in (*points, *(curve.points[-1:] if with_end else ()))):
            if column - last >= _APART and self._is_free((column, row - 1)):
                self.canvas.set_pixel(column, row - 1, curve.marker, curve.colour)
                last = column

    def _end_marker(self, curve: Curve) -> None:
        """In the free cell that is nearest to the curve's end."""
        column, row = self._cell(*curve.points[-1])
        near = sorted(product(range(-6, 9), range(-5, 6)), key=lambda to: hypot(to[0], 2 * to[1]))
        free = (cell for x, y in near if self._is_free(cell := (column + x, row + y)))
        if nearest := next(free, None):
            self.canvas.set_pixel(*nearest, curve.marker, curve.colour)

    def _is_free(self, cell: Cell) -> bool:
        x, y = cell
        if cell in self.taken:
            return False
        return self.left < x < self.width and 0 <= y < self.rows and self.canvas.get_pixel(x, y)[0] == " "

    def _name(self, label: list[Curve]) -> list[Curve]:
        """Write a label where it hides least; returns the curves that it names."""
        parts = [(f"{curve.marker} {curve.name}", curve.colour) for curve in label if curve.name]
        length = sum(len(text) + 3 for text, _ in parts) - 3
        column, row = self._cell(*label[0].points[-1])
        places = [(column + 2, row + shift) for shift in (0, -1, 1, -2, 2, -3, 3, -4, 4)]
        places += [(column - length // 2, row + shift) for shift in (-1, 1, -2, 2)]
        if self.crowded:
            places += [(column - length - 1, row + shift) for shift in (0, -1, 1, -2, 2)]
        inside = [
            (x, y) for x, y in places if self.left < x and x + length <= self.width and 0 <= y < self.rows
        ]
        if not parts or not inside:
            return []
        x, y = min(inside, key=lambda place: self._cost(place, length, row))
        if self._cost((x, y), length, row) > self._most_cost(label[0]):
            return []  # the marker at the curve's end identifies it
        self.taken.update((x + i, y) for i in range(-1, length + 1))
        for index, (text, colour) in enumerate(parts):
            if index:
                self._text(x, y, " = ", self.picture.tones.muted)
                x += 3
            self._text(x, y, text, f"bold {colour}")
            x += len(text)
        return label

    def _most_cost(self, curve: Curve) -> int:
        """A name that costs more is left out; none hides another."""
        if self.crowded:
            return _COSTS_MUCH
        return _HIDES_A_NAME - 1 if curve.marked else _CROWDED

    def _cost(self, place: tuple[int, int], length: int, row: int) -> int:
        """How much a name of `length` cells at `place` would hide, and how far from its `row` it is."""
        x, y = place
        cells = [(x + i, y) for i in range(length)]
        names = sum(cell in self.taken for cell in cells)
        data = sum(self.canvas.get_pixel(*cell)[0] != " " for cell in cells)
        return _HIDES_A_NAME * names + 6 * data + 2 * abs(y - row)

    def _text(self, x: int, y: int, text: str, style: str) -> None:
        """Character by character: the canvas's own text writer takes markup."""
        for shift, character in enumerate(text):
            self.canvas.set_pixel(x + shift, y, character, style)
