"""Energy by trial: a GPU's power and its energy counter, credited to the trials that train on it.

Power is in every sample, the counter only at edges and at intervals. The energy counted between two readings
is divided among the trials in proportion to the power integrated during their turns.
"""

from collections.abc import Mapping

from grambench.events.state import GpuState, TrialState
from grambench.events.types import GpuSample

GAP_S = 5.0
"""GPU samples further apart are not joined: the GPU was not sampled in between."""


def credit_energy(
    event: GpuSample,
    gpu: GpuState,
    holder: TrialState | None,
    trials: Mapping[str, TrialState],
    elapsed_s: float,
) -> TrialState | None:
    """Credit the time since the previous sample, whose readings `gpu` still holds.

    Args:
        event: the new sample.
        gpu: its GPU; `sampled_s`, `credited`, `counted_j` and `uncounted` are updated.
        holder: the trial that has the turn on the GPU now, if any.
        trials: all trials by name.
        elapsed_s: seconds of the run.

    Returns:
        The trial to which that time belongs, if any.
    """
    since_s, gpu.sampled_s = elapsed_s - gpu.sampled_s, elapsed_s
    if since_s > GAP_S:
        stop_crediting(gpu, trials)
    name = holder.name if holder else ""
    earner = trials.get(gpu.credited) if event.edge or gpu.credited == name else None
    gpu.credited = name
    joules = _integrated(event.power_w, gpu.last.power_w, since_s)
    if earner is not None and joules is not None:
        earner.integrated_energy_j = (earner.integrated_energy_j or 0.0) + joules
    share = since_s if joules is None else joules  # a GPU that does not report its power: by time
    key = earner.name if earner else ""
    gpu.uncounted[key] = gpu.uncounted.get(key, 0.0) + share
    if event.energy_j is not None:
        _count(event.energy_j, gpu, holder, trials)
    elif earner is not None and joules is not None:
        _draw_by_power(earner, gpu)
    return earner


def stop_crediting(gpu: GpuState, trials: Mapping[str, TrialState]) -> None:
    """Credit the time from the last sample to the next one to no trial."""
    gpu.credited = ""
    _settle_by_power(gpu, trials)


def _settle_by_power(gpu: GpuState, trials: Mapping[str, TrialState]) -> None:
    """Credit the integrated power alone, for time that the counter's next reading does not cover."""
    if gpu.counted_j is not None and gpu.last.power_w is not None:
        for name, joules in gpu.uncounted.items():
            if name:
                _move(trials[name], gpu.counted_j, joules)
    gpu.counted_j = None
    gpu.uncounted.clear()


def _integrated(now_w: float | None, before_w: float | None, seconds: float) -> float | None:
    """Joules by the trapezoidal rule."""
    return None if now_w is None or before_w is None else seconds * (now_w + before_w) / 2


def _count(
    reading_j: float, gpu: GpuState, holder: TrialState | None, trials: Mapping[str, TrialState]
) -> None:
    """Divide the energy counted since the counter's last reading."""
    if gpu.counted_j is not None and reading_j < gpu.counted_j:  # a reloaded driver counts from 0
        _settle_by_power(gpu, trials)
    counted_j = 0.0 if gpu.counted_j is None else reading_j - gpu.counted_j
    total = sum(gpu.uncounted.values())
    even = 1 / max(1, len(gpu.uncounted))
    parts = {n: share / total if total else even for n, share in gpu.uncounted.items() if n}
    if holder is not None:
        parts.setdefault(holder.name, 0.0)
    for name, part in parts.items():
        _move(trials[name], reading_j, counted_j * part)
    gpu.counted_j = reading_j
    gpu.uncounted.clear()


def _move(trial: TrialState, reading_j: float, joules: float) -> None:
    """Advance the trial's counters to the reading; `joules` of the increase are its own."""
    if trial.energy_start_j is None or trial.energy_end_j is None:
        trial.energy_start_j = trial.energy_end_j = reading_j
    trial.energy_start_j += (reading_j - trial.energy_end_j) - joules
    trial.energy_end_j = reading_j
    _draw(trial, _counted(trial))


def _counted(trial: TrialState) -> float:
    if trial.energy_start_j is None or trial.energy_end_j is None:
        return 0.0
    return trial.energy_end_j - trial.energy_start_j


def _draw_by_power(trial: TrialState, gpu: GpuState) -> None:
    """A point between two readings of the counter, or of a GPU that has none."""
    if gpu.counted_j is not None:
        _draw(trial, _counted(trial) + gpu.uncounted[trial.name])
    elif trial.energy_end_j is None:
        _draw(trial, trial.integrated_energy_j or 0.0)


def _draw(trial: TrialState, joules: float) -> None:
    """Add a point to the energy curve, which never falls: power may have run ahead of the counter."""
    trial.energy_series.add(trial.train_s, max(joules, trial.energy_series.last or 0.0))
