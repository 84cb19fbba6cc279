"""A framed plot with words in its place until there is something to plot."""

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Static

from grambench.tui.widgets.chart import Chart, Picture


class Panel(Vertical, can_focus=True):
    """Frame, chart and empty state."""

    def __init__(self, name: str, title: str) -> None:
        super().__init__(id=name, classes="panel")
        self._title = title

    def compose(self) -> ComposeResult:
        """The empty state first; `show` swaps it for the chart."""
        yield Static(classes="empty")
        yield Chart()

    def on_mount(self) -> None:
        """Name the panel."""
        self.border_title = self._title
        self.query_one(Chart).display = False

    def name_it(self, title: str, read_out: str = "") -> None:
        """Change what the frame says."""
        if self.border_title != title:
            self.border_title = title
        if self.border_subtitle != read_out:
            self.border_subtitle = read_out

    def show(self, picture: Picture, empty: Content) -> None:
        """Draw `picture`, or `empty` where it has no points."""
        chart, words = self.query_one(Chart), self.query_one(".empty", Static)
        plotted = any(curve.points for curve in picture.curves)
        if chart.display != plotted:
            chart.display, words.display = plotted, not plotted
        if plotted:
            chart.show(picture)
        elif not (isinstance(words.content, Content) and empty.is_same(words.content)):
            words.update(empty)
