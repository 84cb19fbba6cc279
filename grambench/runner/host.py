"""psutil's readings of the machine and of worker processes."""

import contextlib
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from grambench.events.types import HostSample, ProcessSample
from grambench.runner.facts import host_facts
from grambench.runner.load import LoadReader

__all__ = ["HostSampler", "host_facts"]

_GONE = (psutil.NoSuchProcess, psutil.ZombieProcess)


class HostSampler:
    """Samples the host and process trees; CPU shares are those since the last sample. Not thread-safe."""

    def __init__(
        self,
        children_s: float = 2.0,
        clock: Callable[[], float] = time.monotonic,
        disk: Path | None = None,
    ) -> None:
        """
        Args:
            disk: a folder on the file system to watch.
            children_s: seconds between two look-ups of a process's children (a walk through all
                processes of the machine, the most expensive part of a sample).
            clock: monotonic seconds.
        """
        self._children_s = children_s
        self._clock, self._disk = clock, disk
        self._families: dict[int, list[psutil.Process]] = {}
        self._looked_s: dict[int, float] = {}
        self._load = LoadReader(clock)
        psutil.cpu_percent(interval=None)  # the first call has nothing to compare with

    def sample(self) -> HostSample:
        """Sample the whole machine; used memory is what is not available to a new process."""
        memory = psutil.virtual_memory()
        disk = None
        if self._disk is not None:
            with contextlib.suppress(OSError):
                disk = psutil.disk_usage(str(self._disk))
        load = self._load.host()
        return HostSample(
            cpu_percent=psutil.cpu_percent(interval=None),
            memory_used_bytes=memory.total - memory.available,
            memory_total_bytes=memory.total,
            disk_free_bytes=disk.free if disk else None,
            disk_total_bytes=disk.total if disk else None,
            cpus=load.cpus,
            busy_cpus=load.busy_cpus,
            pressure_percent=load.pressure_percent,
            throttled_percent=load.throttled_percent,
            swap_bytes_per_s=load.swap_bytes_per_s,
        )

    def process_sample(self, trial: str, pid: int) -> ProcessSample:
        """A worker and its descendants, without the GPU part; None and a reason once it has ended."""
        try:
            first = pid not in self._families
            rss_bytes, cpu_percent = self._measure(self._family(pid))
        except _GONE:
            self.forget(pid)
            return _missing(trial, pid, f"process {pid} has ended")
        except psutil.Error as error:
            self.forget(pid)
            return _missing(trial, pid, str(error))
        waiting, faults = self._load.waiting_percent(pid), self._load.major_faults_per_s(pid)
        if first:
            reasons = {"cpu_percent": "a share needs two samples"}
            return ProcessSample(trial, pid, rss_bytes=rss_bytes, reasons=reasons)
        return ProcessSample(
            trial,
            pid,
            rss_bytes=rss_bytes,
            cpu_percent=cpu_percent,
            waiting_percent=waiting,
            major_faults_per_s=faults,
        )

    def family(self, pid: int) -> list[int]:
        """The pid and its descendants as of the last `process_sample`."""
        return [process.pid for process in self._families.get(pid, [])] or [pid]

    def known(self) -> set[int]:
        """The pids that are tracked."""
        return set(self._families)

    def forget(self, pid: int) -> None:
        """Stop tracking a process."""
        self._families.pop(pid, None)
        self._looked_s.pop(pid, None)
        self._load.forget(pid)

    def _family(self, pid: int) -> list[psutil.Process]:
        """The root first. Process objects are kept: each remembers its CPU time between samples."""
        now_s = self._clock()
        known = self._families.get(pid)
        if known is None or not known[0].is_running():
            known = [psutil.Process(pid)]
            self._looked_s.pop(pid, None)
        if now_s - self._looked_s.get(pid, -self._children_s) >= self._children_s:
            old = {process: process for process in known[1:]}
            children = known[0].children(recursive=True)
            known = [known[0], *(old.get(child, child) for child in children)]
            self._looked_s[pid] = now_s
        self._families[pid] = known
        return known

    @staticmethod
    def _measure(family: list[psutil.Process]) -> tuple[int, float]:
        """Resident bytes and CPU percent, summed; children that have ended are left out.

        Raises:
            psutil.NoSuchProcess, psutil.ZombieProcess: the root has ended.
        """
        rss_bytes, cpu_percent = 0, 0.0
        for place, process in enumerate(family):
            try:
                with process.oneshot():
                    if process.status() == psutil.STATUS_ZOMBIE:  # its memory would read as 0
                        raise psutil.ZombieProcess(process.pid)
                    rss_bytes += process.memory_info().rss
                    cpu_percent += process.cpu_percent(interval=None)
            except _GONE:
                if place == 0:
                    raise
        return rss_bytes, cpu_percent


def _missing(trial: str, pid: int, reason: str) -> ProcessSample:
    return ProcessSample(trial, pid, reasons={"rss_bytes": reason, "cpu_percent": reason})


_GROUPS = Path("/sys/fs/cgroup")


def oom_kills(root: Path = _GROUPS) -> int | None:
    """Processes of our control group that the OOM killer has ended; None: the system does not say."""
    try:
        group = Path("/proc/self/cgroup").read_text().strip().rpartition(":")[2].lstrip("/")
        lines = (root / group / "memory.events").read_text().splitlines()
    except OSError:
        return None
    counts = dict(line.split() for line in lines)
    return int(counts.get("oom_kill", 0))
