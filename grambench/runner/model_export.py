"""`grambench export --to huggingface`: a trial's best weights as a folder that transformers loads."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from grambench.config.exported import EXPORTED_FILE, NAMES, read_exported
from grambench.errors import ConfigError, DataError, GrambenchError, MachineError
from grambench.fs import whole_folder, write_atomic
from grambench.reports.build import build_report
from grambench.reports.render.model_card import render_card
from grambench.reports.winner import trial_to_keep
from grambench.runner.rundir import read_spec
from grambench.runner.starts import worker_environment

_ERRORS: dict[int, type[GrambenchError]] = {
    int(kind.exit_code): kind for kind in (ConfigError, DataError, MachineError)
}


def export_model(
    run: Path,
    wanted: str | None,
    place: Path | None,
    *,
    force: bool = False,
    tell: Callable[[str], None] = lambda _: None,
) -> Path:
    """Write model, tokenizer, pooling, filter and model card of a trial; whole or not at all.

    Args:
        run: the run's folder.
        wanted: a trial's name or label; None: the run's best.
        place: new or empty; None: in the run's folder.
        force: `place` may hold an earlier export, which is replaced; its other files stay.
        tell: takes a sentence of how the trial was chosen.

    Returns:
        The folder.

    Raises:
        ConfigError: there is no such trial, it has not ended, or it has no text encoder.
        DataError: the weights are damaged or missing, or `place` holds other files.
        MachineError: the model cannot be loaded.
        OSError: `place` cannot be written.
    """
    report = build_report(run)
    trial, how = trial_to_keep(report, wanted)
    assert trial.best_validation is not None
    tell(how)
    place = place or run / "exports" / "huggingface" / trial.name
    with whole_folder(place, _replaced(place, force)) as folder:
        _write(run, trial.name, trial.best_validation.step, folder)
        card = render_card(report, trial, read_exported(folder, check=False))
        write_atomic(folder / "README.md", card)
    return place


def _replaced(place: Path, force: bool) -> set[str]:
    """Names in a folder that is not empty which the new export replaces.

    Raises:
        DataError: nothing may be replaced.
    """
    if not place.exists() or (place.is_dir() and not any(place.iterdir())):
        return set()
    if not place.is_dir():
        raise DataError(f"{place} is not a folder.", "Choose a new folder.")
    if not force:
        raise DataError(
            f"{place} is not empty.", "Choose a new folder, or replace an earlier export with --force."
        )
    if not (place / EXPORTED_FILE).is_file():
        raise DataError(
            f"{place} is not an earlier export, which is all that --force replaces.", "Choose a new folder."
        )
    try:
        return read_exported(place, check=False).names
    except DataError:
        return set(NAMES)


def _write(run: Path, trial: str, step: int, folder: Path) -> None:
    command = [
        sys.executable,
        "-P",
        "-m",
        "grambench.worker",
        "export",
        str(run),
        trial,
        str(step),
        str(folder),
    ]
    ended = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        env=worker_environment(read_spec(run)[1]),
        check=False,
    )
    if ended.returncode:
        raise error_of(ended)


def error_of(ended: "subprocess.CompletedProcess[str]") -> Exception:
    """Why the worker failed: what it has refused, as the same error."""
    if ended.returncode in _ERRORS:
        refusal = json.loads(ended.stdout.splitlines()[-1])
        return _ERRORS[ended.returncode](refusal["message"], refusal["fix"])
    if ended.returncode < 0:
        return MachineError(
            f"The process that exports the model was ended by signal {-ended.returncode}.",
            "If the machine ran out of memory, close other programs.",
        )
    return RuntimeError(f"the export failed:\n{ended.stderr}")
