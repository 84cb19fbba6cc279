"""A log on a disk that may be full for a while: events wait in memory until they can be written."""

import math
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Self

from grambench.errors import ConfigError
from grambench.events.journal import Journal
from grambench.events.types import Event, GpuSample, HostSample, ProcessSample, Progress, Warned

MOST_WAITING = 10_000
PATIENCE = "GRAMBENCH_DISK_PATIENCE_S"
"""Environment variable: seconds for which a run waits for room on its disk; 600 unless set."""
_CLOSE_S = 30.0
_DISPENSABLE = (Progress, GpuSample, HostSample, ProcessSample)
"""Counters and samples: the next one supersedes them."""


def disk_patience_s() -> float:
    """How long a run waits for room on its disk before it is interrupted.

    Raises:
        ConfigError: the environment's value is not a number of seconds.
    """
    value = os.environ.get(PATIENCE, "") or "600"
    try:
        seconds = float(value)
    except ValueError:
        seconds = math.nan
    if not seconds > 0:
        raise ConfigError(f"{PATIENCE} is {value!r}.", "Set it to a number of seconds above 0, or unset it.")
    return seconds


class BufferedJournal:
    """Like `Journal`, but a failed write is retried with the next event and at the end."""

    def __init__(
        self,
        path: Path,
        *,
        patience_s: float | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """`patience_s`: how long `close` waits for space; None: at most half a minute.

        Raises:
            OSError: the folder is missing or not writable.
        """
        self._journal = Journal(path)
        self.lines = self._journal.lines
        """Complete lines that the log held when it was opened."""
        self._patience_s = min(_CLOSE_S, disk_patience_s()) if patience_s is None else patience_s
        self._clock, self._sleep = clock, sleep
        self._waiting: deque[Event] = deque()
        self._since_s, self._lost, self._why = 0.0, 0, ""
        self._lock = threading.Lock()

    @property
    def waited_s(self) -> float:
        """How long the oldest event has waited to be written; 0: none waits."""
        return self._clock() - self._since_s if self._waiting else 0.0

    @property
    def why(self) -> str:
        """Why the last write failed, in the system's words."""
        return self._why

    def append(self, event: Event) -> None:
        """Write the waiting events and this one, or queue it too."""
        with self._lock:
            if not self._waiting:
                self._since_s = self._clock()
            self._waiting.append(event)
            self._write()
            if len(self._waiting) > MOST_WAITING:
                self._thin()

    def close(self) -> None:
        """Write the waiting events, for at most `patience_s`.

        Raises:
            OSError: events could still not be written.
        """
        with self._lock:
            deadline = self._clock() + self._patience_s
            while self._waiting and self._clock() < deadline:
                self._write()
                if self._waiting:
                    self._sleep(1.0)
            self._journal.close()
            if self._waiting:
                raise OSError(f"{len(self._waiting):,} events could not be written: {self._why}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _write(self) -> None:
        waited = len(self._waiting) > 1
        while self._waiting:
            try:
                self._journal.append(self._waiting[0])
            except OSError as error:
                self._why = error.strerror or str(error)
                return
            self._waiting.popleft()
        if waited:
            gap_s, lost, self._lost = self._clock() - self._since_s, self._lost, 0
            dropped = f"; {lost:,} samples are lost" if lost else ""
            message = (
                f"the log could not be written for {gap_s:.0f} s ({self._why}); events came late{dropped}"
            )
            self._waiting.append(Warned("disk-full", message))
            self._write_last()

    def _write_last(self) -> None:
        try:
            self._journal.append(self._waiting[0])
        except OSError:
            return
        self._waiting.popleft()

    def _thin(self) -> None:
        """Drop events that the next one of their type supersedes."""
        kept = [event for event in self._waiting if not isinstance(event, _DISPENSABLE)]
        self._lost += len(self._waiting) - len(kept)
        self._waiting = deque(kept)
