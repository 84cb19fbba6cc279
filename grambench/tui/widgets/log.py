"""The log: one entry per event of interest, wrapped to the panel, newest at the bottom."""

from textual.content import Content
from textual.geometry import Size
from textual.scroll_view import ScrollView
from textual.strip import Strip

from grambench.events.state import SETUP, LogLine
from grambench.text import safe_text
from grambench.tui.line_parts import styled
from grambench.tui.scene import Scene
from grambench.views import numbers

_TEXT_LIMIT = 600


class LogView(ScrollView, can_focus=True):
    """Follows the log while its end is in view."""

    def __init__(self) -> None:
        super().__init__(id="log", classes="panel")
        self._scene: Scene | None = None
        self._only = ""
        self._shown: tuple[object, ...] = ()
        self._rows: list[Content] = []
        self._at_end = True

    def on_mount(self) -> None:
        """Name the panel."""
        self.border_title = "log"

    def show(self, scene: Scene, only: str = "") -> None:
        """Show the scene's log; `only`: a trial, to show its lines alone."""
        self._scene, self._only = scene, only
        self._update()

    def on_resize(self) -> None:
        """Wrap to the new width; the end stays in view."""
        self._update()
        self._keep_end()

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Scrolling up stops following the end; scrolling down to it resumes."""
        super().watch_scroll_y(old_value, new_value)
        self._at_end = new_value >= self.max_scroll_y - 1

    def _keep_end(self) -> None:
        if self._at_end:
            self.call_after_refresh(self.scroll_end, animate=False)

    def _update(self) -> None:
        width = self.scrollable_content_region.width
        if self._scene is None or width < 8:
            return
        log, tones = self._scene.state.log, self._scene.tones
        if self._only:
            log = [line for line in log if line.trial == self._only]
        log = [*log, *_complaints(self._scene, self._only)]
        ends = (log[-1], log[0]) if log else None
        key = (width, tones, len(log), ends, self._scene.view.highlighted)
        if key == self._shown:
            if self.scroll_y < self.max_scroll_y:  # it was resized behind another screen
                self._keep_end()
            return
        self._shown = key
        self._rows = [row for line in log for row in self._entry(self._scene, line, width)]
        if not self._rows:
            self._rows = [styled("events will appear here", tones.muted)]
        self.virtual_size = Size(width, len(self._rows))
        self._keep_end()
        self.refresh()

    def _entry(self, scene: Scene, line: LogLine, width: int) -> list[Content]:
        """One line of the log in rows of at most `width` cells."""
        tones = scene.tones
        trial = scene.state.trials.get(line.trial)
        time = f"{numbers.clock(line.elapsed_s):>6} "
        if trial is not None:
            look = scene.look(trial)
            source = styled(f"{look.marker} {scene.title(trial)} ", look.colour)
        else:
            source = styled("setup " if line.trial == SETUP else "", tones.accent)
        sign, style = {"warning": ("! ", tones.warn), "error": ("✗ ", tones.bad)}.get(
            line.severity, ("", tones.text)
        )
        entry = Content.assemble(source, (sign, f"bold {style}"), (safe_text(line.text, _TEXT_LIMIT), style))
        indent = " " * (len(time) if width >= 40 else 2)
        rows = entry.wrap(max(8, width - len(time)))
        first = Content.assemble((time, tones.muted), rows[0] if rows else "")
        return [first, *(Content.assemble(indent, row) for row in rows[1:])]

    def render_line(self, y: int) -> Strip:
        """One row of the visible part."""
        top = self.scroll_offset.y
        width = self.scrollable_content_region.width
        style = self.visual_style
        if not 0 <= top + y < len(self._rows):
            return Strip.blank(width, style.rich_style)
        segments = self._rows[top + y].render_segments(style)
        return Strip(segments).adjust_cell_length(width, style.rich_style)


def _complaints(scene: Scene, only: str) -> list[LogLine]:
    """What is wrong with the logs, below their last line."""
    state = scene.state
    last = state.log[-1] if state.log else LogLine("", 0.0, "", "info", "")
    return [
        LogLine(last.wall, last.elapsed_s, name, "warning", complaint)
        for name, check in state.logs.items()
        if not only or name == only
        for complaint in check.complaints(name or "the supervisor's log", state.finished)
    ]
