"""Text that is redrawn only when it changes."""

from abc import abstractmethod
from collections.abc import Callable

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Static

from grambench.tui.scene import Scene


class Text(Static):
    """One text."""

    def show(self, text: Content) -> None:
        """Draw `text` unless it is already drawn; lay out again only if its height may change."""
        before = self.content
        if not isinstance(before, Content):
            self.update(text)
        elif not text.is_same(before):
            rows = before.plain.count("\n"), text.plain.count("\n")
            self.update(text, layout=self.styles.text_wrap != "nowrap" or rows[0] != rows[1])


class Lines(Widget):
    """Lines composed from a scene for the widget's own size."""

    can_focus = False
    _scene: Scene | None = None
    _lines: Content = Content("")

    @abstractmethod
    def compose_lines(self, scene: Scene) -> Content:
        """The scene's lines at this size."""

    def on_resize(self) -> None:
        """Fit the lines to the new size."""
        self._draw()

    def _draw(self) -> None:
        if self._scene is None:
            return
        lines = self.compose_lines(self._scene)
        if not lines.is_same(self._lines):
            self._lines = lines
            self.refresh()

    def render(self) -> Content:
        """The lines as last composed."""
        return self._lines


class TextPanel(VerticalScroll):
    """A framed text that scrolls.

    Args:
        name: its id.
        compose_text: makes the text of a scene for a panel of some columns.
    """

    def __init__(self, name: str, compose_text: Callable[[Scene, int], Content]) -> None:
        super().__init__(id=name, classes="panel")
        self._compose_text = compose_text
        self._scene: Scene | None = None

    def compose(self) -> ComposeResult:
        """The text."""
        yield Text(id="text")

    def show(self, scene: Scene) -> None:
        """Draw the text of the scene."""
        self._scene = scene
        self._draw()

    def on_resize(self) -> None:
        """Fit the text to the new width."""
        self._draw()

    def watch_show_vertical_scrollbar(self) -> None:
        """Leave the scrollbar its column."""
        self.call_after_refresh(self._draw)

    def _draw(self) -> None:
        width = self.scrollable_content_region.width
        if self._scene is not None and width > 0:
            self.query_one(Text).show(self._compose_text(self._scene, width))
