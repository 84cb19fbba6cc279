"""The dashboard: follows a run's logs and shows its state, at most four times a second."""

import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from time import monotonic
from typing import ClassVar, Protocol

from textual.app import App, SystemCommand
from textual.binding import Binding, BindingType
from textual.reactive import var
from textual.screen import Screen

from grambench.errors import MachineError
from grambench.events.reader import RunReader
from grambench.events.state import RunState
from grambench.reports.verdict import Verdict, verdict_of
from grambench.runner.rundir import PID_FILE, supervisor_of
from grambench.tui.budget import Budget
from grambench.tui.palette import DARK_THEME, LIGHT_THEME
from grambench.tui.scene import EMPTY, Scene
from grambench.tui.screens.detail import (
    DetailScreen,
    EventsScreen,
    StrategyScreen,
    SystemScreen,
    VerdictScreen,
)
from grambench.tui.screens.help import KEYS, HelpScreen, Rows
from grambench.tui.screens.leave import Choice, LeaveScreen
from grambench.tui.screens.race import RaceScreen
from grambench.tui.screens.run import RunScreen
from grambench.tui.terminal import on_hangup, terminal_is_gone
from grambench.tui.widgets.keys import action_name

SHORTEST_POLL_S = 0.25
SIDES_S = 1.0
"""Seconds between two drawings of throughput and memory, the most expensive plots."""

DRAWING_SHARE = 0.005
"""Share of the machine's CPUs that reading the logs and drawing may use; the rest is for training."""

READING_S = 0.2
"""Seconds of reading before keys are handled again: a long log without a snapshot is read in pieces."""


class Reader(Protocol):
    """Where the state comes from."""

    @property
    def state(self) -> RunState:
        """The state after the last `poll`."""

    @property
    def share_read(self) -> float:
        """How much of the log has been read, 0 to 1."""

    def poll(self, limit_s: float | None = None) -> int:
        """Read on for at most `limit_s` seconds; returns the number of new records."""


class Dashboard(App[str | None]):
    """The live dashboard of one run: reads the logs, holds the state and pushes the screens.

    Every change arrives as a new `scene`, which the screens watch.

    Its result: None if the run had ended (or cannot be stopped from here), "stop" if the user asked to
    stop it, "detach" if the user, or a lost terminal, left it running.

    Args:
        folder: the run's folder; the logs may not exist yet.
        poll_s: seconds between two reads of the logs, at least 0.25.
        reader: where the state comes from; unset: the logs in `folder`.
        live: False for a replay, which quits without asking.
        stays: False closes it when the run has ended.
    """

    CSS_PATH = "dashboard.tcss"
    TITLE = "grambench"
    AUTO_FOCUS = None
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q", "leave", "quit"),
        Binding("ctrl+c,ctrl+q", "leave", "quit", show=False, priority=True),
        Binding("question_mark", "help", "help", key_display="?"),
        Binding("tab", "app.focus_next", "panel", priority=True, show=False),
        Binding("t", "theme", "theme"),
        Binding("v", "strategy", "strategy"),
        Binding("y", "system", "system"),
        Binding("j", "events", "events"),
        Binding("V", "verdict", show=False),
    ]

    scene: var[Scene] = var(EMPTY, init=False, always_update=True)
    """What the screens draw."""
    is_over: var[bool] = var(False, init=False, bindings=True)
    """The run has ended, is a replay, or its supervisor is gone: there is nothing to pause or stop."""

    def __init__(
        self,
        folder: Path,
        *,
        poll_s: float = 0.25,
        reader: Reader | None = None,
        live: bool = True,
        stays: bool = True,
    ) -> None:
        super().__init__()
        self.register_theme(DARK_THEME)
        self.register_theme(LIGHT_THEME)
        self.theme = DARK_THEME.name
        self._folder, self._live, self._stays = folder, live, stays
        self._poll_s = max(poll_s, SHORTEST_POLL_S)
        self._reader: Reader = reader or RunReader(folder)
        self._reported, self._gone = False, False
        self._stale, self._sides_stale, self._sides_at = False, False, 0.0
        self._budget = Budget(DRAWING_SHARE * (os.cpu_count() or 1))
        self._restore_signals: Callable[[], None] | None = None
        self._verdict: Verdict | None = None
        self._judged: tuple[int, bool] | None = None

    @property
    def state(self) -> RunState:
        """The state of the run, as far as its logs have been read."""
        return self._reader.state

    def get_default_screen(self) -> Screen[None]:
        """The race."""
        return RaceScreen(self._folder)

    def on_mount(self) -> None:
        """Read the logs now and regularly from now on."""
        if not self.is_headless:
            self._restore_signals = on_hangup(self._hung_up)
        self.theme_changed_signal.subscribe(self, lambda _: self.redraw())
        self.set_interval(self._poll_s, self._poll)
        self._read()
        self._update_ending(changed=False)
        self.redraw()

    def on_unmount(self) -> None:
        """Restore the signal handlers."""
        if self._restore_signals is not None:
            self._restore_signals()

    # --- state ---------------------------------------------------------------------------------

    def _poll(self) -> None:
        if not self.is_running:  # shutting down: the timer outlives the screens
            return
        if not self.is_headless and terminal_is_gone():
            self._hung_up()
            return
        changed = self._read()
        self._stale, self._sides_stale = self._stale or changed, self._sides_stale or changed
        ended = self._update_ending(changed)
        sides = self._sides_stale and monotonic() - self._sides_at >= SIDES_S
        if ended or ((self._stale or sides) and self._budget.allows_drawing()):
            self._budget.drawn()
            self.redraw(sides)

    def _read(self) -> bool:
        """Read on; True when there is something new to draw."""
        return self._reader.poll(READING_S) > 0

    def _update_ending(self, changed: bool) -> bool:
        """Check whether and how the run has ended; True when that is new."""
        before = (self._reported, self._gone, self.is_over)
        self._reported = (self._folder / "report.json").exists()
        self._gone = not changed and self._reader.share_read == 1 and self._runner_gone()
        self.is_over = self.state.finished or not self._live or self._gone
        return before != (self._reported, self._gone, self.is_over)

    def _runner_gone(self) -> bool:
        started = self._live and not self.state.finished and (self._folder / PID_FILE).exists()
        return started and supervisor_of(self._folder) is None

    def _hung_up(self) -> None:
        self.exit(None if self.is_over else "detach")

    def watch_is_over(self, is_over: bool) -> None:
        """Close the quit dialog once the run has ended, or all, if nothing is to stay."""
        if is_over and (not self._stays or isinstance(self.screen, LeaveScreen)):
            self.exit(None)

    def redraw(self, sides: bool = True) -> None:
        """Give the screens a new scene; a widget redraws only if its own content changed.

        `sides`: throughput and memory too.
        """
        self._stale = False
        self._judge()
        if sides:
            self._sides_at, self._sides_stale = monotonic(), False
        self.scene = Scene.of(
            self.state,
            self.current_theme.dark,
            reported=self._reported,
            gone=self._gone,
            is_over=self.is_over,
            share_read=self._reader.share_read,
            sides=sides,
            verdict=self._verdict,
        )

    def _judge(self) -> None:
        """Once when the run has ended; before, when a trial has and the screen that shows it is open."""
        state = self.state
        asked = state.finished or any(isinstance(screen, VerdictScreen) for screen in self.screen_stack)
        judged = (sum(trial.ended for trial in state.trials.values()), state.finished) if asked else None
        if judged != self._judged:
            self._judged, self._verdict = judged, verdict_of(state, self._folder) if judged else None
            self.refresh_bindings()

    # --- keys ----------------------------------------------------------------------------------

    def action_leave(self) -> None:
        """Close the dialog on top, else quit; asks first while the run is in progress."""
        if isinstance(self.screen, LeaveScreen):
            return
        if self.screen.is_modal:
            self.screen.dismiss(None)
        elif self.is_over:
            self.exit(None)
        else:
            self.push_screen(LeaveScreen(), self._left)

    def _left(self, choice: Choice | None) -> None:
        if choice in ("stop", "detach"):
            self.exit(choice)

    def action_help(self) -> None:
        """Show keys and terms."""
        self.push_screen(HelpScreen(self.scene.tones.accent, self.help_keys()))

    def help_keys(self) -> Rows:
        """Keys of this dashboard, with what they do."""
        return KEYS

    def action_theme(self) -> None:
        """Switch between dark and light."""
        self.theme = LIGHT_THEME.name if self.current_theme.dark else DARK_THEME.name

    def action_strategy(self) -> None:
        """Show details of the strategy in training, or of the next one."""
        names = list(self.state.trials)
        if not names:
            return
        if isinstance(self.screen, StrategyScreen):
            name = names[(names.index(self.screen.trial) + 1) % len(names)]
        else:
            name = self.state.active if self.state.active in names else names[0]
        self._show_detail(StrategyScreen(self._folder, name))

    def action_system(self) -> None:
        """Show the machine."""
        self._show_detail(SystemScreen(self._folder))

    def action_events(self) -> None:
        """Show the log on its own screen."""
        self._show_detail(EventsScreen(self._folder))

    def action_verdict(self) -> None:
        """Show what the run says about each strategy, and how far its conditions support that."""
        self._show_detail(VerdictScreen(self._folder))
        self.call_after_refresh(self.redraw)

    def _show_detail(self, screen: DetailScreen) -> None:
        """Push `screen`, or replace the detail screen that is shown."""
        if isinstance(self.screen, DetailScreen):
            self.switch_screen(screen)
        else:
            self.push_screen(screen)

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        """Every action of the screen from which the palette was opened, with its key."""
        ours = {"Quit", "Theme"}  # Textual's quit without asking, and offer themes that lack our colours
        yield from (command for command in super().get_system_commands(screen) if command.title not in ours)
        if not isinstance(screen, RunScreen):
            return
        for command in (*screen.system_commands(), *self._own_commands()):
            action = command.callback.__name__.removeprefix("action_")
            key = self._keys(screen).get(action)
            if key is not None:
                yield command._replace(help=f"{key}  {command.help}")

    def _keys(self, screen: RunScreen) -> dict[str, str]:
        """Action -> the key that does it on this screen; without those that cannot work now."""
        active = reversed([active.binding for active in screen.active_bindings.values()])
        return {action_name(binding.action): self.get_key_display(binding) for binding in active}

    def _own_commands(self) -> Iterable[SystemCommand]:
        yield SystemCommand("Strategy", "Details of one strategy; again: the next", self.action_strategy)
        yield SystemCommand("System", "GPUs, host, memory by process", self.action_system)
        yield SystemCommand("Events", "The log on its own screen", self.action_events)
        yield SystemCommand("Verdict", "Whether each strategy pays, and the self-grade", self.action_verdict)
        yield SystemCommand("Help", "Keys, and the terms of the method", self.action_help)
        yield SystemCommand("Theme", "Dark or light", self.action_theme)
        yield SystemCommand("Quit", "Quit; asks first during a run", self.action_leave)


def show(folder: Path, *, stays: bool = True) -> str | None:
    """Run the dashboard on the terminal until the user leaves, or the run ends if it does not stay.

    Returns:
        What `Dashboard` returns.

    Raises:
        MachineError: stdin or stderr is not a terminal.
    """
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise MachineError("The dashboard needs a terminal on stdin and stderr.", "Use --plain here.")
    return Dashboard(folder, stays=stays).run()
