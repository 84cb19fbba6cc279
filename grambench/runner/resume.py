"""Whether a run can be resumed."""

from pathlib import Path
from typing import Any

from grambench.config.changes import differences, spec_digest
from grambench.config.kept import as_kept
from grambench.config.renamed import with_new_names
from grambench.config.spec import Spec
from grambench.errors import ConfigError
from grambench.events.journal import Follower
from grambench.events.types import RunStarted
from grambench.runner.rundir import (
    RUN_FILE,
    SUPERVISOR_LOG,
    held_by,
    read_raw_spec,
    read_spec,
    supervisor_of,
)


def check_resumable(folder: Path, wanted: Spec | None = None) -> None:
    """Refuse to resume what would not be the same run.

    Args:
        folder: of the run.
        wanted: the command line's specification, if it gives one.

    Raises:
        MachineError: the run is in progress.
        ConfigError: `run.json` was edited, or the command line's settings differ.
        DataError: `run.json` cannot be read.
    """
    if supervisor_of(folder) is not None:
        raise held_by(folder)
    read_spec(folder)
    _, raw, digest = read_raw_spec(folder)
    if digest != spec_digest(raw):
        raise ConfigError(
            f"{folder / RUN_FILE} was edited since the run began{_listed(_edits(folder, raw))}.",
            "Undo the edit, or start a new run.",
        )
    if wanted is not None and (changed := changed_settings(folder, wanted)):
        raise ConfigError(
            f"The run {folder.name} has different settings{_listed(changed)}.",
            f"Use `grambench run --resume {folder.name}` without settings, or start a new run.",
        )


def changed_settings(folder: Path, wanted: Spec) -> list[str]:
    """How a command line's specification differs from a run's.

    Raises:
        DataError: `run.json` cannot be read.
    """
    kept = read_spec(folder)[1].model_dump(mode="json")
    _, raw, _ = read_raw_spec(folder)
    return differences(kept, as_kept(wanted.model_dump(mode="json"), kept, with_new_names(raw)[0]))


def _edits(folder: Path, now: dict[str, Any]) -> list[str]:
    """Differences from the specification that the run began with, if its log recorded one."""
    events = (record.event for record in Follower(folder / SUPERVISOR_LOG).read())
    began = next((event for event in events if isinstance(event, RunStarted)), None)
    return differences(began.spec, now) if began is not None else []


def _listed(changed: list[str]) -> str:
    return f": {'; '.join(changed)}" if changed else ""
