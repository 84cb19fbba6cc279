"""`grambench export`: a run's curves and results in a tracker's form, or the model of one of its trials."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from grambench.cli.complete import exports
from grambench.cli.output import say
from grambench.cli.run import OutOption
from grambench.cli.runs import RunArgument

if TYPE_CHECKING:
    from grambench.export.destinations import Destination


def export(
    to: Annotated[
        str,
        typer.Option(
            "--to", metavar="NAME", help="tensorboard, mlflow, wandb or huggingface.", autocompletion=exports
        ),
    ],
    run: RunArgument = "last",
    folder: Annotated[
        str | None,
        typer.Argument(metavar="DIR", help="The folder to write; else `exports` in the run's."),
    ] = None,
    output: Annotated[
        str | None, typer.Option("--output", metavar="DIR", help="The same, in place of the argument.")
    ] = None,
    trial: Annotated[
        str | None,
        typer.Option(
            "--trial",
            metavar="NAME",
            help="huggingface: a label, or LABEL.sSEED; else the best on validation.",
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="huggingface: replace an earlier export in DIR.")
    ] = False,
    out: OutOption = Path("runs"),
) -> None:
    """Write a run's curves and results for a tracker, adding what is new, or a trial's model."""
    from grambench.errors import ConfigError, GrambenchError, MachineError
    from grambench.export import destinations
    from grambench.runner.rundir import find_run
    from grambench.text import safe_text

    if folder is not None and output is not None:
        raise ConfigError("The folder is given twice.", "Leave out --output.")
    place, is_model = folder or output, to == destinations.MODEL
    if not is_model and (trial is not None or force):
        raise ConfigError(f"--trial and --force belong to --to {destinations.MODEL}.", "Leave them out.")
    row = None if is_model else destinations.tracker(to, destinations.MODEL)
    source = find_run(run, out)
    try:
        if row is None:
            _export_model(source, place, trial, force)
        else:
            _export_curves(row, source, place)
    except GrambenchError:
        raise
    except OSError as error:
        raise MachineError(
            f"{error.filename or place} cannot be written: {error.strerror or error}.",
            "Choose another folder.",
        ) from error
    except Exception as error:
        if row is None or not row.module:
            raise
        first = safe_text(f"{type(error).__name__}: {error}", 400)
        raise MachineError(f"The export with {row.module} failed: {first}.") from error


def _export_curves(row: "Destination", folder: Path, given: str | None) -> None:
    from grambench.export import destinations

    place = destinations.located(given or str(folder / "exports" / row.name))
    destinations.export(folder, f"{row.name}:{place}", lambda _: True)
    say(f"{row.name}: {place}", err=True)
    say(row.view.format(place=place))


def _export_model(folder: Path, given: str | None, trial: str | None, force: bool) -> None:
    from grambench.runner.model_export import export_model

    place = None if given is None else Path(given).expanduser().absolute()
    say(str(export_model(folder, trial, place, force=force, tell=partial(say, err=True))))
