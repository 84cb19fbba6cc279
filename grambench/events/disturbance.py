"""What disturbed a trial while it trained: other processes, a CPU quota, a hot or shared GPU, swapping.

Each sample of a training worker is compared with what the machine did in the same half second; samples
omitted from the log were like the one before them. Thresholds:

- CPU: a thread of the worker was runnable without a CPU for 10 % of the time, and others used at least a
  quarter of a CPU (below that it waits for its own threads). On a CPU device also: others used a quarter of
  all CPUs, since hyper-threads, caches and memory are shared. Where waiting is not counted, the machine's own
  count of waiting tasks stands in; logs before it was sampled: every CPU at least 90 % busy, and the worker
  with less than 70 % of its threads.
- Quota: the control group had used up its quota for 10 % of the time.
- GPU: another process computes on it; or its clocks are held down by heat, a hardware slowdown or a power
  brake. A power cap or fixed clocks belong to the machine and are not a disturbance.
- Swap: 1 MiB/s to and from swap while the worker read 10 pages a second from disk.

A trial is marked when one type of disturbance lasted 2 s and 5 % of its sampled training: a short hiccup
does not change a comparison.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from grambench.events.load import CPU_READINGS, weigh
from grambench.events.state import GpuState, HostState, TrialState
from grambench.events.types import ProcessSample

GAP_S = 5.0
"""Samples further apart are not joined."""
LEAST_S, LEAST_SHARE = 2.0, 0.05
FOREIGN_CPUS, _FOREIGN_SHARE = 0.25, 0.25
_FULL_PERCENT, _THREADS_SHARE = 90.0, 0.7
THRESHOLDS = {
    "waiting_percent": 10.0,
    "pressure_percent": 10.0,
    "throttled_percent": 10.0,
    "swap_bytes_per_s": float(1 << 20),
    "major_faults_per_s": 10.0,
}
"""Field of a sample -> threshold from which it is, or contributes to, a disturbance."""
SLOWED = {"hardware slowdown", "heat", "heat (hardware)", "power brake"}
"""Reasons for low clocks that are a disturbance."""

Code = Literal["busy-cpu", "cpu-quota", "shared-gpu", "slowed-gpu", "swapping"]
_DESCRIPTIONS: dict[Code, tuple[str, str]] = {
    "busy-cpu": ("CPU busy", "other processes kept the CPUs busy"),
    "cpu-quota": ("CPU quota", "the CPU quota of its container or job was used up"),
    "shared-gpu": ("GPU shared", "another process held the GPU"),
    "slowed-gpu": ("GPU slowed", "heat or a shortage of power held the GPU's clocks down"),
    "swapping": ("swapping", "the machine was swapping"),
}


@dataclass(frozen=True, slots=True)
class Disturbance:
    """A reason to distrust a trial's times."""

    code: str
    """Stable short name, for example `busy-cpu`."""
    label: str
    """For a card: at most 16 cells."""
    message: str
    """One sentence without a full stop."""


def credit_disturbance(
    event: ProcessSample,
    trial: TrialState,
    trials: Mapping[str, TrialState],
    host: HostState,
    gpu: GpuState | None,
    holds_turn: bool,
    elapsed_s: float,
) -> None:
    """Count the time since the worker's previous sample as quiet or disturbed training.

    Args:
        event: the new sample of the trial's worker.
        trial: `sampled_s`, `cpu_percent`, `watched_s`, `load`, `disturbed_s` and the like are updated.
        trials: all trials by name, with their workers' newest share of the CPUs.
        host: the machine as sampled just before.
        gpu: the GPU that the trial trains on; None: a CPU, or not sampled.
        holds_turn: it may train now.
        elapsed_s: seconds of the run.
    """
    since_s, trial.sampled_s = elapsed_s - trial.sampled_s, elapsed_s
    own_s = since_s if event.seconds is None else min(since_s, event.seconds)
    trains = holds_turn and trial.phase == "train" and trial.progress is not None
    counts, trial.was_training = trial.was_training and since_s <= GAP_S, trains
    if counts:  # omitted samples were like the one before
        _count(trial, since_s - own_s, host)
    trial.cpu_percent = event.cpu_percent
    if trains:
        trial.foreign_cpus = foreign_cpus(host, trials)
        trial.disturbed_by = sorted(_codes(event, trial, host, gpu, trial.foreign_cpus))
        trial.round_rows.disturbed |= bool(trial.disturbed_by)
    if counts and trains:
        _count(trial, own_s, host)


def _count(trial: TrialState, seconds: float, host: HostState) -> None:
    """Count seconds of training as disturbed by the latest disturbances."""
    if seconds <= 0:
        return
    trial.watched_s += seconds
    weigh(trial.load, {name: getattr(trial, name) for name in CPU_READINGS}, seconds)
    for kind in trial.disturbed_by:
        trial.disturbed_s[kind] = trial.disturbed_s.get(kind, 0.0) + seconds
    trial.disturbed_any_s += seconds if trial.disturbed_by else 0.0
    if "busy-cpu" in trial.disturbed_by and trial.foreign_cpus is not None:
        trial.foreign_cpu_s += trial.foreign_cpus * seconds
        trial.foreign_of_cpus = host.cpus


def foreign_cpus(host: HostState, trials: Mapping[str, TrialState]) -> float | None:
    """CPUs kept busy by processes other than the run's workers; None: an older log."""
    if host.busy_cpus is None:
        return None
    workers_percent = sum(trial.cpu_percent or 0.0 for trial in trials.values() if not trial.ended)
    return max(0.0, host.busy_cpus - workers_percent / 100)


def disturbances(trial: TrialState) -> list[Disturbance]:
    """The disturbances worth a warning, longest first."""
    disturbing = []
    if trial.stops:
        disturbing.append(Disturbance("stopped", f"stopped {trial.stopped_s:,.0f} s", _stopped(trial)))
    for code, seconds in sorted(trial.disturbed_s.items(), key=lambda item: -item[1]):
        share = disturbed_share(trial, seconds)
        if seconds >= LEAST_S and share >= LEAST_SHARE and code in _DESCRIPTIONS:
            label, cause = _DESCRIPTIONS[code]
            message = f"{cause} during {share:.0%} of its training ({seconds:,.0f} s)"
            if code == "busy-cpu" and trial.foreign_of_cpus:
                mean = trial.foreign_cpu_s / seconds
                message += f": they used {mean:.1f} of {trial.foreign_of_cpus} on average"
            disturbing.append(Disturbance(code, f"{label} {share:.0%}", message))
    return disturbing


def disturbed_share(trial: TrialState, seconds: float) -> float:
    """Share of its sampled training seconds, 0 to 1."""
    return min(1.0, seconds / trial.watched_s) if trial.watched_s else 0.0


def _stopped(trial: TrialState) -> str:
    several = trial.stops > 1
    times = (
        f"{trial.stops} times, {trial.stopped_s:,.1f} s in all"
        if several
        else f"for {trial.stopped_s:,.1f} s"
    )
    left_out = f"{trial.stopped_training_s:,.1f} s of it are excluded from its training time"
    part = left_out if trial.stopped_training_s else "its training time is not affected"
    return f"its process was stopped {times} (SIGSTOP, or a frozen container or job); {part}"


def _codes(
    event: ProcessSample, trial: TrialState, host: HostState, gpu: GpuState | None, foreign: float | None
) -> set[Code]:
    codes: set[Code] = set()
    if _cpu_is_busy(event, trial, host, foreign):
        codes.add("busy-cpu")
    if (host.throttled_percent or 0.0) >= THRESHOLDS["throttled_percent"]:
        codes.add("cpu-quota")
    swaps = (host.swap_bytes_per_s or 0.0) >= THRESHOLDS["swap_bytes_per_s"]
    if swaps and (event.major_faults_per_s or 0.0) >= THRESHOLDS["major_faults_per_s"]:
        codes.add("swapping")
    if gpu is not None and gpu.last.foreign_processes:
        codes.add("shared-gpu")
    if gpu is not None and SLOWED & set(gpu.last.throttle or ()):
        codes.add("slowed-gpu")
    return codes


def _cpu_is_busy(event: ProcessSample, trial: TrialState, host: HostState, foreign: float | None) -> bool:
    started = trial.started
    on_cpu = started is not None and started.gpu_uuid is None
    if foreign is None or not host.cpus:
        if started is None or not on_cpu or event.cpu_percent is None:
            return False
        full = (host.cpu_percent or 0.0) >= _FULL_PERCENT
        return full and event.cpu_percent < 100 * started.threads * _THREADS_SHARE
    if on_cpu and foreign >= _FOREIGN_SHARE * host.cpus:
        return True
    waiting, least = event.waiting_percent, THRESHOLDS["waiting_percent"]
    if waiting is None:
        waiting, least = host.pressure_percent or 0.0, THRESHOLDS["pressure_percent"]
    return foreign >= FOREIGN_CPUS and waiting >= least
