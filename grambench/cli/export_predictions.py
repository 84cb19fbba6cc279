"""`grambench export --to predictions`: the files that a run has written, else made by its best weights."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from grambench.cli.output import say
from grambench.errors import ConfigError, ExitCode, GrambenchError, MachineError
from grambench.events.reader import read_run
from grambench.events.state import TrialState
from grambench.text import safe_text

NAME = "predictions"


def export_predictions(folder: Path, into: Path, only: str | None) -> list[str]:
    """Write the files of every trial with a test score into `into`/TRIAL; their paths.

    Args:
        folder: the run's.
        into: made if absent.
        only: a trial's name or label; None: all.

    Raises:
        ConfigError: no such trial has been scored.
        GrambenchError: the data or the weights cannot be used.
    """
    scored = [trial for trial in read_run(folder).trials.values() if trial.test is not None]
    asked = [trial for trial in scored if only in (None, trial.name, trial.label)]
    if not asked:
        names = ", ".join(trial.name for trial in scored) or "none: a trial is scored when it has ended"
        raise ConfigError(
            f"No {'trial' if only is None else repr(only)} was scored on the test part.", f"Scored: {names}."
        )
    return [
        path
        for trial in asked
        for path in _copied(folder, trial, into / trial.name) or _predicted(folder, trial, into / trial.name)
    ]


def _copied(folder: Path, trial: TrialState, place: Path) -> list[str]:
    """The files that the run has written; none if one of them is missing."""
    paths = [folder / trial.name / each.file for each in trial.predictions]
    if not all(path.is_file() for path in paths):
        return []
    try:
        place.mkdir(parents=True, exist_ok=True)
        return [str(shutil.copyfile(path, place / path.name)) for path in paths]
    except OSError as error:
        raise MachineError(
            f"{place} cannot be written: {error.strerror or error}.", "Choose another folder with --output."
        ) from error


def _predicted(folder: Path, trial: TrialState, place: Path) -> Iterator[str]:
    """The files of a worker that scores the parts with the best weights."""
    say(f"{safe_text(trial.name)}: scoring with its best weights", err=True)
    command = [sys.executable, "-P", "-m", "grambench.worker", "predict", str(folder), trial.name, str(place)]
    ended = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if ended.returncode:
        last = (ended.stderr.strip().split("\n") or [""])[-1]
        known = ended.returncode in set(ExitCode)
        error = GrambenchError(safe_text(last, 1000) or f"The worker ended with code {ended.returncode}.")
        error.exit_code = ExitCode(ended.returncode) if known else ExitCode.BUG
        raise error
    for line in ended.stdout.splitlines():
        yield str(place / Path(json.loads(line)["file"]).name)
