"""Events of the supervisor's sampler: GPUs, worker processes and the host."""

from dataclasses import dataclass, field
from typing import ClassVar

from grambench.events.types.base import Event


@dataclass(frozen=True, slots=True)
class GpuSample(Event):
    """NVML's reading of one GPU. Clocks and the energy counter are not read each time: then they are None
    without a reason, and the previous reading remains valid."""

    type: ClassVar[str] = "gpu_sample"
    uuid: str
    index: int
    name: str
    memory_used_bytes: int | None = None
    memory_total_bytes: int | None = None
    utilization_percent: float | None = None
    power_w: float | None = None
    temperature_c: float | None = None
    energy_j: float | None = None
    """Total energy counter since the driver was loaded."""
    sm_clock_mhz: int | None = None
    """Clock of the streaming multiprocessors."""
    memory_clock_mhz: int | None = None
    throttle: list[str] | None = None
    """Why the clocks are lower than they could be; empty: they are not."""
    reasons: dict[str, str] = field(default_factory=dict)
    """Field name -> why it could not be read."""
    parent_uuid: str = ""
    """Of a MIG slice: its GPU, to which power, energy, temperature and clocks belong; empty: a whole GPU."""
    instance: str = ""
    """Of a MIG slice: `<GPU instance>/<compute instance>`."""
    slices: int | None = None
    """MIG is on, and NVML lists so many slices, each with samples of its own; None: off, or a slice."""
    edge: bool = False
    """Read because a turn or a worker began or ended: the time since the previous sample still belongs to
    the trial that had the turn then."""
    foreign_processes: int | None = None
    """Other processes that compute on the GPU; None: not listed this time, or not distinguishable."""


@dataclass(frozen=True, slots=True)
class GpuAbsent(Event):
    """No GPU can be watched; not an error on a machine without a driver."""

    type: ClassVar[str] = "gpu_absent"
    reason: str


@dataclass(frozen=True, slots=True)
class ProcessSample(Event):
    """psutil's and NVML's reading of one worker and its children."""

    type: ClassVar[str] = "process_sample"
    trial: str
    pid: int
    rss_bytes: int | None = None
    cpu_percent: float | None = None
    """100 is one core."""
    gpu_memory_bytes: int | None = None
    """NVML's memory of this process over all GPUs, as last listed: at most a few seconds ago."""
    reasons: dict[str, str] = field(default_factory=dict)
    waiting_percent: float | None = None
    """Share of the time since the last sample for which the longest-waiting thread was runnable without a
    CPU; 100: all the time."""
    major_faults_per_s: float | None = None
    """Pages that had to be read from disk."""
    gpu_uuids: list[str] = field(default_factory=list)
    """GPUs and MIG slices that list it or its children."""
    seconds: float | None = None
    """Time since the previous reading, which the log omits if it was like the last one logged; None: the
    first reading, or an older log, which omits none."""


@dataclass(frozen=True, slots=True)
class HostSample(Event):
    """psutil's reading of the whole machine; unchanged readings are omitted for a few seconds."""

    type: ClassVar[str] = "host_sample"
    cpu_percent: float
    """100 is every core busy."""
    memory_used_bytes: int
    memory_total_bytes: int
    disk_free_bytes: int | None = None
    """Of the file system that holds the run."""
    disk_total_bytes: int | None = None
    cpus: int | None = None
    """CPUs on which the run may compute."""
    busy_cpus: float | None = None
    """How many of these were busy since the last sample, the run's own work included."""
    pressure_percent: float | None = None
    """Time since the last sample in which some task of the machine waited for a CPU (Linux' PSI)."""
    throttled_percent: float | None = None
    """Time since the last sample for which the control group had used up its CPU quota; summed over CPUs."""
    swap_bytes_per_s: float | None = None
    """Read from swap and written to it."""


@dataclass(frozen=True, slots=True)
class SamplerFinished(Event):
    """The sampling of one supervisor has ended; its cost."""

    type: ClassVar[str] = "sampler_finished"
    seconds: float = 0.0
    """How long it sampled."""
    rounds: int = 0
    cpu_s: float = 0.0
    """CPU time of its thread: NVML, psutil and writing the samples."""
    nvml_calls: int = 0
    """Calls after NVML was opened, failed ones included."""
    nvml_s: float = 0.0
    """Wall time inside these calls."""
    nvml_slowest: str = ""
    """Name of the slowest call; empty: there was none."""
    nvml_slowest_s: float = 0.0
