"""The thread that samples GPUs, host and workers while a run lasts."""

import threading
import time
from collections.abc import Callable
from pathlib import Path

from grambench.events.types import Event
from grambench.runner.gpu import GpuSampler
from grambench.runner.host import HostSampler
from grambench.runner.pacing import PERIOD_S
from grambench.runner.rounds import Rounds

_JOIN_S = 10.0
_SETTLE_S = 2.0


class SamplerThread(threading.Thread):
    """Emits GpuSample, HostSample and ProcessSample events every `period_s`, without drift.

    An edge is sampled at once: a turn or a worker that begins or ends. Sampling never ends a run
    (`rounds.py`). When stopped, it emits a `SamplerFinished` with its cost.
    """

    def __init__(
        self,
        emit: Callable[[Event], None],
        period_s: float = PERIOD_S,
        gpu: GpuSampler | None = None,
        host: HostSampler | None = None,
        folder: Path | None = None,
    ) -> None:
        """
        Args:
            emit: takes each event; called from this thread only.
            period_s: seconds between two samples; a tick that comes too late is skipped.
            gpu: a closed sampler; opened and closed by the thread.
            host: what reads the machine and the processes.
            folder: the run's; its logs say when a worker enters a phase.
        """
        super().__init__(name="grambench-sampler", daemon=True)
        self._period_s = period_s
        self._rounds = Rounds(
            emit, self._now_watched, gpu or GpuSampler(), host or HostSampler(), period_s, folder
        )
        self._watched: dict[str, int] = {}
        self._lock = threading.Lock()
        self._edge = False
        self._wake = threading.Event()
        self._ending = threading.Event()
        self._progress = threading.Condition()
        self._begun = self._done = 0
        """Ticks."""

    def watch(self, trial: str, pid: int) -> None:
        """Sample a worker from now on; a second pid for a trial replaces the first."""
        with self._lock:
            self._watched[trial] = pid
        self.edge()

    def unwatch(self, trial: str) -> None:
        """Stop sampling a worker; harmless for an unknown one."""
        with self._lock:
            self._watched.pop(trial, None)
        self.edge()

    def edge(self) -> None:
        """A turn begins or ends: read the energy counter and the process lists now. Does not wait."""
        with self._lock:
            self._edge = True
        self._wake.set()

    def settle(self, timeout_s: float = _SETTLE_S) -> None:
        """Wait until a tick that begins after this call has emitted its samples, or `timeout_s` is over."""
        with self._progress:
            goal = self._begun + 1
            if self.is_alive():
                self._progress.wait_for(lambda: self._done >= goal, timeout_s)

    def stop(self) -> None:
        """Finish the current sample, then end; harmless when the thread never ran."""
        self._ending.set()
        self._wake.set()
        if self.is_alive():
            self.join(_JOIN_S)

    def run(self) -> None:
        """The thread's body; use `start`."""
        self._rounds.open()
        start_s, tick = time.monotonic(), 0
        while not self._ending.is_set():
            self._tick()
            tick = max(tick + 1, int((time.monotonic() - start_s) / self._period_s))
            self._wait(start_s + tick * self._period_s)
        self._rounds.close(time.monotonic() - start_s)

    def _tick(self) -> None:
        with self._progress:
            self._begun += 1
        self._rounds.tick(time.monotonic(), self._take_edge())
        with self._progress:
            self._done = self._begun
            self._progress.notify_all()

    def _wait(self, until_s: float) -> None:
        """Wait for the next tick or the end; edges in between are sampled as they come."""
        while self._wake.wait(max(0.0, until_s - time.monotonic())):
            self._wake.clear()
            if self._take_edge():
                self._rounds.edge(time.monotonic())
            if self._ending.is_set():
                return

    def _take_edge(self) -> bool:
        with self._lock:
            edge, self._edge = self._edge, False
        return edge

    def _now_watched(self) -> dict[str, int]:
        with self._lock:
            return dict(self._watched)
