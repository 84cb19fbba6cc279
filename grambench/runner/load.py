"""How busy other processes keep the machine, by Linux's counters; None where a counter is missing."""

import contextlib
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil

from grambench.runner.groups import quota_files

_PRESSURE = Path("/proc/pressure/cpu")
_MOST_THREADS = 256
"""Maximum number of threads of a process that are read, in the order of their start."""


@dataclass(frozen=True, slots=True)
class HostLoad:
    """The machine since the previous reading; see `HostSample`."""

    cpus: int | None = None
    busy_cpus: float | None = None
    pressure_percent: float | None = None
    throttled_percent: float | None = None
    swap_bytes_per_s: float | None = None


class Rates:
    """Growth of counters per second, between two readings of each. Not thread-safe."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock`: monotonic seconds."""
        self._clock = clock
        self._before: dict[str, tuple[float, float]] = {}

    def per_s(self, name: str, count: float | None) -> float | None:
        """None at the first reading, without a reading, and after a counter has gone backwards."""
        now_s, before = self._clock(), self._before.pop(name, None)
        if count is None:
            return None
        self._before[name] = now_s, count
        if before is None or now_s <= before[0] or count < before[1]:
            return None
        return (count - before[1]) / (now_s - before[0])


class LoadReader:
    """Reads counters of the kernel. Not thread-safe."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, proc: Path = Path("/proc")) -> None:
        """`clock`: monotonic seconds; `proc`: the proc file system."""
        self._clock, self._proc = clock, proc
        self._rates = Rates(clock)
        self._cpus = _usable_cpus()
        self._quotas = quota_files()
        self._waited: dict[int, tuple[float, dict[str, int]]] = {}
        """pid -> time of the reading, and its threads' nanoseconds on run queues."""
        psutil.cpu_percent(interval=None, percpu=True)  # the first call has nothing to compare with

    def host(self) -> HostLoad:
        """The whole machine, limited to the CPUs that this process may use."""
        busy = psutil.cpu_percent(interval=None, percpu=True)
        usable = [busy[cpu] for cpu in self._cpus if cpu < len(busy)]
        pressure = self._rates.per_s("pressure", _pressure_us())
        throttled = self._rates.per_s("quota", _sum_of(self._quotas))
        return HostLoad(
            cpus=len(usable) or None,
            busy_cpus=sum(usable) / 100 if usable else None,
            pressure_percent=None if pressure is None else min(100.0, pressure / 1e4),
            throttled_percent=None if throttled is None else throttled * 100,
            swap_bytes_per_s=self._rates.per_s("swap", _swapped_bytes()),
        )

    def waiting_percent(self, pid: int) -> float | None:
        """Share of the time since the last call for which the longest-waiting thread had no CPU."""
        threads = self._waits_of(pid)
        now_s, before = self._clock(), self._waited.pop(pid, None)
        if threads is None:
            return None
        self._waited[pid] = now_s, threads
        if before is None or now_s <= before[0]:
            return None
        grown = [wait - before[1].get(thread, wait) for thread, wait in threads.items()]
        return min(100.0, max(0, *grown) / 1e7 / (now_s - before[0]))

    def major_faults_per_s(self, pid: int) -> float | None:
        """Pages that the process has read from disk, per second."""
        faults: float | None = None
        with contextlib.suppress(OSError, ValueError, IndexError):
            after_name = (self._proc / str(pid) / "stat").read_text().rpartition(")")[2].split()
            faults = float(after_name[9])
        return self._rates.per_s(f"faults {pid}", faults)

    def forget(self, pid: int) -> None:
        """Stop tracking a process."""
        self._waited.pop(pid, None)
        self._rates.per_s(f"faults {pid}", None)

    def _waits_of(self, pid: int) -> dict[str, int] | None:
        found = {}
        try:
            threads = sorted((self._proc / str(pid) / "task").iterdir())[:_MOST_THREADS]
        except OSError:
            return None
        for thread in threads:
            with contextlib.suppress(OSError, ValueError, IndexError):  # it has just ended
                found[thread.name] = int((thread / "schedstat").read_bytes().split()[1])
        return found or None


def _usable_cpus() -> list[int]:
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 0))


def _pressure_us() -> float | None:
    """Microseconds in which some task waited for a CPU."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        return float(_PRESSURE.read_text().splitlines()[0].rpartition("total=")[2])
    return None


def _swapped_bytes() -> float | None:
    with contextlib.suppress(OSError, RuntimeError, AttributeError):
        swap = psutil.swap_memory()
        return float(swap.sin + swap.sout)
    return None


def _sum_of(files: list[tuple[Path, str, float]]) -> float | None:
    """Seconds throttled by a CPU quota, summed over the files; None: there is no quota."""
    found = []
    for path, field, unit_s in files:
        with contextlib.suppress(OSError, ValueError, KeyError):
            lines = dict(line.split(maxsplit=1) for line in path.read_text().splitlines())
            found.append(float(lines[field]) * unit_s)
    return sum(found) if found else None
