"""Plays back a log in the dashboard: at any speed, paused, forwards and backwards."""

from collections.abc import Callable
from math import inf
from pathlib import Path
from time import monotonic
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.content import Content
from textual.screen import Screen

from grambench.events.fold import Fold
from grambench.events.reader import RunReader, read_run
from grambench.events.state import RunState
from grambench.reports.runfile import RUN_FILE
from grambench.tui.app import Dashboard
from grambench.tui.budget import Budget
from grambench.tui.line_parts import bar
from grambench.tui.scene import Scene
from grambench.tui.screens.help import REPLAY_KEYS, Rows
from grambench.tui.screens.race import RaceScreen
from grambench.views import numbers

SCRUB_S = 5.0
SEEKING_S = 0.5
FASTEST, SLOWEST = 1024.0, 0.25


class Replay:
    """Plays a log at a chosen speed; the dashboard reads it like a `RunReader`.

    The log is read as it is played, so that a day takes no more memory than an hour.
    """

    def __init__(self, folder: Path, speed: float = 1.0, clock: Callable[[], float] = monotonic) -> None:
        """`speed`: seconds of the run per second."""
        self.speed, self.paused = speed, False
        self._folder, self._clock = folder, clock
        self.length_s = read_run(folder).elapsed_s
        self.place_s = 0.0
        self._polled_s: float | None = None
        self._rewind()
        self._apply(SEEKING_S)

    @property
    def state(self) -> RunState:
        """The run as it was at the current position."""
        return self._fold.state

    @property
    def share_read(self) -> float:
        """How much of the log up to the current position has been read, 0 to 1."""
        return min(0.99, self.state.elapsed_s / self.place_s) if self._is_due() and self.place_s else 1.0

    def poll(self, limit_s: float | None = None) -> int:
        """Let time pass, except while the log up to the position is being read; returns the new records."""
        now = self._clock()
        passed_s = 0.0 if self._polled_s is None else now - self._polled_s
        self._polled_s = now
        if not (self.paused or self._is_due()):
            self.place_s = min(self.length_s, self.place_s + passed_s * self.speed)
        return self._apply(limit_s)

    def seek(self, place_s: float) -> None:
        """Go to a moment of the run, in seconds from its start; going back reads the log again.

        What cannot be read in half a second is read by the next polls.
        """
        place_s = min(self.length_s, max(0.0, place_s))
        if place_s < self.place_s:
            self._rewind()
        self.place_s = place_s
        self._apply(SEEKING_S)

    def _rewind(self) -> None:
        self._fold = Fold()
        reader = RunReader(self._folder, use_snapshot=False)
        self._fold.state.logs = reader.state.logs
        self._records = reader.read()
        self._next = next(self._records, None)

    def _is_due(self) -> bool:
        return self._next is not None and self._fold.moment_s(self._next[1]) <= self.place_s

    def _apply(self, limit_s: float | None) -> int:
        ends_s = None if limit_s is None else monotonic() + limit_s
        applied = 0
        while self._next is not None and self._is_due():
            self._fold.apply(*self._next)
            self._next = next(self._records, None)
            applied += 1
            if ends_s is not None and monotonic() >= ends_s:
                break
        return applied


class ReplayScreen(RaceScreen):
    """The race with a time bar in place of the banner; ← → move in time instead of the read-out."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left", "app.scrub(-1)", "5 s", key_display="← →"),
        Binding("right", "app.scrub(1)", show=False),
    ]

    def __init__(self, folder: Path, replay: Replay) -> None:
        super().__init__(folder)
        self._replay = replay

    def banner(self, scene: Scene) -> Content:
        """Position, length and speed."""
        replay, tones = self._replay, scene.tones
        still = replay.paused or replay.place_s >= replay.length_s
        sign = "…" if replay.share_read < 1 else "‖" if still else "▶"
        speed = f"{replay.speed:g}×"
        clock = f"{numbers.clock(replay.place_s)} / {numbers.clock(replay.length_s)}"
        room = max(8, self.size.width - len(speed) - len(clock) - 8)
        share = replay.place_s / replay.length_s if replay.length_s else 1.0
        return Content.assemble(
            (f"{sign} ", f"bold {tones.accent}"),
            (f"{speed}  {clock}  ", tones.text),
            bar(share, room, tones.accent, tones.faint),
        )


class ReplayDashboard(Dashboard):
    """The dashboard of a run that is played back; its keys work on every screen."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("space", "play", "play"),
        Binding("left", "scrub(-1)", "5 s", key_display="← →"),
        Binding("right", "scrub(1)", show=False),
        Binding("home", "jump(0)", "start, end", key_display="home end"),
        Binding("end", "jump(1)", show=False),
        Binding("plus,equals_sign", "speed(2)", "speed", key_display="+ −"),
        Binding("minus", "speed(0.5)", show=False),
    ]

    def __init__(self, folder: Path, replay: Replay) -> None:
        super().__init__(folder, reader=replay, live=False)
        self.replay = replay
        self._budget = Budget(inf)  # no training needs the CPUs

    def get_default_screen(self) -> Screen[None]:
        """The race with the time bar."""
        return ReplayScreen(self._folder, self.replay)

    def help_keys(self) -> Rows:
        """Those of a replay; a recording without the run's own file has no report to export."""
        exports = (self._folder / RUN_FILE).exists()
        return tuple(row for row in REPLAY_KEYS if exports or row[0] != "e")

    def _read(self) -> bool:
        """The time bar moves even without a new event."""
        before_s = self.replay.place_s
        return super()._read() or self.replay.place_s != before_s

    def action_play(self) -> None:
        """Pause or continue; at the end, start again."""
        if self.replay.place_s >= self.replay.length_s:
            self.replay.seek(0.0)
            self.replay.paused = False
        else:
            self.replay.paused = not self.replay.paused
        self.redraw()

    def action_scrub(self, steps: int) -> None:
        """Move some seconds back or forward."""
        self.replay.seek(self.replay.place_s + steps * SCRUB_S)
        self.redraw()

    def action_jump(self, share: float) -> None:
        """Jump to a share of the run: 0 its start, 1 its end."""
        self.replay.seek(share * self.replay.length_s)
        self.redraw()

    def action_speed(self, factor: float) -> None:
        """Faster or slower."""
        self.replay.speed = min(FASTEST, max(SLOWEST, self.replay.speed * factor))
        self.redraw()


def play(folder: Path, speed: float) -> None:
    """Replay a run on the terminal until the user leaves."""
    ReplayDashboard(folder, Replay(folder, speed)).run()
