"""What a chart shows of its curves: every point, every curve, no sign in place of either."""

from dataclasses import replace
from math import floor
from pathlib import Path

import pytest
from textual.app import App, ComposeResult
from tui.logs import build

from grambench.tui.app import Dashboard
from grambench.tui.widgets.chart import Chart, Curve, Picture, _Painter
from grambench.tui.widgets.panel import Panel
from grambench.views.palette import DARK, looks

RISING = ((10.0, 0.54), (20.0, 0.61), (30.0, 0.655), (40.0, 0.66))
LOWER = tuple((2 * x, y - 0.05) for x, y in RISING)


class Alone(App[None]):
    """One chart that fills the screen."""

    def compose(self) -> ComposeResult:
        yield Chart()


def text_of(chart: Chart) -> list[str]:
    return [
        "".join(chart.get_pixel(x, y)[0] for x in range(chart.size.width)) for y in range(chart.size.height)
    ]


def colours_of(chart: Chart) -> set[str]:
    """Of the curves' dots, not of signs and names."""
    cells = [chart.get_pixel(x, y) for y in range(chart.size.height) for x in range(chart.size.width)]
    return {style for sign, style in cells if "\u2800" < sign <= "\u28ff"}


def picture(*points: tuple[tuple[float, float], ...], marked: bool = True) -> Picture:
    looks = (("e2e", "#E69F00", "●"), ("gram-1s", "#56B4E9", "■"), ("gram-1e", "#CC79A7", "◆"))
    return Picture(tuple(Curve(*look, each, marked) for look, each in zip(looks, points, strict=False)), DARK)


@pytest.mark.parametrize("size", [(40, 8), (80, 24), (160, 45)])
async def test_points_are_where_they_belong_and_their_markers_beside_them(size: tuple[int, int]) -> None:
    app = Alone()
    async with app.run_test(size=size):
        chart = app.query_one(Chart)
        chart.show(picture(RISING, LOWER))
        painter = _Painter(chart, picture(RISING, LOWER))
        for x, y in (*RISING, *LOWER):
            column, row = painter._place(x, y)
            sign = chart.get_pixel(floor(column), floor(row))[0]
            assert "\u2800" < sign <= "\u28ff", (x, y)
            dot = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))[floor(4 * row) % 4]
            assert ord(sign) - 0x2800 & dot[floor(2 * column) % 2], (x, y)
        for (row, _), label in zip(painter.y.ticks, painter.y.labels, strict=True):
            assert text_of(chart)[row].startswith(f"{label:>{painter.left - 1}} ┤")
        drawn = "".join(text_of(chart))
        assert drawn.count("●") >= 2  # its name, and a point at least
        assert "● e2e" in drawn


@pytest.mark.parametrize("marked", [True, False])
async def test_curves_that_coincide_are_both_seen_and_share_a_label(marked: bool) -> None:
    app = Alone()
    async with app.run_test(size=(80, 24)):
        chart = app.query_one(Chart)
        chart.show(picture(RISING, RISING, LOWER, marked=marked))
        assert "● e2e = ■ gram-1s" in "\n".join(text_of(chart))
        assert colours_of(chart) == {"#E69F00", "#56B4E9", "#CC79A7"}
        apart = tuple((x, y + 0.02) for x, y in RISING)
        chart.show(picture(RISING, apart, LOWER, marked=marked))
        assert " = " not in "\n".join(text_of(chart))


async def test_one_point_is_seen() -> None:
    app = Alone()
    async with app.run_test(size=(40, 8)):
        chart = app.query_one(Chart)
        chart.show(picture(RISING[:1]))
        assert colours_of(chart) == {"#E69F00"}
        assert "● e2e" in "".join(text_of(chart))


async def test_a_target_is_drawn_at_its_height() -> None:
    app = Alone()
    async with app.run_test(size=(80, 24)):
        chart = app.query_one(Chart)
        aimed = replace(picture(RISING), target=0.6)
        chart.show(aimed)
        height = _Painter(chart, aimed)._place(0.0, 0.6)[1]
        row = text_of(chart)[floor(height)]
        assert " target 0.6 " in row
        assert chr(0x2800 + (0x09, 0x12, 0x24, 0xC0)[floor(4 * height) % 4]) in row


def race(count: int, spread: float) -> Picture:
    """As many labels as that; the slowest takes `1 + spread` times as long as the fastest."""
    of_label = looks({f"label-{n:02}": ("e2e", "gram-1s", "gram-1e")[n % 3] for n in range(count)})
    points = [
        tuple((x * (1 + n % 5 / 4 * spread), y - 0.003 * (n % 7)) for x, y in RISING) for n in range(count)
    ]
    labels = zip(of_label.items(), points, strict=True)
    return Picture(
        tuple(Curve(label, look.colour, look.marker, each) for (label, look), each in labels), DARK
    )


@pytest.mark.parametrize("spread", [0.0, 0.2, 1.0])
@pytest.mark.parametrize("size", [(40, 9), (76, 12), (120, 40)])
async def test_names_are_whole_and_hide_no_other_name(size: tuple[int, int], spread: float) -> None:
    app = Alone()
    async with app.run_test(size=size):
        chart = app.query_one(Chart)
        for count in (2, 4, 8, 12, 16):
            shown = race(count, spread)
            chart.show(shown)
            cells = {(x, y): chart.get_pixel(x, y) for x in range(size[0]) for y in range(size[1])}
            whole = [_name_on(cells, curve) for curve in shown.curves].count(True)
            letters = [style for _, style in cells.values() if style.startswith("bold")]
            assert len(letters) == whole * len("● label-00")
            assert whole >= 1
            if size == (120, 40):
                assert {curve.marker for curve in shown.curves} <= {sign for sign, _ in cells.values()}


def _name_on(cells: dict[tuple[int, int], tuple[str, str]], curve: Curve) -> bool:
    """Whether its name follows its bold marker."""
    named = [at for at, cell in cells.items() if cell == (curve.marker, f"bold {curve.colour}")]
    return ["".join(cells[x + n, y][0] for n in range(2, 2 + len(curve.name))) for x, y in named] == [
        curve.name
    ]


async def test_a_dimmed_curve_lies_below_the_others_and_has_no_name() -> None:
    app = Alone()
    async with app.run_test(size=(80, 24)):
        chart = app.query_one(Chart)
        bright = picture(RISING).curves
        dimmed = Curve("", DARK.faint, "■", (*RISING, (80.0, 0.66)), dimmed=True)
        chart.show(Picture((*bright, dimmed), DARK))
        assert colours_of(chart) == {"#E69F00", DARK.faint}
        painter = _Painter(chart, Picture((*bright, dimmed), DARK))
        cells = {(x // 2, y // 4) for x, y in painter._dots(bright[0])}
        assert {chart.get_pixel(*cell)[1] for cell in cells} == {"#E69F00"}
        assert "■" not in "".join(text_of(chart))


@pytest.mark.parametrize(("state", "title"), [("one", "samples/s"), ("mid", "samples/s (log)")])
async def test_rates_that_are_far_apart_have_a_logarithmic_axis(
    state: str, title: str, tmp_path: Path
) -> None:
    app = Dashboard(build(state, tmp_path / "run"))
    async with app.run_test(size=(120, 40)) as pilot:
        while app._reader.share_read < 1:
            await pilot.pause(0.02)
        for _ in range(3):
            await pilot.pause()
            app.redraw()
        panel = app.query_one("#rate", Panel)
        assert panel.border_title == title
        assert ("10,000 ┤" in "\n".join(text_of(panel.query_one(Chart)))) == (state == "seven")
