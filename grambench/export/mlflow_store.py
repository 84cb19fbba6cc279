"""MLflow: an experiment a run, in it an MLflow run a trial; a folder (`mlruns`) or a database.

Written by MLflow itself (`mlflow-skinny`), so that its versions agree. Newer ones open folders only where
MLFLOW_ALLOW_FILE_STORE is true, which is set here for this process.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from grambench.export.exporter import Exporter, Steps
from grambench.export.points import Point

_STREAM = "grambench.stream"
_BATCH, _PARAMS, _LONGEST = 1000, 100, 6000
"""Metrics and params that MLflow takes at once, and characters of a param."""
_ENDS = {"completed": "FINISHED", "early-stopped": "FINISHED", "diverged": "FAILED", "failed": "FAILED"}


def sink(folder: Path, output: str) -> Exporter:
    """A file store, or a database (`sqlite:///FILE`)."""
    return Exporter(folder, MlflowWriter(output, folder.name))


class MlflowWriter:
    """Writes to a local tracking store."""

    def __init__(self, output: str, run: str) -> None:
        """`output`: a folder, or `sqlite:///FILE` (which needs SQLAlchemy and Alembic as well)."""
        os.environ |= {"MLFLOW_ALLOW_FILE_STORE": "true", "MLFLOW_DISABLE_TELEMETRY": "true"}
        from mlflow import tracking

        uri = output if output.startswith("sqlite:") else Path(output).absolute().as_uri()
        self._client = tracking.MlflowClient(tracking_uri=uri)
        known = self._client.get_experiment_by_name(run)
        self._experiment = known.experiment_id if known else self._client.create_experiment(run)
        runs = self._client.search_runs([self._experiment], max_results=10_000)
        self._ids = {found.data.tags.get(_STREAM, ""): found.info.run_id for found in runs}
        self._waiting: dict[str, list[Any]] = {}

    def open(self, stream: str, settings: Mapping[str, str]) -> Steps:
        """See `Writer`."""
        from mlflow import entities

        self._waiting[stream] = []
        if stream in self._ids:
            self._client.update_run(self._ids[stream], status="RUNNING")
            return self._known(self._ids[stream])
        made = self._client.create_run(self._experiment, tags={_STREAM: stream}, run_name=stream)
        self._ids[stream] = made.info.run_id
        params = [entities.Param(key, value[:_LONGEST]) for key, value in settings.items()]
        for first in range(0, len(params), _PARAMS):
            self._client.log_batch(made.info.run_id, params=params[first : first + _PARAMS])
        return {}

    def _known(self, identity: str) -> Steps:
        names = self._client.get_run(identity).data.metrics
        histories = {name: self._client.get_metric_history(identity, name) for name in names}
        return {name: max(each.step for each in found) for name, found in histories.items()}

    def write(self, point: Point) -> None:
        """See `Writer`."""
        from mlflow import entities

        metric = entities.Metric(point.series, point.value, round(point.wall_s * 1000), point.step)
        self._waiting[point.stream].append(metric)

    def flush(self) -> None:
        """See `Writer`."""
        for stream, metrics in self._waiting.items():
            for first in range(0, len(metrics), _BATCH):
                self._client.log_batch(self._ids[stream], metrics=metrics[first : first + _BATCH])
            metrics.clear()

    def close(self, outcomes: Mapping[str, str | None]) -> None:
        """See `Writer`."""
        self.flush()
        for stream in self._waiting:
            self._client.set_terminated(self._ids[stream], _ENDS.get(outcomes.get(stream) or "", "KILLED"))
