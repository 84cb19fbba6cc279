"""What exporters write: points of series, from an event and the state that the fold has reached with it."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from grambench.analysis.comparison import reuse_ratio
from grambench.events import types as ev
from grambench.events.codec import Record
from grambench.events.state import RunState
from grambench.reports.schema import Report

RUN = "run"
"""The stream of what belongs to no trial: machine, GPUs, comparisons. No trial can have this name."""
FINAL = "final/"
"""Begins the series of the report's numbers."""
Values = Iterator[tuple[str, str, int, float | None]]
"""Stream, series, step and value; None: not measured."""


@dataclass(frozen=True, slots=True)
class Point:
    """A number at one step."""

    stream: str
    """A trial's name, or `RUN`."""
    series: str
    """For example `train/loss`; what stands before the slash is its group. No @, which MLflow refuses."""
    step: int
    """CF steps of the trial; for `RUN`, seconds of the run."""
    wall_s: float
    """When it was logged: seconds since 1970, UTC."""
    value: float
    """Finite."""


def points_of(source: str, record: Record, state: RunState) -> Iterator[Point]:
    """The points of a record of the log `source`, which `state` already includes."""
    values = _VALUES.get(type(record.event))
    if values is not None:
        yield from _finite(values(state, source, record.event), wall_seconds(record))


def final_points(report: Report, ends: int, wall_s: float) -> Iterator[Point]:
    """The numbers of a report, each trial's and the comparisons'.

    Args:
        report: of a run that has ended.
        ends: how often the run has ended, resumed runs included: the step of the points.
        wall_s: when it ended.
    """
    yield from _finite(_of_report(report, ends), wall_s)


def wall_seconds(record: Record) -> float:
    """When a record was written, in seconds since 1970; 0 where the label is not a time."""
    try:
        return datetime.fromisoformat(record.stamp.wall).timestamp()
    except ValueError:
        return 0.0


def _finite(values: Values, wall_s: float) -> Iterator[Point]:
    for stream, series, step, value in values:
        if value is not None and math.isfinite(value):
            yield Point(stream, series.replace("@", "_at_"), step, wall_s, float(value))


def _progress(state: RunState, source: str, event: ev.Progress) -> Values:
    trial = state.trials.get(source)
    if trial is None:
        return
    found = {
        "train/loss": event.loss,
        "train/samples_per_s": trial.rate,
        "train/seconds": event.train_s,
        "train/encoder_share": trial.encode_series.last,
        "train/encoder_lr": event.encoder_lr,
        "train/filter_lr": event.filter_lr,
        "train/reuse_ratio": reuse_ratio(trial),
        "memory/torch_allocated_bytes": event.memory_allocated_bytes,
    }
    yield from ((source, series, event.step, value) for series, value in found.items())


def _evaluated(_: RunState, source: str, event: ev.Evaluated) -> Values:
    for name, value in event.metrics.items():
        yield source, f"{event.part}/{name}", event.step, value
    yield source, f"{event.part}/train_seconds", event.step, event.train_s


def _window_closed(_: RunState, source: str, event: ev.WindowClosed) -> Values:
    for name in ("drift", "spread_drift", "pseudo_loss", "reuse_ratio", "steps"):
        yield source, f"window/{name}", event.step, getattr(event, name)


def _process_sample(state: RunState, _: str, event: ev.ProcessSample) -> Values:
    trial = state.trials.get(event.trial)
    if trial is not None and trial.progress is not None:
        yield event.trial, "memory/resident_bytes", trial.progress.step, event.rss_bytes
        yield event.trial, "memory/gpu_process_bytes", trial.progress.step, event.gpu_memory_bytes


def _gpu_sample(state: RunState, _: str, event: ev.GpuSample) -> Values:
    name = f"gpu{event.index}" + (f".{event.instance.replace('/', '-')}" if event.instance else "")
    for reading in ("power_w", "memory_used_bytes", "utilization_percent", "temperature_c"):
        yield RUN, f"{name}/{reading}", int(state.elapsed_s), getattr(event, reading)
    trial = state.trials.get(state.gpus[event.uuid].credited)
    if trial is not None and trial.progress is not None:
        yield trial.name, "gpu/power_w", trial.progress.step, event.power_w
        yield trial.name, "gpu/joules", trial.progress.step, trial.energy_series.last


def _host_sample(state: RunState, _: str, event: ev.HostSample) -> Values:
    for reading in ("cpu_percent", "memory_used_bytes", "busy_cpus"):
        yield RUN, f"host/{reading}", int(state.elapsed_s), getattr(event, reading)


_VALUES: dict[type[ev.Event], Callable[[RunState, str, Any], Values]] = {
    ev.Progress: _progress,
    ev.Evaluated: _evaluated,
    ev.WindowClosed: _window_closed,
    ev.ProcessSample: _process_sample,
    ev.GpuSample: _gpu_sample,
    ev.HostSample: _host_sample,
}


_OF_TRIAL = {
    *("best_validation", "test", "times", "memory", "energy", "disturbed", "load", "reuse_ratio"),
    *("speedups", "windows", "steps", "epochs_finished", "turns", "switch_s"),
}
_OF_COMPARISON = {"cost", "quality", "time_to_target"}
"""Sections of the report whose numbers are exported."""


def _of_report(report: Report, ends: int) -> Values:
    for trial in report.trials:
        for key, value in _numbers(trial.model_dump(include=_OF_TRIAL)):
            yield trial.name, f"{FINAL}{key}", ends, value
    for each in report.comparisons:
        for key, value in _numbers(each.model_dump(include=_OF_COMPARISON)):
            yield RUN, f"{FINAL}{each.candidate}/{key}", ends, value


def _numbers(section: Any, before: str = "") -> Iterator[tuple[str, float]]:
    """Numbers of nested tables by their dotted keys; lists (the series) have points of their own."""
    for key, value in section.items():
        if isinstance(value, dict):
            yield from _numbers(value, f"{before}{key}.")
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            yield f"{before}{key}", value
