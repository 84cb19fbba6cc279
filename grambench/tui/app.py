"""The dashboard: follows a run's logs and draws what the fold knows, at most four times a second."""

import os
import sys
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from time import monotonic
from typing import ClassVar, Protocol

from textual import on
from textual.app import ComposeResult, SystemCommand
from textual.binding import Binding, BindingType
from textual.containers import Container, VerticalScroll
from textual.content import Content
from textual.events import Resize
from textual.screen import ModalScreen, Screen
from textual.widgets import Footer, Static

from grambench.errors import MachineError
from grambench.events.reader import RunReader
from grambench.events.state import RunState
from grambench.runner.rundir import PID_FILE, supervisor_of
from grambench.tui import plots
from grambench.tui.arrange import PANELS, arrange
from grambench.tui.banner import banner_text
from grambench.tui.budget import Budget
from grambench.tui.controls import Controls
from grambench.tui.layout import Layout, plan
from grambench.tui.palette import DARK_THEME, LIGHT_THEME
from grambench.tui.scene import Scene
from grambench.tui.screens.detail import DetailScreen, EventsScreen, StrategyScreen, SystemScreen
from grambench.tui.screens.help import HelpScreen
from grambench.tui.screens.leave import Choice, LeaveScreen
from grambench.tui.terminal import on_hangup, terminal_is_gone
from grambench.tui.widgets.board import Board, board_width
from grambench.tui.widgets.card import Card
from grambench.tui.widgets.chart import Chart
from grambench.tui.widgets.header import Header
from grambench.tui.widgets.log import LogView
from grambench.tui.widgets.panel import Panel

SHORTEST_POLL_S = 0.25
SIDES_S = 1.0
"""Throughput and memory, the dearest plots, are drawn no more often than this."""


_OF_THE_RACE = ("axis", "target", "maximise", "log", "logarithmic", "smooth", "cursor", "body", "all_panels")


_PARTS = "#header, #cards, #metric, #rate, #memory, #board, #log, #banner"

DRAWING_SHARE = 0.005
"""Of the machine's processors, what following the logs and drawing may take: the rest is for training."""


READING_S = 0.2
"""Seconds of reading before keys and screen have their turn: a long log without a snapshot comes in parts."""


class Reader(Protocol):
    """Where the state comes from."""

    @property
    def state(self) -> RunState:
        """After the last `poll`."""

    @property
    def share_read(self) -> float:
        """How much of what there is `state` knows, 0 to 1."""

    def poll(self, limit_s: float | None = None) -> int:
        """Read on, for `limit_s` seconds at most; the number of records that came."""


class Dashboard(Controls):
    """The live screen of one run.

    Its result: None when the run had ended (or is not ours to stop), "stop" when the user asked to
    stop it, "detach" when the user, or a lost terminal, left it running.

    Args:
        folder: the run's folder; the logs may not exist yet.
        poll_s: seconds between two looks at the logs, at least 0.25.
        reader: where the state comes from; unset: the logs in `folder`.
        live: False for a replay: leaving asks nothing.
    """

    CSS_PATH = "dashboard.tcss"
    TITLE = "grambench"
    AUTO_FOCUS = None
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q", "leave", "quit"),
        Binding("ctrl+c,ctrl+q", "leave", "quit", show=False, priority=True),
        Binding("question_mark", "help", "help", key_display="?"),
        Binding("tab", "app.focus_next", "panel", priority=True, show=False),
        Binding("p", "pause", "pause"),
        Binding("a", "axis", show=False),
        Binding("g", "target", show=False),
        Binding("m", "maximise", show=False),
        Binding("enter", "maximise", show=False),
        Binding("l", "log", show=False),
        Binding("t", "theme", show=False),
        Binding("escape", "all_panels", "back", show=False),
        Binding("v", "strategy", "strategy"),
        Binding("y", "system", "system"),
        Binding("j", "events", show=False),
        Binding("d", "detach", show=False),
        Binding("s", "skip", show=False),
        Binding("x", "stop", show=False),
        Binding("n", "mark", show=False),
        Binding("e", "export", show=False),
        Binding("o", "logarithmic", show=False),
        Binding("z", "smooth", show=False),
        Binding("left", "cursor(-1)", show=False),
        Binding("right", "cursor(1)", show=False),
        Binding("down", "body('down')", show=False),
        Binding("up", "body('up')", show=False),
        Binding("pagedown", "body('page_down')", show=False),
        Binding("pageup", "body('page_up')", show=False),
    ]

    def __init__(
        self, folder: Path, *, poll_s: float = 0.25, reader: Reader | None = None, live: bool = True
    ) -> None:
        super().__init__()
        self.register_theme(DARK_THEME)
        self.register_theme(LIGHT_THEME)
        self.theme = DARK_THEME.name
        self._folder, self._live = folder, live
        self._poll_s = max(poll_s, SHORTEST_POLL_S)
        self._reader: Reader = reader or RunReader(folder)
        self._arrangement: tuple[Layout, str | None, int] | None = None
        self._solo: str | None = None
        self._reported, self._gone = False, False
        self._sides_at, self._sides_stale = 0.0, False
        self._budget = Budget(DRAWING_SHARE * (os.cpu_count() or 1))
        self._news = 0
        self._restore: Callable[[], None] | None = None

    @property
    def state(self) -> RunState:
        """The state that is drawn."""
        return self._reader.state

    def compose(self) -> ComposeResult:
        """From top to bottom."""
        yield Header()
        with VerticalScroll(id="body", can_focus=False):
            yield Container(id="cards")
            with Container(id="plots"):
                yield Panel("metric", "validation AUC over training time")
                with Container(id="side"):
                    yield Panel("rate", "samples/s")
                    yield Panel("memory", "memory, GiB")
            with Container(id="bottom"):
                yield Board()
                yield LogView()
        banner = Static(id="banner")
        banner.display = False
        yield banner
        yield Footer(compact=True)

    def on_mount(self) -> None:
        """Read the logs and go on reading."""
        if not self.is_headless:
            self._restore = on_hangup(self._hung_up)
        self.set_interval(self._poll_s, self._poll)
        self._reader.poll(READING_S)
        self._reported = self._report_exists()
        self.call_after_refresh(self.redraw)

    def on_unmount(self) -> None:
        """Signals go back to their owner."""
        if self._restore is not None:
            self._restore()

    def _poll(self) -> None:
        if not self.is_headless and terminal_is_gone():
            self._hung_up()
            return
        news = self._reader.poll(READING_S)
        self._news += news
        reported = self._report_exists()
        gone = not news and self._reader.share_read == 1 and self._runner_gone()
        self._sides_stale = self._sides_stale or news > 0
        sides = self._sides_stale and monotonic() - self._sides_at >= SIDES_S
        ended = (reported, gone) != (self._reported, self._gone)
        if ended or ((self._news or sides) and self._budget.allows_drawing()):
            self._reported, self._gone = reported, gone
            self._news = 0
            self._budget.drawn()
            self.redraw(sides)
            if ended or self.state.finished:
                self.refresh_bindings()
        if self.is_over and isinstance(self.screen, LeaveScreen):
            self.exit(None)  # whoever was asked how to leave it has nothing left to decide

    def _report_exists(self) -> bool:
        return (self._folder / "report.json").exists()

    def _runner_gone(self) -> bool:
        started = self._live and not self.state.finished and (self._folder / PID_FILE).exists()
        return started and supervisor_of(self._folder) is None

    def _hung_up(self) -> None:
        self.exit(None if self.is_over else "detach")

    @property
    def is_over(self) -> bool:
        """Nothing goes on that could be stopped from here."""
        return self.state.finished or not self._live or self._gone

    # --- drawing -------------------------------------------------------------------------------

    @property
    def scene(self) -> Scene:
        """What is drawn now."""
        return Scene.of(self.state, self.current_theme.dark, self._reported, self._gone, self.view)

    def redraw(self, sides: bool = True) -> None:
        """Give every widget the newest scene; each redraws only if its own part changed.

        `sides`: throughput and memory too.
        """
        if len(self.screen_stack) == 0 or not self.screen_stack[0].is_mounted:
            return
        base, scene = self.screen_stack[0], self.scene
        parts = base.query(_PARTS)
        if len(parts) <= _PARTS.count(",") or not all(part.is_attached for part in parts):
            return  # not all there yet, or on the way out
        said = self.banner(scene)
        banner = base.query_one("#banner", Static)
        if not (isinstance(banner.content, Content) and said.is_same(banner.content)):
            banner.update(said)
            banner.display = bool(said.plain)
        self._mount_cards(base, scene)
        layout = plan(self.size.width, self.size.height, len(scene.state.trials), bool(said.plain))
        arrangement = (layout, self._solo, board_width(scene.state, self.size.width))
        if arrangement != self._arrangement:
            self._arrangement = arrangement
            arrange(base, *arrangement)
        base.query_one(Header).show(scene)
        for card in base.query(Card):
            card.show(scene, layout.density)
        self._draw_metric(base, scene)
        if sides:
            self._draw_sides(base, scene)
        base.query_one(Board).show(scene)
        base.query_one(LogView).show(scene)
        if isinstance(self.screen, DetailScreen):
            self.screen.show(scene)

    def banner(self, scene: Scene) -> Content:
        """The line above the footer; empty: there is none."""
        return banner_text(scene, self._reader.share_read)

    def _mount_cards(self, base: Screen[object], scene: Scene) -> None:
        names = list(scene.state.trials)
        cards = base.query_one("#cards")
        known = {card.trial_name for card in base.query(Card)}
        fresh = [Card(name) for name in names if name not in known]
        if fresh:
            cards.mount(*fresh)

    def _draw_metric(self, base: Screen[object], scene: Scene) -> None:
        metric = base.query_one("#metric", Panel)
        picture = plots.metric_picture(scene)
        metric.name_it(
            plots.metric_title(scene), plots.read_out(scene, picture, metric.content_size.width - 8)
        )
        metric.show(picture, plots.metric_empty(scene, metric.content_size.width))

    @on(Chart.Hovered, "#metric Chart")
    def _hovered(self, event: Chart.Hovered) -> None:
        """The read-out follows the mouse, and goes with it."""
        self.view = replace(self.view, cursor=event.share)
        self._draw_metric(self.screen_stack[0], self.scene)

    def _draw_sides(self, base: Screen[object], scene: Scene) -> None:
        self._sides_at, self._sides_stale = monotonic(), False
        rate, memory = base.query_one("#rate", Panel), base.query_one("#memory", Panel)
        width = max(rate.content_size.width, memory.content_size.width)
        if rate.display:
            rate.show(plots.rate_picture(scene, width), plots.plain_empty(scene, "samples/s"))
        if memory.display:
            memory.show(plots.memory_picture(scene, width), plots.plain_empty(scene, "memory"))

    def on_resize(self, _: Resize) -> None:
        """Arrange anew."""
        self.call_after_refresh(self.redraw)

    # --- keys ----------------------------------------------------------------------------------

    def action_leave(self) -> None:
        """Leave; ask first while the run goes on."""
        if isinstance(self.screen, (ModalScreen, DetailScreen)):
            if not isinstance(self.screen, LeaveScreen):
                self.screen.dismiss(None)
            return
        if self.is_over:
            self.exit(None)
        else:
            self.push_screen(LeaveScreen(), self._left)

    def _left(self, choice: Choice | None) -> None:
        if choice in ("stop", "detach"):
            self.exit(choice)

    def action_help(self) -> None:
        """Keys and words."""
        self.push_screen(HelpScreen(self.scene.tones.accent))

    def action_theme(self) -> None:
        """Dark or light."""
        self.theme = LIGHT_THEME.name if self.current_theme.dark else DARK_THEME.name
        self.call_after_refresh(self.redraw)

    def action_maximise(self) -> None:
        """The focused panel alone, or all again; without a focus, the metric plot."""
        focused = self.focused.id if self.focused is not None else None
        self._show_alone(None if self._solo else focused if focused in PANELS else "metric")

    def _go(self, screen: DetailScreen) -> None:
        """Show a detail in the place of the one that is there."""
        if isinstance(self.screen, ModalScreen):
            return
        if isinstance(self.screen, DetailScreen):
            self.pop_screen()
        self.push_screen(screen)
        self.call_after_refresh(self.redraw)
        self.call_after_refresh(self.redraw)  # once more when the panels know their sizes

    def action_strategy(self) -> None:
        """The strategy that trains in depth, or the next one."""
        names = list(self.state.trials)
        if not names:
            return
        if isinstance(self.screen, StrategyScreen):
            name = names[(names.index(self.screen.trial) + 1) % len(names)]
        else:
            name = self.state.active if self.state.active in names else names[0]
        self._go(StrategyScreen(name))

    def action_system(self) -> None:
        """The machine."""
        self._go(SystemScreen())

    def action_events(self) -> None:
        """The log alone."""
        self._go(EventsScreen())

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """What changes the race is not offered on another screen, nor a pause of what is over."""
        del parameters
        if action == "pause" and (self.state.finished or self._gone):
            return False
        return not (isinstance(self.screen, DetailScreen) and action in _OF_THE_RACE)

    def action_log(self) -> None:
        """The log alone, or all again."""
        self._show_alone(None if self._solo == "log" else "log")

    def action_all_panels(self) -> None:
        """All panels again, no focus, no cursor."""
        self.view = replace(self.view, cursor=None)
        self._show_alone(None)
        self.screen.set_focus(None)

    def _show_alone(self, panel: str | None) -> None:
        self._solo = panel
        self.redraw()
        if panel:
            self.screen_stack[0].query_one(f"#{panel}").focus()
        self.call_after_refresh(self.redraw)

    def action_body(self, how: str) -> None:
        """Scroll the body by keys."""
        body = self.screen_stack[0].query_one("#body", VerticalScroll)
        moves = {
            "down": body.scroll_down,
            "up": body.scroll_up,
            "page_down": body.scroll_page_down,
            "page_up": body.scroll_page_up,
        }
        moves[how](animate=False)

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        """The palette: every action."""
        yield from super().get_system_commands(screen)
        yield SystemCommand("Strategy", "One strategy in depth; again: the next", self.action_strategy)
        yield SystemCommand("System", "GPUs, host, memory by process", self.action_system)
        yield SystemCommand("Events", "The log on a screen of its own", self.action_events)
        yield SystemCommand("Help", "Keys and the words of the method", self.action_help)
        yield SystemCommand("Theme", "Dark or light", self.action_theme)
        yield SystemCommand("Log", "Maximise the log, or back", self.action_log)
        yield SystemCommand("Quit", "Leave; asks while the run goes on", self.action_leave)


def show(folder: Path) -> str | None:
    """Run the dashboard on the terminal until the user leaves.

    Returns:
        What `Dashboard` returns.

    Raises:
        MachineError: stdin or stderr is no terminal.
    """
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise MachineError("The dashboard needs a terminal on stdin and stderr.", "Use --plain here.")
    return Dashboard(folder).run()
