"""How hard a trial's training worked the machine: means over its samples, weighted by time."""

from collections.abc import Mapping
from dataclasses import dataclass

GPU_READINGS = ("utilization_percent", "power_w", "sm_clock_mhz")
"""Fields of a `GpuSample` that are averaged over training."""
CPU_READINGS = ("cpu_percent", "foreign_cpus")
"""Fields of a trial's state, of its worker's newest sample, likewise."""


@dataclass(slots=True)
class Weighed:
    """A reading over the time for which it was known."""

    seconds: float = 0.0
    total: float = 0.0
    """The reading integrated over these seconds."""

    @property
    def mean(self) -> float:
        """In the reading's unit."""
        return self.total / self.seconds


def weigh(load: dict[str, Weighed], readings: Mapping[str, float | None], seconds: float) -> None:
    """Take readings that stood for so many seconds of training, above 0; what was not read is left out."""
    for name, value in readings.items():
        if value is not None:
            weighed = load.setdefault(name, Weighed())
            weighed.seconds += seconds
            weighed.total += value * seconds
