"""The thread that samples GPUs, host and workers while a run lasts."""

import dataclasses
import functools
import threading
import time
from collections.abc import Callable

from grambench.events.types import Event, GpuAbsent, ProcessSample, Warned
from grambench.runner.gpu import GpuSampler
from grambench.runner.host import HostSampler

PERIOD_S = 0.5
_JOIN_S = 10.0
_MOST_WARNINGS = 32


class SamplerThread(threading.Thread):
    """Emits GpuSample, HostSample and ProcessSample events, each at `period_s` without drift.

    What fails is reported once per distinct cause as a `Warned` event and tried again at the next
    tick: sampling never ends a run. A machine without a GPU gets one `GpuAbsent`.
    """

    def __init__(
        self,
        emit: Callable[[Event], None],
        period_s: float = PERIOD_S,
        gpu: GpuSampler | None = None,
        host: HostSampler | None = None,
    ) -> None:
        """
        Args:
            emit: takes each event; called from this thread only.
            period_s: seconds between two samples; a tick that comes too late is skipped.
            gpu: a closed sampler; opened and closed by the thread.
            host: what reads the machine and the processes.
        """
        super().__init__(name="grambench-sampler", daemon=True)
        self._emit = emit
        self._period_s = period_s
        self._gpu = gpu or GpuSampler()
        self._host = host or HostSampler()
        self._absent: GpuAbsent | None = None
        self._watched: dict[str, int] = {}
        self._lock = threading.Lock()
        self._ending = threading.Event()
        self._warned: set[tuple[str, str]] = set()

    def watch(self, trial: str, pid: int) -> None:
        """Sample a worker from the next tick on; a second pid for a trial replaces the first."""
        with self._lock:
            self._watched[trial] = pid

    def unwatch(self, trial: str) -> None:
        """Stop sampling a worker; harmless for an unknown one."""
        with self._lock:
            self._watched.pop(trial, None)

    def stop(self) -> None:
        """End after the sample under way and wait for that; harmless when the thread never ran."""
        self._ending.set()
        if self.is_alive():
            self.join(_JOIN_S)

    def run(self) -> None:
        """The thread's body; use `start`."""
        self._attempt("gpu", self._open)
        start_s, tick = time.monotonic(), 0
        while not self._ending.is_set():
            self._attempt("gpu", self._sample_gpus)
            if tick:  # a share of the CPU's time needs some time to have passed
                self._attempt("host", lambda: self._emit(self._host.sample()))
            self._attempt("process", self._sample_processes)
            tick = max(tick + 1, int((time.monotonic() - start_s) / self._period_s))
            self._ending.wait(max(0.0, start_s + tick * self._period_s - time.monotonic()))
        self._gpu.close()

    def _open(self) -> None:
        self._absent = self._gpu.open()
        if self._absent is not None:
            self._emit(self._absent)

    def _sample_gpus(self) -> None:
        if self._absent is None:
            for sample in self._gpu.sample():
                self._emit(sample)

    def _sample_processes(self) -> None:
        with self._lock:
            watched = dict(self._watched)
        for trial, pid in watched.items():
            self._attempt("process", functools.partial(self._sample_process, trial, pid))
        for pid in self._host.known() - set(watched.values()):
            self._host.forget(pid)

    def _sample_process(self, trial: str, pid: int) -> None:
        sample = self._host.process_sample(trial, pid)
        with self._lock:
            unwatched = self._watched.get(trial) != pid
        if not unwatched:
            self._emit(self._with_gpu_memory(sample))

    def _with_gpu_memory(self, sample: ProcessSample) -> ProcessSample:
        """Add NVML's memory of the worker and its descendants: the sum over those it lists."""
        if self._absent is not None:
            return _without_gpu_memory(sample, self._absent.reason)
        family = self._gpu.process_memory(self._host.family(sample.pid))
        listed = [memory for memory in family.values() if memory.listed]
        for memory in listed or family.values():
            if memory.used_bytes is None:  # a part of the sum is unknown, and so is the sum
                return _without_gpu_memory(sample, memory.reason)
        return dataclasses.replace(sample, gpu_memory_bytes=sum(m.used_bytes or 0 for m in listed))

    def _attempt(self, kind: str, action: Callable[[], None]) -> None:
        """Do it; report a failure once per distinct cause."""
        try:
            action()
        except Exception as error:  # whatever it is, training goes on
            cause = (kind, f"{type(error).__name__}: {error}")
            if cause in self._warned or len(self._warned) >= _MOST_WARNINGS:
                return
            self._warned.add(cause)
            try:
                self._emit(Warned(f"{kind}-sampling-failed", f"{kind} sampling failed: {cause[1]}"))
            except Exception:  # the log itself cannot be written: the run will meet that on its own
                self._warned.discard(cause)


def _without_gpu_memory(sample: ProcessSample, reason: str) -> ProcessSample:
    return dataclasses.replace(sample, reasons=sample.reasons | {"gpu_memory_bytes": reason})
