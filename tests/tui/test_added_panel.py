"""The recipe "Add a panel" of docs/extending.md."""

from pathlib import Path

import pytest
from textual.content import Content
from tui.logs import build

from grambench.tui import plots
from grambench.tui.app import Dashboard
from grambench.tui.scene import Scene
from grambench.tui.widgets.chart import Chart
from grambench.tui.widgets.panel import Panel, Plot


def loss_plot(scene: Scene, width: int) -> Plot:
    return plots.series_plot(scene, width, lambda trial: trial.loss_series, "the loss")


@pytest.fixture
def added(monkeypatch: pytest.MonkeyPatch) -> plots.SidePlot:
    row = plots.SidePlot("loss", "loss of a user", loss_plot)
    monkeypatch.setattr(plots, "SIDE_PLOTS", (*plots.SIDE_PLOTS, row))
    return row


def curves(panel: Panel) -> list[tuple[tuple[float, float], ...]]:
    chart = panel.query_one(Chart)
    assert chart.display
    assert chart._picture is not None
    return [curve.points for curve in chart._picture.curves]


@pytest.mark.parametrize("state", ["mid", "setup"])
async def test_a_row_is_all_that_a_panel_needs(state: str, added: plots.SidePlot, tmp_path: Path) -> None:
    app = Dashboard(build(state, tmp_path / "run"))
    async with app.run_test(size=(160, 60)) as pilot:
        await pilot.pause()
        await pilot.pause()
        panel = app.screen.query_one("#loss", Panel)
        above = app.screen.query_one("#memory", Panel)
        assert panel.region.height >= 7
        assert (panel.region.x, panel.region.y) == (above.region.x, above.region.bottom)
        assert panel.border_title == added.title
        if state == "setup":
            assert isinstance(text := panel.query_one(".empty").render(), Content)
            assert text.plain == "the loss once training starts"
            return
        losses = [trial.loss_series for trial in app.state.trials.values()]
        ends = [(series.xs[-1], series.ys[-1]) if series.xs else None for series in losses]
        assert [points[-1] if points else None for points in curves(panel)] == ends
        panel.focus()
        await pilot.press("m")
        await pilot.pause()
        assert not above.region.area
        assert panel.region.width == 160


async def test_where_rows_are_few_the_last_panel_is_hidden(added: plots.SidePlot, tmp_path: Path) -> None:
    app = Dashboard(build("mid", tmp_path / "run"))
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause()
        shown = [row.name for row in plots.SIDE_PLOTS if app.screen.query_one(f"#{row.name}").display]
        assert shown == ["rate", "memory"]
