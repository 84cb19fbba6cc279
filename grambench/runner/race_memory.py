"""Whether all trials of a race fit into memory at once, estimated from those already loaded."""

import psutil

from grambench.events.state import RunState, TrialState

_MARGIN = 1.2
"""Factor on the largest trial's memory when it is ready, since steps need more."""


def race_needs(state: RunState, running: list[str], pending: list[str]) -> str | None:
    """Why pending trials of the running block do not fit beside it; None: they do, or unknown."""
    there = [state.trials[name] for name in running if name in state.trials]  # the log may be damaged
    blocks = {(trial.seed, trial.repeat) for trial in there}
    waiting = [state.trials[name] for name in pending if name in state.trials]
    coming = sum((trial.seed, trial.repeat) in blocks for trial in waiting)
    host = _shortage(
        "the host", coming, [trial.peak_rss_bytes for trial in there], psutil.virtual_memory().available
    )
    return host or _shortage(
        "the GPU", coming, [trial.peak_gpu_memory_bytes for trial in there], _free_gpu_bytes(state, there)
    )


def _shortage(where: str, coming: int, held: list[int | None], free: int | None) -> str | None:
    largest = max((number for number in held if number is not None), default=None)
    if largest is None or free is None or coming * largest * _MARGIN <= free:
        return None
    return (
        f"a race of {coming} more trials needs about {coming * largest * _MARGIN / 2**30:.1f} GiB on {where},"
        f" but only {free / 2**30:.1f} GiB are free"
    )


def _free_gpu_bytes(state: RunState, there: list[TrialState]) -> int | None:
    for trial in there:
        gpu = state.gpu_of(trial)
        if gpu and gpu.last.memory_total_bytes is not None and gpu.last.memory_used_bytes is not None:
            return gpu.last.memory_total_bytes - gpu.last.memory_used_bytes
    return None
