"""Weights & Biases: an offline run a trial; `wandb sync` uploads them, nothing here reaches the network."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from grambench.errors import MachineError
from grambench.export.exporter import Exporter, Steps
from grambench.export.points import FINAL, Point

_STEP, _ENDS = "step", "ends"
"""The x axes: CF steps (of the run's own stream: seconds); for the report's numbers, how often it ended."""
_QUIET = {
    "console": "off",
    "disable_code": True,
    "disable_git": True,
    "host": "",
    "silent": True,
    "x_disable_machine_info": True,
    "x_disable_meta": True,
    "x_disable_stats": True,
    "x_save_requirements": False,
}
"""Settings that keep everything but the points out of the run."""


def sink(folder: Path, output: str) -> Exporter:
    """Offline runs in `<output>/wandb`."""
    return Exporter(folder, WandbWriter(Path(output), folder.name))


class WandbWriter:
    """Writes `<output>/wandb/offline-run-*`; an export that continues adds files of the same run ids."""

    def __init__(self, output: Path, run: str) -> None:
        os.environ |= {"WANDB_ERROR_REPORTING": "false"}
        import wandb

        self._wandb, self._output, self._run = wandb, output, run
        self._runs: dict[str, Any] = {}
        self._settings: dict[str, Mapping[str, str]] = {}
        self._rows: dict[str, int] = {}
        self._row: dict[str, dict[str, float]] = {}
        """Stream -> what is not logged yet, of one step and moment."""

    def open(self, stream: str, settings: Mapping[str, str]) -> Steps:
        """See `Writer`."""
        self._output.mkdir(parents=True, exist_ok=True)
        steps, self._rows[stream] = _written(self._output / "wandb", self._identity(stream))
        self._settings[stream], self._row[stream] = settings, {}
        return steps

    def _identity(self, stream: str) -> str:
        return re.sub(r"[^A-Za-z0-9_-]", "-", f"{self._run}-{stream}")

    def _begin(self, stream: str) -> Any:
        made = self._wandb.init(
            project="grambench",
            group=self._run,
            id=self._identity(stream),
            name=stream,
            config=dict(self._settings[stream]),
            dir=str(self._output),
            mode="offline",
            reinit="create_new",
            settings=self._wandb.Settings(**_QUIET),
        )
        made.define_metric("*", step_metric=_STEP)
        made.define_metric(f"{FINAL}*", step_metric=_ENDS)
        return made

    def write(self, point: Point) -> None:
        """See `Writer`."""
        axis = _ENDS if point.series.startswith(FINAL) else _STEP
        at = {axis: point.step, "_timestamp": point.wall_s}
        row = self._row[point.stream]
        if any(row.get(key, value) != value for key, value in at.items()) or (row and axis not in row):
            self._log(point.stream)
        self._row[point.stream] |= at | {point.series: point.value}

    def _log(self, stream: str) -> None:
        if row := self._row[stream]:
            if stream not in self._runs:
                self._runs[stream] = self._begin(stream)
            self._runs[stream].log(row, step=self._rows[stream])
            self._rows[stream] += 1
            self._row[stream] = {}

    def flush(self) -> None:
        """See `Writer`; W&B itself writes within moments."""
        for stream in self._row:
            self._log(stream)

    def close(self, outcomes: Mapping[str, str | None]) -> None:
        """See `Writer`."""
        self.flush()
        for stream, run in self._runs.items():
            run.finish(exit_code=int(outcomes.get(stream) not in ("completed", "early-stopped")))


def _written(folder: Path, identity: str) -> tuple[Steps, int]:
    """The steps that earlier files of a run have, as W&B's own reader finds them, and their rows."""
    steps, rows = dict[str, int](), 0
    for path in sorted(folder.glob(f"offline-run-*-{identity}/run-{identity}.wandb")):
        for item in _history(path):
            rows += 1
            step = item.get(_STEP, item.get(_ENDS, -1))
            steps |= {series: max(step, steps.get(series, step)) for series in item}
    return steps, rows


def _history(path: Path) -> list[dict[str, Any]]:
    """The rows of a `.wandb` file.

    Raises:
        MachineError: W&B cannot read it.
    """
    command = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", str(path)]
    read = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if read.returncode:
        raise MachineError(f"W&B cannot read {path}.", "Remove that folder, or export to another one.")
    records = (json.loads(line) for line in read.stdout.splitlines())
    return [record["history"]["item"] for record in records if record["type"] == "history"]
