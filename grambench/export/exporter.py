"""Writes a run's points to a tracker, each once, however often the export is begun."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from grambench.events import types as ev
from grambench.events.codec import Record
from grambench.events.state import RunState
from grambench.export.points import RUN, Point, final_points, points_of, wall_seconds
from grambench.reports.build import build_report
from grambench.reports.runfile import RunFile, read_run_file

Steps = dict[str, int]
"""Series -> its last step."""


class Writer(Protocol):
    """One tracker's form. A stream is a trial, or the run itself."""

    def open(self, stream: str, settings: Mapping[str, str]) -> Steps:
        """Begin a stream, or continue it; the steps that the destination already has."""

    def write(self, point: Point) -> None:
        """Add a point to an open stream; its series' steps increase."""

    def flush(self) -> None:
        """Make what was written readable."""

    def close(self, outcomes: Mapping[str, str | None]) -> None:
        """The end of every stream; `outcomes`: stream -> how its trial ended, None: it has not."""


class Exporter:
    """A sink that writes points.

    In each series steps increase. So what the destination already has is not written again, whether by an
    earlier export or before the run was resumed: steps that a resumed trial repeats keep their first values.
    """

    period_s = 2.0

    def __init__(self, folder: Path, writer: Writer) -> None:
        """
        Raises:
            DataError: `folder` is not a run folder.
        """
        self._folder, self._writer, self._run = folder, writer, read_run_file(folder)
        self._steps: dict[str, Steps] = {}
        self._ends, self._wall_s = 0, 0.0

    def take(self, source: str, record: Record, state: RunState) -> None:
        """See `Sink`."""
        if isinstance(record.event, ev.RunFinished):
            self._ends, self._wall_s = self._ends + 1, wall_seconds(record)
        for point in points_of(source, record, state):
            self._write(point, state)

    def flush(self, _: RunState) -> str:
        """See `Sink`."""
        self._writer.flush()
        return ""

    def close(self, state: RunState) -> str:
        """See `Sink`; the numbers of the report are written if the run has finished."""
        if state.finished:
            for point in final_points(build_report(self._folder), self._ends, self._wall_s):
                self._write(point, state)
        outcomes = {name: trial.outcome for name, trial in state.trials.items()}
        self._writer.close({RUN: "completed" if state.exit_code == 0 else None} | outcomes)
        return ""

    def _write(self, point: Point, state: RunState) -> None:
        if point.stream not in self._steps:
            settings = _settings(self._run, state, point.stream)
            self._steps[point.stream] = self._writer.open(point.stream, settings)
        steps = self._steps[point.stream]
        if point.step > steps.get(point.series, -1):
            steps[point.series] = point.step
            self._writer.write(point)


def _settings(run: RunFile, state: RunState, stream: str) -> dict[str, str]:
    """What a stream was trained with, as text: the run's settings and the trial's own."""
    own: dict[str, Any] = {"run": run.run, "preset": run.preset}
    trial = state.trials.get(stream)
    if trial is not None:
        own |= {"trial": trial.name, "label": trial.label, "strategy": trial.strategy, "seed": trial.seed}
    of_trial = trial.settings if trial is not None else {}
    flat = own | dict(_flat(run.spec)) | of_trial
    return {key: str(value) for key, value in flat.items() if value is not None}


def _flat(table: Mapping[str, Any], before: str = "") -> Any:
    for key, value in table.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{before}{key}.")
        else:
            yield f"{before}{key}", value
