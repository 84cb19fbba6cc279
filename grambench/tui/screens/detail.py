"""Screens beside the race: one strategy in depth, and the machine."""

from abc import abstractmethod
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container, VerticalScroll
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Footer, Static

from grambench.events.series import Series
from grambench.tui.facts import machine_facts, strategy_facts
from grambench.tui.layout import NARROW_BELOW
from grambench.tui.pieces import styled
from grambench.tui.plots import GIB, one_curve, plain_empty
from grambench.tui.scene import Scene
from grambench.tui.widgets.header import Header
from grambench.tui.widgets.log import LogView
from grambench.tui.widgets.panel import Panel

STACKED_BELOW, SHORT_BELOW, LOW_BELOW = 100, 36, 24


class DetailScreen(Screen[None]):
    """Header, facts, plots; back with esc."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,backspace", "dismiss", "back"),
        Binding("tab", "app.focus_next", show=False, priority=True),
    ]
    AUTO_FOCUS = None

    @abstractmethod
    def show(self, scene: Scene) -> None:
        """Draw the scene."""

    def on_resize(self) -> None:
        """Plots stand below the facts where there is no room beside them."""
        self.set_class(self.size.width < STACKED_BELOW, "-stacked")
        self.set_class(self.size.width < NARROW_BELOW, "-narrow")
        self.set_class(self.size.height < SHORT_BELOW, "-short")
        self.set_class(self.size.height < LOW_BELOW, "-low")

    def _tell(self, name: str, said: Content) -> None:
        words = self.query_one(f"#{name}", Static)
        if not (isinstance(words.content, Content) and said.is_same(words.content)):
            words.update(said)


class StrategyScreen(DetailScreen):
    """Losses, learning rate, drift, the encoder's share, memory, and the strategy's log."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("v", "app.strategy", "next strategy")]

    def __init__(self, trial: str) -> None:
        super().__init__()
        self.trial = trial

    def compose(self) -> ComposeResult:
        """Facts to the left, plots to the right, its log below."""
        yield Header()
        with Container(id="detail"):
            with VerticalScroll(id="facts", classes="panel"):
                yield Static(id="told")
            with Container(id="charts"):
                yield Panel("scores", "validation AUC")
                yield Panel("loss", "loss of a user")
                yield Panel("learning", "learning rate of the encoder")
                yield Panel("drift", "drift of the item table")
                yield Panel("share", "encoder's share of the time")
                yield Panel("held", "memory, GiB")
        yield LogView()
        yield Footer(compact=True)

    def show(self, scene: Scene) -> None:
        """Draw the scene's trial."""
        trial = scene.state.trials.get(self.trial)
        if trial is None or not self.is_mounted:
            return
        self.query_one(Header).show(scene)
        self.query_one("#facts").border_title = scene.title(trial)
        self._tell("told", strategy_facts(scene, trial))
        scores = Series()
        for evaluation in trial.evaluations:
            score = evaluation.metrics.get(scene.state.select_by)
            if score is not None:
                scores.add(evaluation.train_s, score)
        validation = f"validation {scene.state.metric.title}"
        self.query_one("#scores").border_title = validation
        for name, series, unit, what in (
            ("scores", scores, 1.0, validation),
            ("loss", trial.loss_series, 1.0, "the loss"),
            ("learning", trial.rate_of_learning_series, 1.0, "the learning rate"),
            ("drift", trial.drift_series, 1.0, "drift"),
            ("share", trial.encode_series, 1.0, "the encoder's share"),
            ("held", trial.memory_series, float(GIB), "memory"),
        ):
            panel = self.query_one(f"#{name}", Panel)
            if not panel.display:
                continue
            width = max(16, panel.content_size.width)
            zero = name not in ("scores", "loss")
            empty = plain_empty(scene, what)
            if name == "drift" and trial.plan is not None and trial.plan.window_steps == 1:
                empty = styled("no windows: the encoder moves at every step", scene.tones.muted)
            panel.show(one_curve(scene, trial, series, width, unit, zero), empty)
        self.query_one(LogView).show(scene, only=trial.name)


class SystemScreen(DetailScreen):
    """Every GPU, the host, and who holds what."""

    def compose(self) -> ComposeResult:
        """One scrolling text."""
        yield Header()
        with VerticalScroll(id="machine", classes="panel") as box:
            box.border_title = "machine"
            yield Static(id="told")
        yield Footer(compact=True)

    def show(self, scene: Scene) -> None:
        """Draw the scene's machine."""
        if not self.is_mounted:
            return
        self.query_one(Header).show(scene)
        width = max(40, self.query_one("#machine").scrollable_content_region.width)
        self._tell("told", machine_facts(scene, width))


class EventsScreen(DetailScreen):
    """The log alone, newest at the bottom."""

    def compose(self) -> ComposeResult:
        """Header and log."""
        yield Header()
        yield LogView()
        yield Footer(compact=True)

    def on_mount(self) -> None:
        """Let the keys scroll."""
        self.query_one(LogView).focus()

    def show(self, scene: Scene) -> None:
        """Draw the scene's log."""
        if self.is_mounted:
            self.query_one(Header).show(scene)
            self.query_one(LogView).show(scene)
