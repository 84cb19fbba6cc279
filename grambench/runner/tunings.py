"""The two runs of a tuning: its plan lies in the folder of the first, its table in that of the second."""

from pathlib import Path

from grambench.config.changes import differences
from grambench.config.kept import as_kept, read_kept
from grambench.config.renamed import with_new_names
from grambench.config.spec import Spec
from grambench.config.tuning import TuningPlan, final_spec, tuning_spec
from grambench.errors import ConfigError, DataError, MachineError
from grambench.fs import read_regular, write_atomic
from grambench.reports.tuning import TUNING_FILE, read_tuning
from grambench.reports.tuning_schema import Tuning
from grambench.runner.rundir import create_run, list_runs

PLAN_FILE = "tune.json"


def create_tuning(plan: TuningPlan, spec: Spec, out: Path, command: list[str]) -> Path:
    """The folder of a tuning run.

    Args:
        plan: of the tuning.
        spec: of its final run.
        out: the folder of the runs.
        command: the command line.

    Raises:
        ConfigError: a drawn value cannot be used.
        MachineError: the folder cannot be written.
    """
    folder = create_run(tuning_spec(plan, spec), plan.preset, out, command)
    _write(folder / PLAN_FILE, plan.model_dump_json(indent=1))
    return folder


def create_final(plan: TuningPlan, spec: Spec, tuning: Tuning, out: Path, command: list[str]) -> Path:
    """The folder of the final run, with the table of the tuning.

    Raises:
        ConfigError: what the tuning left cannot be run.
        MachineError: the folder cannot be written.
    """
    chosen = {each.label: each.selected for each in tuning.contestants if each.selected is not None}
    folder = create_run(final_spec(plan, spec, chosen), plan.preset, out, command)
    _write(folder / TUNING_FILE, tuning.model_dump_json(indent=1))
    return folder


def final_of(folder: Path) -> Path | None:
    """The newest final run of a tuning run, in the same folder of runs; None: it has not been created."""
    for other in reversed(list_runs(folder.parent)):
        tuning, _ = read_tuning(other)
        if tuning is not None and tuning.run == folder.name:
            return other
    return None


def first_of(folder: Path) -> Path:
    """The tuning run of either run of a tuning.

    Raises:
        ConfigError: the folder is not a run of a tuning.
    """
    if is_tuning(folder):
        return folder
    tuning, why = read_tuning(folder)
    if tuning is None:
        raise ConfigError(
            f"The run {folder.name} is not part of a tuning: {why}.",
            f"Use `grambench run --resume {folder.name}`.",
        )
    return folder.parent / tuning.run


def is_tuning(folder: Path) -> bool:
    """Whether a run is the first of a tuning."""
    return (folder / PLAN_FILE).is_file()


def read_plan(folder: Path) -> tuple[TuningPlan, Spec]:
    """The plan of a tuning run, and the specification of its final run.

    Raises:
        ConfigError: a strategy is not known here.
        DataError: the plan cannot be read.
    """
    try:
        plan = TuningPlan.model_validate_json(read_regular(folder / PLAN_FILE))
        return plan, read_kept(plan.spec)
    except (OSError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise DataError(f"{folder / PLAN_FILE} cannot be read.", "Start a new tuning.") from error


def require_same(folder: Path, asked: TuningPlan) -> None:
    """Refuse to resume a tuning with other settings.

    Raises:
        ConfigError: names them.
    """
    plan, spec = read_plan(folder)
    kept, written = spec.model_dump(mode="json"), with_new_names(plan.spec)[0]
    changed = differences(kept, as_kept(asked.spec, kept, written))
    for name in ("budget", "seed"):
        changed += differences(getattr(plan, name), getattr(asked, name), name)
    if changed:
        raise ConfigError(
            f"The tuning {folder.name} has different settings: {'; '.join(changed)}.",
            f"Use `grambench tune --resume {folder.name}` without settings, or start a new one.",
        )


def _write(path: Path, text: str) -> None:
    try:
        write_atomic(path, text)
    except OSError as error:
        raise MachineError(
            f"{path} cannot be written: {error.strerror or error}.", "Free some space and tune again."
        ) from error
