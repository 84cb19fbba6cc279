"""Several runs on one screen: a table of each, and the curves of all, named `run/strategy`."""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar

from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.content import Content
from textual.css.query import NoMatches

from grambench.events.reader import RunReader
from grambench.events.state import RunState, TrialState
from grambench.runner.run_index import Status, state_word
from grambench.runner.rundir import supervisor_of
from grambench.text import safe_text
from grambench.tui.budget import Budget
from grambench.tui.line_parts import ends, styled
from grambench.tui.palette import DARK_THEME, LIGHT_THEME
from grambench.tui.plots import Name, highlight_hint, metric_curves, series_curves, short_name
from grambench.tui.scene import EMPTY, Scene
from grambench.tui.terminal import on_hangup, terminal_is_gone
from grambench.tui.view import PLAIN, XAxis
from grambench.tui.widgets.board import leaderboard
from grambench.tui.widgets.chart import Curve, Picture
from grambench.tui.widgets.keys import Keys
from grambench.tui.widgets.panel import Panel, Plot
from grambench.tui.widgets.text import Text, TextPanel
from grambench.views import numbers
from grambench.views.palette import Look, looks
from grambench.views.short_names import short_names

_POLL_S, _READING_S = 0.5, 0.2
_DRAWING_SHARE = 0.005
"""Share of the machine's CPUs that reading the logs and drawing may use."""
_SIDES_FROM = 110
"""Columns from which the side plots are shown."""


@dataclass(frozen=True, slots=True)
class Watched:
    """One of the runs, as far as its logs have been read."""

    short: str
    """Names it in labels."""
    folder: Path
    state: RunState
    status: Status


class RunsDashboard(App[None]):
    """Follows the logs of several runs; leaving it ends none of them."""

    CSS_PATH = "dashboard.tcss"
    TITLE = "grambench"
    AUTO_FOCUS = None
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q", "leave", "quit"),
        Binding("ctrl+c,ctrl+q", "leave", "quit", show=False, priority=True),
        Binding("a", "axis", "axis"),
        Binding("o", "logarithmic", "log axis"),
        Binding("h", "highlight(1)", show=False),
        Binding("H", "highlight(-1)", show=False),
        Binding("escape", "highlight(0)", show=False),
        Binding("tab", "app.focus_next", "panel", priority=True, show=False),
        Binding("t", "theme", "theme"),
    ]

    def __init__(self, folders: Sequence[Path]) -> None:
        super().__init__()
        self.register_theme(DARK_THEME)
        self.register_theme(LIGHT_THEME)
        self.theme = DARK_THEME.name
        self._readers = [RunReader(folder) for folder in folders]
        self._folders, self._names = folders, short_names(folders)
        self.runs: list[Watched] = []
        self.axis: XAxis = "seconds"
        self.logarithmic = False
        self.view = PLAIN
        """Highlights a `run/label`."""
        self._budget = Budget(_DRAWING_SHARE * (os.cpu_count() or 1))
        self._stale = False
        self._restore_signals: Callable[[], None] | None = None

    def compose(self) -> ComposeResult:
        """From top to bottom."""
        yield Text(id="header")
        with Container(id="plots", classes="-several"):
            yield Panel("metric", "validation scores", self._metric_plot)
            with Container(id="side"):
                yield Panel("rate", "samples/s", self._rate_plot)
                yield Panel("memory", "memory, GiB", self._memory_plot)
        yield TextPanel("runs", self._table)
        yield Keys()

    def on_mount(self) -> None:
        """Read the logs now and regularly from now on."""
        if not self.is_headless:
            self._restore_signals = on_hangup(self.exit)
        self.theme_changed_signal.subscribe(self, lambda _: self.redraw())
        self.query_one(TextPanel).border_title = "runs"
        self.set_interval(_POLL_S, self._poll)
        self._read()
        self.redraw()

    def on_unmount(self) -> None:
        """Restore the signal handlers."""
        if self._restore_signals is not None:
            self._restore_signals()

    def on_resize(self) -> None:
        """Fit everything to the new size."""
        self.call_after_refresh(self.redraw)

    def _poll(self) -> None:
        if not self.is_headless and terminal_is_gone():
            self.exit()
            return
        self._stale = self._read() or self._stale
        if self._stale and self._budget.allows_drawing():
            self._budget.drawn()
            self.redraw()

    def _read(self) -> bool:
        """Read on; True when there is something new to draw."""
        new = [reader.poll(_READING_S / len(self._readers)) > 0 for reader in self._readers]
        before = [run.status for run in self.runs]
        self.runs = [
            Watched(name, folder, reader.state, _status(folder, reader.state))
            for name, folder, reader in zip(self._names, self._folders, self._readers, strict=True)
        ]
        return any(new) or before != [run.status for run in self.runs]

    # --- drawing -------------------------------------------------------------------------------

    def redraw(self) -> None:
        """Draw all runs; a widget changes only if its own content did."""
        self._stale = False
        try:
            self._layout()
            self.query_one("#header", Text).show(self._header())
            for panel in self.query(Panel):
                panel.show(EMPTY)
            self.query_one(TextPanel).show(EMPTY)
        except NoMatches:  # some widgets are already gone: the screen is being closed
            return

    def _layout(self) -> None:
        width, height = self.size
        self.query_one("#side").display = width >= _SIDES_FROM
        rows = sum(2 + len(run.state.trials) for run in self.runs) + 2
        self.query_one(TextPanel).styles.height = min(rows, max(6, height // 2))

    def _header(self) -> Content:
        tones = self._scene(RunState()).tones
        running = sum(run.status == "running" for run in self.runs)
        left = [(2, styled("grambench", f"bold {tones.accent}")), (1, styled(f"{len(self.runs)} runs"))]
        right = [(1, styled(f"{running} running", tones.text if running else tones.muted))]
        return ends(left, right, max(10, self.size.width - 2))

    def _scene(self, state: RunState) -> Scene:
        return Scene.of(state, self.current_theme.dark)

    def scenes(self) -> dict[str, Scene]:
        """By short name; each label of each run has a look of its own."""
        of_all = {
            f"{run.short}/{trial.label}": trial.strategy
            for run in self.runs
            for trial in run.state.trials.values()
        }
        look_of = looks(of_all, self.current_theme.dark)
        found = {}
        for run in self.runs:
            own = {trial.label: look_of[f"{run.short}/{trial.label}"] for trial in run.state.trials.values()}
            view = replace(PLAIN, highlighted=_label_in(run, self.view.highlighted))
            found[run.short] = replace(self._scene(run.state), looks=own, view=view)
        return found

    def _metric_plot(self, _: Scene, width: int) -> Plot:
        scenes = self.scenes()
        curves = [metric_curves(scene, self.axis, partial(_named, short)) for short, scene in scenes.items()]
        unit = "s" if self.axis == "seconds" else "steps"
        titles = {run.state.metric.title for run in self.runs if run.state.run}
        over = "training time" if self.axis == "seconds" else "steps"
        title = f"validation {' and '.join(sorted(titles)) or 'score'} over {over}"
        return Plot(
            self._picture(curves, unit=unit, logarithmic=self.logarithmic),
            self._empty("no validation yet"),
            f"{title} (log)" if self.logarithmic else title,
            highlight_hint(_looks(scenes), self.view.highlighted),
        )

    def _rate_plot(self, _: Scene, width: int) -> Plot:
        return self._side_plot(
            lambda scene, name: series_curves(scene, width, lambda trial: trial.rate_series, name)
        )

    def _memory_plot(self, _: Scene, width: int) -> Plot:
        return self._side_plot(
            lambda scene, name: series_curves(
                scene, width, lambda trial: trial.memory_series, name, max, numbers.GIB
            )
        )

    def _side_plot(self, curves_of: Callable[[Scene, Name], tuple[Curve, ...]]) -> Plot:
        curves = [curves_of(scene, partial(_named, short)) for short, scene in self.scenes().items()]
        return Plot(self._picture(curves, zero=True), self._empty("once training starts"))

    def _picture(self, curves: Iterable[tuple[Curve, ...]], **how: Any) -> Picture:
        return Picture(tuple(chain(*curves)), self._scene(RunState()).tones, **how)

    def _empty(self, words: str) -> Content:
        return styled(words, self._scene(RunState()).tones.muted)

    def _table(self, _: Scene, width: int) -> Content:
        """Each run's line and its leaderboard."""
        scenes = self.scenes()
        lines = [
            line
            for run in self.runs
            for line in (_run_line(run, scenes[run.short], width), leaderboard(scenes[run.short], width))
        ]
        return Content("\n").join(lines)

    # --- keys ----------------------------------------------------------------------------------

    def action_leave(self) -> None:
        """Leave; the runs go on."""
        self.exit()

    def action_axis(self) -> None:
        """Training seconds, or steps."""
        self.axis = "steps" if self.axis == "seconds" else "seconds"
        self.redraw()

    def action_logarithmic(self) -> None:
        """Linear or logarithmic x-axis."""
        self.logarithmic = not self.logarithmic
        self.redraw()

    def action_highlight(self, steps: int) -> None:
        """One label of one run in its colour and all others dimmed: the next one; 0: all as they are."""
        highlighted = self.view.next_highlight([*_looks(self.scenes())], steps) if steps else None
        self.view = replace(self.view, highlighted=highlighted)
        self.redraw()

    def action_theme(self) -> None:
        """Switch between dark and light."""
        self.theme = LIGHT_THEME.name if self.current_theme.dark else DARK_THEME.name


def _status(folder: Path, state: RunState) -> Status:
    return "running" if supervisor_of(folder) is not None else state_word(state)


def _looks(scenes: Mapping[str, Scene]) -> dict[str, Look]:
    """By `run/label`."""
    return {
        f"{short}/{label}": look for short, scene in scenes.items() for label, look in scene.looks.items()
    }


def _label_in(run: Watched, highlighted: str | None) -> str | None:
    """The highlighted label if it is one of the run's; `/`, which no label is, if it is another run's."""
    if highlighted is None:
        return None
    short, _, label = highlighted.rpartition("/")
    return label if short == run.short else "/"


def _named(run: str, trial: TrialState) -> str:
    return f"{run}/{short_name(trial)}"


def _run_line(run: Watched, scene: Scene, width: int) -> Content:
    tones, state = scene.tones, run.state
    colours = {"running": tones.accent, "finished": tones.good, "failed": tones.bad}
    word = "paused" if state.paused and run.status == "running" else run.status
    seconds = state.seconds if state.finished and state.seconds is not None else state.elapsed_s
    left = [
        (9, styled(run.short, f"bold {tones.text}")),
        (8, styled(word, colours.get(run.status, tones.warn))),
        (6, styled(numbers.clock(seconds), tones.text)),
    ]
    name = safe_text(run.folder.name, 60)
    right = [
        (3, styled(safe_text(Path(state.preset).stem, 28), tones.muted)),
        (5, styled("" if name == run.short else name, tones.muted)),
    ]
    return ends(left, [part for part in right if part[1].plain], width, "  ")
