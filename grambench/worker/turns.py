"""The worker's ends of the control pipes: its turns, how it is to end, and its heartbeats."""

import contextlib
import os
import sys
import threading
import time
from typing import TYPE_CHECKING

from grambench.events import types as ev
from grambench.events.control import Alive, Ending, Grant, Hold, Lines, Message, Stop, TurnOver, encode

if TYPE_CHECKING:
    from grambench.training.group import Group  # loads torch

HEARTBEAT_S = 1.0
"""Seconds between two heartbeats."""
_WAIT_S = 0.5
"""Seconds between two agreements of waiting ranks."""
_ENDINGS: tuple[Ending | None, ...] = (None, "skipped", "stopped", "interrupted")
"""Ways to end; where ranks differ, the last of theirs."""


class Heartbeat:
    """Tells the runner that a thread makes progress: its frame has changed since the last heartbeat.

    A call into a library that never returns looks dead; a thread that waits for a turn does not, since the
    runner expects no heartbeat from it.
    """

    def __init__(self, descriptor: int | None, period_s: float = HEARTBEAT_S) -> None:
        """`descriptor`: the pipe's end for writing; None: no heartbeats are sent."""
        self._descriptor, self._period_s = descriptor, period_s
        self._watched = threading.get_ident()
        self._seen: tuple[int, int] | None = None
        if descriptor is not None:
            threading.Thread(target=self._beat, name="heartbeat", daemon=True).start()

    def send(self, message: Message) -> None:
        """Send a message; does nothing if the runner is gone."""
        if self._descriptor is not None:
            with contextlib.suppress(OSError):
                os.write(self._descriptor, encode(message))

    def _beat(self) -> None:
        while True:
            frame = sys._current_frames().get(self._watched)
            now = (id(frame), frame.f_lasti) if frame is not None else None
            if now != self._seen:
                self._seen = now
                self.send(Alive())
            del frame  # else its locals would stay alive
            time.sleep(self._period_s)


class PipeTurn:
    """Follows the runner's messages on a pipe; the pipe's end interrupts the trial."""

    def __init__(self, descriptor: int, heartbeat: Heartbeat | None = None) -> None:
        """`descriptor`: the pipe's end for reading. Read raw: a buffered reader that waits in a
        daemon thread holds a lock that the interpreter needs to shut down.
        """
        self._descriptor, self._heartbeat = descriptor, heartbeat or Heartbeat(None)
        self._granted = threading.Event()
        self._lock = threading.Lock()
        self._turn = 0
        self._seconds: float | None = None
        self._granted_s = 0.0
        self._deadline_s: float | None = None
        self._ending: Ending | None = None
        self._trained_s = 0.0
        self._begun = False
        """The granted turn is being used."""
        threading.Thread(target=self._listen, name="control", daemon=True).start()

    def must_wait(self) -> bool:
        """True while the turn is withheld, or its time is over."""
        over = self._deadline_s is not None and time.monotonic() >= self._deadline_s
        return over or not self._granted.is_set()

    def wait(self, timeout_s: float | None = None) -> None:
        """Return once a turn is granted, the trial is to end, or the time is over."""
        self._granted.wait(timeout_s)

    def agree(self, *own: bool) -> tuple[bool, ...]:
        """The arguments: no other rank is asked."""
        return own

    def begin(self) -> float:
        """Training begins: seconds since the turn was granted."""
        now = time.monotonic()
        with self._lock:
            self._begun = True
            self._deadline_s = None if self._seconds is None else now + self._seconds
            return now - self._granted_s

    def extend(self, seconds: float) -> None:
        """Extend the turn by seconds since `begin` that were not training."""
        with self._lock:
            if self._deadline_s is not None:
                self._deadline_s += seconds

    def give_back(self, train_s: float) -> ev.TurnEnded:
        """End the turn after `train_s` seconds of training."""
        self._trained_s += train_s
        with self._lock:
            turn = self._turn
            if self._deadline_s is not None and time.monotonic() >= self._deadline_s:
                self._deadline_s = None
                if self._ending is None:
                    self._granted.clear()
        self._heartbeat.send(TurnOver(turn, self._trained_s))
        return ev.TurnEnded(turn, train_s, 0.0)

    def ending(self) -> Ending | None:
        """How the trial has to end now; None if it may continue."""
        return self._ending

    def end(self, how: Ending) -> None:
        """End the trial before its next step; the first call decides how."""
        self._ending = self._ending or how
        self._granted.set()

    def _listen(self) -> None:
        lines = Lines()
        with contextlib.suppress(ConnectionResetError):  # the runner has died without reading all messages
            while data := os.read(self._descriptor, 4096):
                for message in lines.feed(data):
                    self._handle(message)
        self.end("interrupted")

    def _handle(self, message: Message) -> None:
        match message:
            case Grant(turn, seconds):
                with self._lock:
                    self._turn, self._seconds = turn, seconds
                    self._granted_s, self._deadline_s, self._begun = time.monotonic(), None, False
                    self._granted.set()
            case Hold() if self._ending is None:
                with self._lock:
                    withdrawn = self._granted.is_set() and not self._begun
                    self._granted.clear()
                if withdrawn:  # the loop is not there yet, and would wait for ever for another grant
                    self._heartbeat.send(TurnOver(self._turn, self._trained_s, begun=False))
            case Stop(how):
                self.end(how)


class OwnTurn:
    """The turn of a rank that no runner speaks to: it may always train, until a signal ends it."""

    def __init__(self) -> None:
        self._ending: Ending | None = None

    def must_wait(self) -> bool:
        """Never."""
        return False

    def wait(self, timeout_s: float | None = None) -> None:
        """Return at once."""

    def begin(self) -> float:
        """0: nothing is granted."""
        return 0.0

    def extend(self, seconds: float) -> None:
        """Do nothing: the turn has no limit."""

    def give_back(self, train_s: float) -> ev.TurnEnded:
        """The event, for this rank's own log."""
        return ev.TurnEnded(0, train_s, 0.0)

    def ending(self) -> Ending | None:
        """How the trial has to end now; None if it may continue."""
        return self._ending

    def end(self, how: Ending) -> None:
        """End the trial before its next step; the first call decides how."""
        self._ending = self._ending or how

    def agree(self, *own: bool) -> tuple[bool, ...]:
        """The arguments: no other rank is asked."""
        return own


class GroupTurn:
    """The turn of several ranks: what each has been told counts once all have agreed.

    While they wait, they agree again and again, so that no message between them lasts long and the death of
    one is noticed at once.
    """

    def __init__(self, group: "Group", own: PipeTurn | OwnTurn) -> None:
        self._group, self._own = group, own
        self._waits = True
        self._ending: Ending | None = None

    def must_wait(self) -> bool:
        """Whether training has to pause, as of the last agreement."""
        return self._waits

    def wait(self) -> None:
        """Return once a turn is granted or the trial is to end."""
        while True:
            self._own.wait(_WAIT_S)
            self.agree()
            if not self._waits or self._ending:
                return

    def begin(self) -> float:
        """Training begins: seconds since the turn was granted; of the leader."""
        return self._own.begin()

    def extend(self, seconds: float) -> None:
        """Extend the turn by seconds since `begin` that were not training."""
        self._own.extend(seconds)

    def give_back(self, train_s: float) -> ev.TurnEnded:
        """End the turn after `train_s` seconds of training."""
        return self._own.give_back(train_s)

    def ending(self) -> Ending | None:
        """How the trial has to end, as of the last agreement; None if it may continue."""
        return self._ending

    def agree(self, *own: bool) -> tuple[bool, ...]:
        """Whether each of these holds on any rank; collective."""
        waits, ending, *flags = self._group.greatest(
            self._own.must_wait(), _ENDINGS.index(self._own.ending()), *own
        )
        self._waits, self._ending = bool(waits), _ENDINGS[ending]
        return tuple(map(bool, flags))
