"""The sampler's rounds: read and emit what is due; a failure never ends a run."""

import dataclasses
import functools
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from grambench.events.disturbance import SLOWED
from grambench.events.types import Event, GpuAbsent, HostSample, ProcessSample, SamplerFinished, Warned
from grambench.runner.gpu import GpuSampler, ProcessMemory
from grambench.runner.host import HostSampler
from grambench.runner.pacing import PERIOD_S, REPEATED, REPEATED_CLOCK, Due, Growth, Pacing
from grambench.runner.phase_watch import PhaseWatch
from grambench.runner.thinning import Thinning

_MOST_WARNINGS = 32
_NEVER_LISTED = ProcessMemory(None, "NVML's process lists could not be read")


class Rounds:
    """Reads GPUs, host and workers, each at its own rate. Used by one thread.

    What fails is reported once per distinct cause as a `Warned` event and tried again in the next
    round. A machine without a GPU gets one `GpuAbsent`.
    """

    def __init__(
        self,
        emit: Callable[[Event], None],
        watched: Callable[[], dict[str, int]],
        gpu: GpuSampler,
        host: HostSampler,
        period_s: float = PERIOD_S,
        folder: Path | None = None,
    ) -> None:
        """
        Args:
            emit: takes each event.
            watched: the workers to sample now, trial -> pid.
            gpu: a closed sampler.
            host: what reads the machine and the processes.
            period_s: seconds between two calls of `tick`.
            folder: the run's; its logs say when a worker enters a phase.
        """
        self._emit, self._watched, self._gpu, self._host = emit, watched, gpu, host
        self._pacing, self._growth, self._phases = Pacing(period_s), Growth(), PhaseWatch(folder)
        self._thinning, self._period_s = Thinning(emit), period_s
        self._read_s: dict[int, float] = {}
        """Worker's pid -> monotonic seconds of its newest reading."""
        self._absent: GpuAbsent | None = None
        self._used: dict[str, int] = {}
        """GPU's UUID -> bytes in use at its last sample."""
        self._memory: dict[int, ProcessMemory] = {}
        """Worker's pid -> the GPU memory of its family when it was last listed."""
        self._foreign: dict[str, int] = {}
        """GPU's UUID -> other processes that compute on it, reported with its next sample."""
        self._disturbs: dict[tuple[str, str], bool] = {}
        """GPU's UUID and kind of disturbance -> whether it was there at the last reading."""
        self._count = 0
        self._warned: set[tuple[str, str]] = set()

    def open(self) -> None:
        """Find the GPUs."""
        self._attempt("gpu", self._open)

    def tick(self, now_s: float, edge: bool = False) -> None:
        """One round of samples.

        Args:
            now_s: monotonic seconds.
            edge: a turn or a worker has begun or ended since the last round.
        """
        watched = self._watched()
        phase = self._enters_a_phase(watched)
        if edge or phase:
            self._thinning.tell_all()
        self._read_gpus(now_s, watched, edge, phase)
        if self._count > 1:  # a share of the CPU's time needs an interval
            rounds = REPEATED if self._absent is None else REPEATED_CLOCK
            self._attempt("host", lambda: self._tell("", self._host.sample(), now_s, rounds))
        self._attempt("process", lambda: self._sample_processes(watched, now_s))

    def edge(self, now_s: float) -> None:
        """A turn or a worker begins or ends between two ticks: read the counter and the process lists now."""
        self._thinning.tell_all()
        self._read_gpus(now_s, self._watched(), edge=True, phase=False)

    def close(self, seconds: float) -> None:
        """Close NVML, and emit the cost of `seconds` of sampling to this thread."""
        cost = self._gpu.cost()
        finished = SamplerFinished(
            seconds=seconds,
            rounds=self._count,
            cpu_s=time.thread_time(),
            nvml_calls=cost.calls,
            nvml_s=cost.seconds,
            nvml_slowest=cost.slowest,
            nvml_slowest_s=cost.slowest_s,
        )
        self._gpu.close()
        self._attempt("gpu", lambda: self._emit(finished))

    # --- GPUs ----------------------------------------------------------------------------------

    def _open(self) -> None:
        self._absent = self._gpu.open()
        if self._absent is not None:
            self._emit(self._absent)

    def _read_gpus(self, now_s: float, watched: Mapping[str, int], edge: bool, phase: bool) -> None:
        due = self._pacing.due(now_s, edge or phase)
        closes = edge and self._count > 0  # before the first round there is nothing to close
        self._count += 1
        if self._absent is not None:
            return
        self._attempt("gpu", lambda: self._sample_gpus(due, closes))
        unlisted = any(pid not in self._memory for pid in watched.values())
        if due.processes or unlisted or self._growth.seen(self._used):
            self._growth.listed(self._used, edge or phase)
            self._attempt("process", lambda: self._list_processes(watched.values()))

    def _sample_gpus(self, due: Due, edge: bool) -> None:
        samples = self._gpu.sample(due.clocks, due.energy)
        used = {sample.uuid: sample.memory_used_bytes for sample in samples}
        self._used = {uuid: size for uuid, size in used.items() if size is not None}
        for sample in samples:
            foreign = self._foreign.pop(sample.uuid, None)
            if sample.throttle is not None:
                self._note(sample.uuid, "clocks", not SLOWED.isdisjoint(sample.throttle))
            if foreign is not None:
                self._note(sample.uuid, "processes", foreign > 0)
            self._emit(dataclasses.replace(sample, edge=edge, foreign_processes=foreign))

    def _note(self, uuid: str, what: str, disturbs: bool) -> None:
        """When a disturbance begins or ends, emit the next sample of every worker."""
        if self._disturbs.get((uuid, what), False) != disturbs:
            self._disturbs[uuid, what] = disturbs
            self._thinning.tell_all()

    def _enters_a_phase(self, trials: Iterable[str]) -> bool:
        try:
            return self._phases.changed(trials)
        except OSError:  # it cannot be read now; the counter and the lists come due anyway
            return False

    # --- processes -----------------------------------------------------------------------------

    def _list_processes(self, pids: Iterable[int]) -> None:
        """Read the process lists once, for all workers."""
        families = {pid: self._host.family(pid) for pid in pids}
        listed = self._gpu.process_memory({pid for family in families.values() for pid in family})
        self._memory = {pid: _together([listed[one] for one in family]) for pid, family in families.items()}
        ours = {pid for family in families.values() for pid in family}
        for uuid, pids in self._gpu.computing.items():
            if ours & pids:  # else the list may hold the pids of another namespace
                self._foreign[uuid] = len(pids - ours)

    def _sample_processes(self, watched: Mapping[str, int], now_s: float) -> None:
        for trial, pid in watched.items():
            self._attempt("process", functools.partial(self._sample_process, trial, pid, now_s))
        for pid in self._host.known() - set(watched.values()):
            self._host.forget(pid)
            self._read_s.pop(pid, None)

    def _sample_process(self, trial: str, pid: int, now_s: float) -> None:
        sample = self._with_gpu_memory(self._host.process_sample(trial, pid))
        if pid in self._read_s:
            sample = dataclasses.replace(sample, seconds=round(now_s - self._read_s[pid], 3))
        self._read_s[pid] = now_s
        if self._watched().get(trial) == pid:
            self._tell(trial, sample, now_s, REPEATED)

    def _tell(self, source: str, sample: HostSample | ProcessSample, now_s: float, rounds: int) -> None:
        self._thinning.emit(source, sample, now_s, (rounds - 0.5) * self._period_s)

    def _with_gpu_memory(self, sample: ProcessSample) -> ProcessSample:
        memory = self._memory.get(sample.pid, _NEVER_LISTED)
        if self._absent is not None:
            memory = ProcessMemory(None, self._absent.reason)
        sample = dataclasses.replace(sample, gpu_uuids=list(memory.gpus))
        if memory.used_bytes is None:
            return dataclasses.replace(sample, reasons=sample.reasons | {"gpu_memory_bytes": memory.reason})
        return dataclasses.replace(sample, gpu_memory_bytes=memory.used_bytes)

    # --- failures ------------------------------------------------------------------------------

    def _attempt(self, kind: str, action: Callable[[], None]) -> None:
        """Do it; report a failure once per distinct cause."""
        try:
            action()
        except Exception as error:  # whatever it is, training continues
            cause = (kind, f"{type(error).__name__}: {error}")
            if cause in self._warned or len(self._warned) >= _MOST_WARNINGS:
                return
            self._warned.add(cause)
            try:
                self._emit(Warned(f"{kind}-sampling-failed", f"{kind} sampling failed: {cause[1]}"))
            except Exception:  # the log itself cannot be written: the run will notice that itself
                self._warned.discard(cause)


def _together(family: list[ProcessMemory]) -> ProcessMemory:
    """NVML's memory of a worker and its descendants: the sum over those that it lists."""
    listed = [memory for memory in family if memory.listed]
    gpus = tuple(dict.fromkeys(uuid for memory in listed for uuid in memory.gpus))
    for memory in listed or family:
        if memory.used_bytes is None:  # a part of the sum is unknown, and so is the sum
            return memory._replace(gpus=gpus)
    return ProcessMemory(sum(memory.used_bytes or 0 for memory in listed), gpus=gpus)
