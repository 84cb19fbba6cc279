"""Forecasts of a run's trials before it starts, from a worker that measures and ends."""

import json
import subprocess
import sys
from dataclasses import dataclass

from grambench.config.spec import Spec
from grambench.errors import GrambenchError
from grambench.events.types import TrialForecast
from grambench.runner.model_export import error_of
from grambench.runner.starts import worker_environment

PROBE_S = 10.0
"""Seconds of measurements; loading libraries and models comes on top."""
_PATIENCE_S = 90.0
"""Seconds after which the worker is ended."""


@dataclass(frozen=True, slots=True)
class Forecasts:
    """What a worker has measured."""

    device: str
    """Its name."""
    threads: int
    trials: dict[str, TrialForecast]
    """By label."""
    failed: dict[str, str]
    """Label -> why its trial is not predicted."""
    refused: tuple[str, ...]
    """Labels of these whose settings a run would refuse."""
    seconds: float
    """Of the measurements."""


def measure(spec: Spec) -> Forecasts | str:
    """Forecasts of the trials, or why there are none; nothing is downloaded."""
    try:
        ended = subprocess.run(
            [sys.executable, "-P", "-m", "grambench.worker", "forecast", str(PROBE_S)],
            input=spec.model_dump_json(),
            capture_output=True,
            text=True,
            errors="replace",
            env={**worker_environment(spec), "HF_HUB_OFFLINE": "1"},
            timeout=_PATIENCE_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"it took more than {_PATIENCE_S:.0f} s; `grambench data prepare` does the first part once"
    except OSError as error:
        return f"the worker cannot be started: {error.strerror or error}"
    if ended.returncode < 0:
        return f"the worker was ended by signal {-ended.returncode}"
    if ended.returncode:
        refused = error_of(ended)
        return str(refused) if isinstance(refused, GrambenchError) else _last_line(ended.stderr)
    answer = json.loads(ended.stdout.splitlines()[-1])
    trials = {label: TrialForecast.from_fields(fields) for label, fields in answer.pop("trials").items()}
    return Forecasts(trials=trials, refused=tuple(answer.pop("refused")), **answer)


def _last_line(text: str) -> str:
    return next(reversed(text.strip().splitlines()), "the worker gives no reason")
