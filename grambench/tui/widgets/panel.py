"""A framed plot, replaced by a text until there is something to plot."""

from collections.abc import Callable
from dataclasses import dataclass

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content

from grambench.tui.scene import Scene
from grambench.tui.widgets.chart import Chart, Picture
from grambench.tui.widgets.text import Text


@dataclass(frozen=True, slots=True)
class Plot:
    """What a panel shows."""

    picture: Picture
    empty: Content
    """Shown while the picture has no points."""
    title: str | None = None
    """In the frame; None: the panel's own."""
    read_out: str = ""
    """In the frame, below."""


class Panel(Vertical, can_focus=True):
    """Frame, chart and the text before the first point.

    Args:
        name: its id.
        title: what its frame says.
        plot: makes the plot of a scene for a panel of some columns.
    """

    def __init__(self, name: str, title: str, plot: Callable[[Scene, int], Plot]) -> None:
        super().__init__(id=name, classes="panel")
        self._title, self._plot = title, plot
        self._scene: Scene | None = None

    def compose(self) -> ComposeResult:
        """The text first; `show` swaps it for the chart."""
        yield Text(classes="empty")
        yield Chart()

    def on_mount(self) -> None:
        """Name the panel."""
        self.border_title = self._title
        self.query_one(Chart).display = False

    def show(self, scene: Scene) -> None:
        """Draw the plot of the scene, once the panel is visible."""
        self._scene = scene
        self._draw()

    def on_resize(self) -> None:
        """Fit the plot to the new width."""
        self._draw()

    def _draw(self) -> None:
        width = self.content_size.width
        if self._scene is None or not self.display or width < 1:
            return
        plot = self._plot(self._scene, width)
        self._label(plot.title or self._title, plot.read_out)
        chart, empty = self.query_one(Chart), self.query_one(".empty", Text)
        has_points = any(curve.points for curve in plot.picture.curves)
        if chart.display != has_points:
            chart.display, empty.display = has_points, not has_points
        if has_points:
            chart.show(plot.picture)
        else:
            empty.show(plot.empty)

    def _label(self, title: str, read_out: str) -> None:
        if self.border_title != title:
            self.border_title = title
        if self.border_subtitle != read_out:
            self.border_subtitle = read_out
