"""Notices that the process was stopped: SIGSTOP, a frozen control group, a suspended batch job.

A thread ticks ten times a second. A tick that comes late was a stop only where nothing else explains the
delay: the thread was not waiting for a CPU (the kernel counts that), not for the interpreter's lock (a thread
that waits for it wakes up every few milliseconds), and the process used next to no CPU time. A machine that
sleeps does not count: monotonic clocks stand still meanwhile.
"""

import os
import resource
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from grambench.events import types as ev

TICK_S = 0.1
"""Seconds between two ticks; half of it is the error of a stop's length."""
SHORTEST_S = 0.5
"""A shorter delay is never called a stop."""
_FAULT_S = 0.5
"""Longest time in seconds to read one page from a busy disk."""
_SETTLE_S = 0.5
"""Longest wait for a tick that is late."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What is known at a tick; counters since the start of the process or thread."""

    t_s: float
    """Monotonic clock."""
    cpu_s: float
    """CPU time of all threads."""
    waited_s: float | None = None
    """How long the ticking thread was runnable without a CPU; None: the system does not say."""
    switches: int = 0
    """How often it has given up its CPU."""
    faults: int = 0
    """Page faults of it that were served from disk."""


@dataclass(frozen=True, slots=True)
class Stop:
    """The process was stopped between two moments of the monotonic clock, in seconds."""

    begin_s: float
    end_s: float

    @property
    def seconds(self) -> float:
        """Length of the stop."""
        return self.end_s - self.begin_s


def stop_between(before: Reading, now: Reading, cpus: int, lock_s: float) -> Stop | None:
    """The stop that explains why `now` comes so late after `before`, if nothing else does.

    Args:
        before: the tick before.
        now: the late one.
        cpus: on which the process may run.
        lock_s: the interval at which a thread that waits for the interpreter's lock wakes up.
    """
    gap_s = now.t_s - before.t_s
    if gap_s < TICK_S + SHORTEST_S:
        return None
    locked_s = max(0, now.switches - before.switches) * lock_s
    waited_s = (now.waited_s or 0.0) - (before.waited_s or 0.0) + (now.faults - before.faults) * _FAULT_S
    late_s = gap_s - TICK_S - waited_s - locked_s
    if late_s < max(SHORTEST_S, 0.1 * locked_s):
        return None
    used_s, awake_s = now.cpu_s - before.cpu_s, gap_s - late_s
    most_s = 0.25 * gap_s if now.waited_s is None else cpus * awake_s + 0.1 * late_s
    if used_s > most_s:
        return None
    end_s = now.t_s - waited_s
    return Stop(end_s - late_s - TICK_S / 2, end_s)


def stop_events(whose: str, stop: Stop, training_s: float) -> tuple[ev.Warned, ev.ProcessStopped]:
    """The events that a worker logs about a stop.

    Args:
        whose: the process that was stopped: a trial's name, or the setup.
        stop: what was noticed.
        training_s: seconds of it that fell into training.
    """
    where = f"{training_s:.1f} s of it are excluded from its training time" if training_s else ""
    where = where or "its training time is not affected"
    words = (
        f"the process of {whose} was stopped for {stop.seconds:.1f} s"
        f" (SIGSTOP, or a frozen container or job); {where}"
    )
    return ev.Warned("stopped", words), ev.ProcessStopped(stop.seconds, training_s)


class StopDetector:
    """The ticking thread, and the stops that it has noticed. Thread-safe."""

    def __init__(self, tell: Callable[[Stop, float], None]) -> None:
        """`tell`: called for each stop, with the seconds of it that fell into training."""
        self.counted: Callable[[float, float], float] = lambda _begin_s, _end_s: 0.0
        """Training seconds between two moments; the trial sets this to its clock's."""
        self._tell = tell
        self._stops: list[Stop] = []
        self._ticked = threading.Condition()
        self._ticked_s = time.monotonic()
        self._cpus, self._lock_s = _cpus(), sys.getswitchinterval()

    def start(self) -> None:
        """Begin to tick."""
        threading.Thread(target=self._run, name="stops", daemon=True).start()

    def settle(self) -> None:
        """Return once every stop up to now is known; at once unless a tick is late."""
        now_s = time.monotonic()
        if now_s - self._ticked_s < TICK_S + SHORTEST_S:
            return
        with self._ticked:
            self._ticked.wait_for(lambda: self._ticked_s >= now_s, _SETTLE_S)

    def within_s(self, since_s: float, until_s: float) -> float:
        """Seconds of stops between two moments of the monotonic clock."""
        found_s = 0.0
        for stop in reversed(self._stops):
            if stop.end_s <= since_s:
                break
            found_s += max(0.0, min(stop.end_s, until_s) - max(stop.begin_s, since_s))
        return found_s

    def _run(self) -> None:
        with _WaitedTime() as waited:
            before = _read(waited)
            while True:
                time.sleep(TICK_S)
                now = _read(waited)
                self._judge(before, now)
                before = now

    def _judge(self, before: Reading, now: Reading) -> None:
        stop = stop_between(before, now, self._cpus, self._lock_s)
        if stop is not None:
            self._stops.append(stop)
            with suppress(OSError):  # the log is closed: the worker is about to end
                self._tell(stop, self.counted(stop.begin_s, stop.end_s))
        with self._ticked:
            self._ticked_s = now.t_s
            self._ticked.notify_all()


class _WaitedTime:
    """How long this thread has waited on a run queue, as counted by Linux."""

    def __enter__(self) -> "_WaitedTime":
        self._descriptor = -1
        with suppress(OSError):
            self._descriptor = os.open("/proc/thread-self/schedstat", os.O_RDONLY | os.O_CLOEXEC)
        return self

    def __exit__(self, *_: object) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)

    def read_s(self) -> float | None:
        """Seconds; None where the kernel does not count them."""
        try:
            return int(os.pread(self._descriptor, 128, 0).split()[1]) / 1e9
        except (OSError, IndexError, ValueError):
            return None


def _read(waited: _WaitedTime) -> Reading:
    waited_s, switches, faults = waited.read_s(), 0, 0
    who = getattr(resource, "RUSAGE_THREAD", None)  # Linux only
    if who is not None:
        usage = resource.getrusage(who)
        switches, faults = usage.ru_nvcsw, usage.ru_majflt
    return Reading(time.monotonic(), time.process_time(), waited_s, switches, faults)


def _cpus() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
