"""When each reading is due. NVML holds the driver's lock, and memory allocations wait for it."""

from collections.abc import Mapping
from typing import NamedTuple

PERIOD_S = 0.5
"""Memory, utilisation, power and temperature of the GPUs, the host, and the processes by psutil."""
CLOCKS_S = 1.0
"""Clocks and throttle reasons."""
PROCESSES_S = 5.0
"""The process lists, once for all workers."""
ENERGY_S = 15.0
"""The energy counter, the slowest call; power is integrated in between."""
REPEATED, REPEATED_CLOCK = 6, 2
"""Rounds after which a worker or the host gets a line even if its sample says nothing new; the second is the
host's where no GPU is sampled, since the run's clock is that of the newest line."""
GROWTH_BYTES = 256 << 20


class Due(NamedTuple):
    """What has to be read now, in addition to what every round reads."""

    clocks: bool
    energy: bool
    processes: bool


class Pacing:
    """Decides from the time alone; an edge makes the counter and the process lists due at once."""

    def __init__(self, period_s: float = PERIOD_S) -> None:
        """`period_s`: seconds between two rounds; a reading may be half of that early."""
        self._early_s = period_s / 2
        self._last_s: dict[str, float] = {}

    def due(self, now_s: float, edge: bool = False) -> Due:
        """What is due at `now_s`; it then counts as read.

        Args:
            now_s: monotonic seconds.
            edge: a turn, a phase or a worker begins or ends.
        """
        return Due(
            clocks=self._is_due("clocks", CLOCKS_S, now_s),
            energy=self._is_due("energy", ENERGY_S, now_s, edge),
            processes=self._is_due("processes", PROCESSES_S, now_s, edge),
        )

    def _is_due(self, reading: str, every_s: float, now_s: float, edge: bool = False) -> bool:
        last_s = self._last_s.get(reading)
        due = edge or last_s is None or now_s - last_s >= every_s - self._early_s
        if due:
            self._last_s[reading] = now_s
        return due


class Growth:
    """Notices that a GPU holds more than at any reading of the process lists since the last edge.

    Memory that grows calls for a reading before its turn: a worker's peak would be missed otherwise.
    """

    def __init__(self, by_bytes: int = GROWTH_BYTES) -> None:
        """`by_bytes`: growth that is worth a reading."""
        self._by_bytes = by_bytes
        self._highest: dict[str, int] = {}

    def seen(self, used: Mapping[str, int]) -> bool:
        """True when a GPU (UUID -> bytes in use) has grown by `by_bytes` or more."""
        return any(size - self._highest.get(uuid, 0) >= self._by_bytes for uuid, size in used.items())

    def listed(self, used: Mapping[str, int], edge: bool) -> None:
        """Record that the process lists are read now; at an edge, earlier peaks are forgotten."""
        before = {} if edge else self._highest
        self._highest = {uuid: max(size, before.get(uuid, 0)) for uuid, size in used.items()}
