"""The detail screens: one strategy, the machine, and the log."""

from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.content import Content
from textual.events import Resize
from textual.geometry import Size

from grambench.events.series import Series
from grambench.events.state import TrialState
from grambench.reports.verdict import recorded
from grambench.tui.detail_text import machine_text, strategy_text, verdict_text
from grambench.tui.layout import NARROW_BELOW
from grambench.tui.line_parts import styled
from grambench.tui.plots import GIB, one_curve, plain_empty
from grambench.tui.scene import Scene
from grambench.tui.screens.run import RunScreen
from grambench.tui.widgets.header import Header
from grambench.tui.widgets.keys import Keys
from grambench.tui.widgets.log import LogView
from grambench.tui.widgets.panel import Panel, Plot
from grambench.tui.widgets.text import TextPanel

STACKED_BELOW, SHORT_BELOW, LOW_BELOW = 100, 36, 24


class DetailScreen(RunScreen):
    """A screen on top of the race, closed with esc."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,backspace", "dismiss", "back")]
    AUTO_FOCUS = None

    def on_mount(self) -> None:
        """Apply the size before the first layout."""
        self._classify(self.app.size)

    def on_resize(self, event: Resize) -> None:
        """Apply the new size."""
        self._classify(event.size)

    def _classify(self, size: Size) -> None:
        """Plots go below the facts if they do not fit beside them."""
        self.set_class(size.width < STACKED_BELOW, "-stacked")
        self.set_class(size.width < NARROW_BELOW, "-narrow")
        self.set_class(size.height < SHORT_BELOW, "-short")
        self.set_class(size.height < LOW_BELOW, "-low")


class StrategyScreen(DetailScreen):
    """Losses, learning rate, drift, the encoder's share, memory, and the strategy's log."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("v", "app.strategy", "next strategy")]

    def __init__(self, folder: Path, trial: str) -> None:
        super().__init__(folder)
        self.trial = trial

    def compose(self) -> ComposeResult:
        """Facts to the left, plots to the right, its log below."""
        yield Header()
        with Container(id="detail"):
            yield TextPanel("facts", lambda scene, _: strategy_text(scene, self._trial(scene)))
            with Container(id="charts"):
                for name, title, subject, attribute, unit in _PLOTS:
                    yield Panel(name, title, self._plot(name, subject, attribute, unit))
        yield LogView()
        yield Keys()

    def _trial(self, scene: Scene) -> TrialState:
        return scene.state.trials[self.trial]

    def _plot(self, name: str, subject: str, attribute: str, unit: float) -> Callable[[Scene, int], Plot]:
        def plot(scene: Scene, width: int) -> Plot:
            trial = self._trial(scene)
            series = getattr(trial, attribute) if attribute else _scores(scene, trial)
            zero = name not in ("scores", "loss")
            picture = one_curve(scene, trial, series, max(16, width), unit, zero)
            selecting = "" if attribute else _selecting(scene)
            return Plot(picture, _empty(scene, trial, name, subject or selecting), selecting or None)

        return plot

    def show(self, scene: Scene) -> None:
        """Draw the scene's trial, unless a replay is at a time before it began."""
        if self.trial not in scene.state.trials:
            return
        self.query_one(Header).show(scene)
        facts = self.query_one("#facts", TextPanel)
        facts.border_title = scene.title(self._trial(scene))
        facts.show(scene)
        for panel in self.query(Panel):
            panel.show(scene)
        self.query_one(LogView).show(scene, only=self.trial)


def _selecting(scene: Scene) -> str:
    return f"validation {scene.state.metric.title}"


def _scores(scene: Scene, trial: TrialState) -> Series:
    scores = Series()
    for evaluation in trial.evaluations:
        score = evaluation.metrics.get(scene.state.select_by)
        if score is not None:
            scores.add(evaluation.train_s, score)
    return scores


def _empty(scene: Scene, trial: TrialState, name: str, subject: str) -> Content:
    if name == "drift" and trial.plan is not None and trial.plan.window_steps == 1:
        return styled("no windows: the encoder moves at every step", scene.tones.muted)
    return plain_empty(scene, subject)


# id, title, what is plotted, the trial's series (empty: the selecting scores), the unit in which it is shown
_PLOTS = (
    ("scores", "", "", "", 1.0),
    ("loss", "loss of a user", "the loss", "loss_series", 1.0),
    ("learning", "learning rate of the encoder", "the learning rate", "encoder_lr_series", 1.0),
    ("drift", "drift of the item table", "drift", "drift_series", 1.0),
    ("share", "encoder's share of the time", "the encoder's share", "encode_series", 1.0),
    ("held", "memory, GiB", "memory", "memory_series", float(GIB)),
)


class SystemScreen(DetailScreen):
    """Every GPU, the host, and the memory of each process."""

    def compose(self) -> ComposeResult:
        """One scrolling text."""
        yield Header()
        facts = recorded(self._folder)[1]
        panel = TextPanel("machine", lambda scene, width: machine_text(scene, max(40, width), facts))
        panel.border_title = "machine"
        yield panel
        yield Keys()

    def show(self, scene: Scene) -> None:
        """Draw the scene's machine."""
        self.query_one(Header).show(scene)
        self.query_one(TextPanel).show(scene)


class VerdictScreen(DetailScreen):
    """Every comparison in a sentence, and the self-grade."""

    def compose(self) -> ComposeResult:
        """One scrolling text."""
        yield Header()
        panel = TextPanel("machine", verdict_text)
        panel.border_title = "verdict"
        yield panel
        yield Keys()

    def show(self, scene: Scene) -> None:
        """Draw what the scene's run says."""
        self.query_one(Header).show(scene)
        self.query_one(TextPanel).show(scene)


class EventsScreen(DetailScreen):
    """The log alone, newest at the bottom."""

    def compose(self) -> ComposeResult:
        """Header and log."""
        yield Header()
        yield LogView()
        yield Keys()

    def on_mount(self) -> None:
        """Focus the log, so that keys scroll it."""
        self.query_one(LogView).focus()

    def show(self, scene: Scene) -> None:
        """Draw the scene's log."""
        self.query_one(Header).show(scene)
        self.query_one(LogView).show(scene)
