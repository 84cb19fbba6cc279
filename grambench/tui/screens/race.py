"""The race: a card for each strategy, the plots, the leaderboard and the log."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from textual import on
from textual.app import ComposeResult, SystemCommand
from textual.binding import Binding, BindingType
from textual.containers import Container, VerticalScroll
from textual.content import Content
from textual.events import Resize
from textual.reactive import var

from grambench.text import safe_text
from grambench.tui import plots
from grambench.tui.arrange import arrange, panel_names
from grambench.tui.banner import banner_text, is_paused, verdict_rows
from grambench.tui.layout import Density, Layout, plan
from grambench.tui.scene import Scene
from grambench.tui.screens.ask import PromptScreen
from grambench.tui.screens.run import RunScreen
from grambench.tui.view import PLAIN, View
from grambench.tui.widgets.board import Board, board_width
from grambench.tui.widgets.card import Card
from grambench.tui.widgets.chart import Chart
from grambench.tui.widgets.header import Header
from grambench.tui.widgets.keys import Keys
from grambench.tui.widgets.log import LogView
from grambench.tui.widgets.panel import Panel
from grambench.tui.widgets.text import Text


class RaceScreen(RunScreen):
    """The dashboard's first screen; its keys change what the plots show and which panels are visible."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("a", "axis", "axis"),
        Binding("o", "logarithmic", "log axis"),
        Binding("z", "smooth", "smooth"),
        Binding("g", "target", "target"),
        Binding("left", "cursor(-1)", show=False),
        Binding("right", "cursor(1)", show=False),
        Binding("h", "highlight(1)", show=False),
        Binding("H", "highlight(-1)", show=False),
        Binding("m", "maximise", "maximise"),
        Binding("enter", "maximise", show=False),
        Binding("l", "log", "log"),
        Binding("escape", "all_panels", "back", show=False),
        Binding("down", "scroll_body('down')", show=False),
        Binding("up", "scroll_body('up')", show=False),
        Binding("pagedown", "scroll_body('page_down')", show=False),
        Binding("pageup", "scroll_body('page_up')", show=False),
    ]

    view: var[View] = var(PLAIN, init=False)
    """Axis, smoothing, cursor and target of the metric plot."""
    solo: var[str | None] = var(None, init=False)
    """The panel that fills the body; None: all are shown."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._arrangement: tuple[Layout, str | None, int] | None = None
        self._in_view: str | None = None

    def compose(self) -> ComposeResult:
        """All panels, from top to bottom."""
        yield Header()
        with VerticalScroll(id="body", can_focus=False):
            yield Container(id="cards")
            with Container(id="plots"):
                yield Panel("metric", "validation AUC over training time", plots.metric_plot)
                with Container(id="side"):
                    for row in plots.SIDE_PLOTS:
                        yield Panel(row.name, row.title, row.plot)
            with Container(id="bottom"):
                yield Board()
                yield LogView()
        banner = Text(id="banner")
        banner.display = False
        yield banner
        yield Keys()

    # --- drawing -------------------------------------------------------------------------------

    def show(self, scene: Scene) -> None:
        """Hand the scene to every widget; each redraws only if its own content changed."""
        scene = replace(scene, view=self.view)
        rows = self._show_banner(scene)
        self._mount_cards(scene)
        density = self._arrange(scene, rows)
        self._scroll_cards(_highlighted(scene) or scene.state.active)
        self.query_one(Header).show(scene)
        for card in self.query(Card):
            card.show(scene, density)
        for panel in self.query(Panel) if scene.sides else self.query("#metric").results(Panel):
            panel.show(scene)
        self.query_one(Board).show(scene)
        self.query_one(LogView).show(scene)

    def _show_banner(self, scene: Scene) -> int:
        """Draw the lines above the footer; returns how many there are."""
        first = self.banner(scene)
        lines = [first, *verdict_rows(scene, self.app.size.width - 2)] if first.plain else []
        banner = self.query_one("#banner", Text)
        banner.styles.height = max(1, len(lines))
        banner.set_class(is_paused(scene), "-paused")
        banner.show(Content("\n").join(lines))
        banner.display = bool(lines)
        return len(lines)

    def banner(self, scene: Scene) -> Content:
        """The first line above the footer; empty: there are none."""
        return banner_text(scene)

    def _mount_cards(self, scene: Scene) -> None:
        known = {card.trial_name for card in self.query(Card)}
        new = [Card(name) for name in scene.state.trials if name not in known]
        if new:
            self.query_one("#cards").mount(*new)

    def _arrange(self, scene: Scene, banner: int) -> Density:
        """Lay the panels out for the size of the screen; returns the cards' density."""
        width, height = self.app.size
        ranks = any(trial.group is not None for trial in scene.state.trials.values())
        layout = plan(width, height, len(scene.state.trials), banner, ranks=ranks)
        arrangement = (layout, self.solo, board_width(scene.state, width))
        if arrangement != self._arrangement:
            self._arrangement, self._in_view = arrangement, None
            arrange(self, *arrangement)
        return layout.density

    def _scroll_cards(self, active: str | None) -> None:
        """Bring the card of a trial into view when it begins or is highlighted; then the user may scroll."""
        cards = {card.trial_name: card for card in self.query(Card)}
        if active in cards and active != self._in_view:
            self._in_view = active
            box = self.query_one("#cards")
            self.call_after_refresh(box.scroll_to_widget, cards[active], animate=False)

    def on_resize(self, _: Resize) -> None:
        """Lay the panels out for the new size."""
        self._show()

    # --- which panels --------------------------------------------------------------------------

    def watch_solo(self, panel: str | None) -> None:
        """Give the panel the body and the focus."""
        self._show()
        if panel:
            self.query_one(f"#{panel}").focus()

    def action_maximise(self) -> None:
        """The focused panel alone, or all again; without a focus, the metric plot."""
        focused = self.focused.id if self.focused is not None else None
        self.solo = None if self.solo else focused if focused in panel_names() else "metric"

    def action_log(self) -> None:
        """The log alone, or all panels again."""
        self.solo = None if self.solo == "log" else "log"

    def action_all_panels(self) -> None:
        """All panels again, no focus, no cursor, no highlight."""
        self._look(cursor=None, highlighted=None)
        self.solo = None
        self.set_focus(None)

    def action_scroll_body(self, direction: str) -> None:
        """Scroll the body, which is never focused: `up`, `down`, `page_up` or `page_down`."""
        body = self.query_one("#body", VerticalScroll)
        getattr(body, f"scroll_{direction}")(animate=False)

    # --- what the metric plot shows ------------------------------------------------------------

    def watch_view(self, before: View, view: View) -> None:
        """Redraw what depends on the view."""
        if view.highlighted != before.highlighted:
            self.show(replace(self.scene, sides=True))
            return
        scene = replace(self.scene, view=view)
        self.query_one("#metric", Panel).show(scene)
        if view.target != before.target:
            self.query_one(Board).show(scene)

    def _look(self, **changes: Any) -> None:
        self.view = replace(self.view, **changes)

    @on(Chart.Hovered, "#metric Chart")
    def _hovered(self, event: Chart.Hovered) -> None:
        """The read-out follows the mouse."""
        self._look(cursor=event.share)

    def action_axis(self) -> None:
        """Training seconds, steps, or joules if they are measured."""
        has_energy = any(len(trial.energy_series) for trial in self.scene.state.trials.values())
        self._look(x_axis=self.view.next_axis(has_energy))

    def action_logarithmic(self) -> None:
        """Linear or logarithmic x-axis."""
        self._look(logarithmic=not self.view.logarithmic)

    def action_smooth(self) -> None:
        """Curves as measured, or a moving average of them."""
        self._look(smooth=not self.view.smooth)

    def action_cursor(self, steps: int) -> None:
        """Move the read-out."""
        self._look(cursor=self.view.moved_cursor(steps))

    def action_highlight(self, steps: int = 1) -> None:
        """One label in its colour and all others dimmed: the next one, or all again after the last."""
        self._look(highlighted=self.view.next_highlight([*self.scene.looks], steps))

    def action_target(self) -> None:
        """Set the validation score that the target line shows."""
        metric = self.scene.state.metric.title

        def answered(text: str | None) -> None:
            if text is None:
                return
            try:
                target = float(text) if text else None
            except ValueError:
                target = -1.0
            if target is None or 0 < target < 1:
                self._look(target=target)
            else:
                self._complain(f"{safe_text(text, 20)} is not a {metric} between 0 and 1.")

        now = "" if self.view.target is None else f"{self.view.target:g}"
        hint = f"A validation {metric} between 0 and 1; an empty line removes the target."
        self.app.push_screen(PromptScreen("target", hint, now), answered)

    def system_commands(self) -> Iterator[SystemCommand]:
        """The commands of every screen, and those of the panels and the metric plot."""
        yield from super().system_commands()
        for title, meaning, action in (
            ("Axis", "Training seconds, steps or joules", self.action_axis),
            ("Logarithmic", "Linear or logarithmic x-axis", self.action_logarithmic),
            ("Smooth", "A moving average of the curves, or not", self.action_smooth),
            ("Highlight", "One strategy bright, the others dimmed; again: the next", self.action_highlight),
            ("Target", "A validation score to reach, as a line", self.action_target),
            ("Log", "Maximise the log, or back", self.action_log),
        ):
            yield SystemCommand(title, meaning, action)


def _highlighted(scene: Scene) -> str | None:
    """The first trial of the highlighted label; None: no label is highlighted."""
    trials = scene.state.trials.values()
    return next((trial.name for trial in trials if trial.label == scene.view.highlighted), None)
