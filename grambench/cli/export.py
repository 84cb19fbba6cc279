"""`grambench export`: a run's curves and results for a tracker, its predictions, or the model of a trial."""

import json
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from grambench.cli.complete import exports
from grambench.cli.options import JsonOption
from grambench.cli.output import say, say_json
from grambench.cli.run import OutOption
from grambench.cli.runs import RunArgument
from grambench.errors import ConfigError, GrambenchError, MachineError


def export(
    to: Annotated[
        str,
        typer.Option(
            "--to",
            metavar="NAME",
            help="tensorboard, mlflow, wandb, predictions or huggingface.",
            autocompletion=exports,
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
            help="A label or LABEL.sSEED; else all predictions, or the model that is best on validation.",
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="huggingface: replace an earlier export in DIR.")
    ] = False,
    json_: JsonOption = False,
    out: OutOption = Path("runs"),
) -> None:
    """Write a run's curves and results for a tracker, its predictions, or a trial's model.

    What a tracker has already is not written again. Predictions that the run has not written are made now,
    with the best weights.
    """
    from grambench.cli.export_predictions import NAME as PREDICTIONS
    from grambench.export.destinations import MODEL, tracker
    from grambench.runner.rundir import find_run

    if folder is not None and output is not None:
        raise ConfigError("The folder is given twice.", "Leave out --output.")
    if force and to != MODEL:
        raise ConfigError(f"--force belongs to --to {MODEL}.", "Leave it out.")
    if trial is not None and to not in (MODEL, PREDICTIONS):
        raise ConfigError(f"--trial belongs to --to {PREDICTIONS} and --to {MODEL}.", "Leave it out.")
    module = "" if to in (MODEL, PREDICTIONS) else tracker(to, PREDICTIONS, MODEL).module
    source, place = find_run(run, out), folder or output
    try:
        if to == MODEL:
            written = _export_model(source, place, trial, force)
        elif to == PREDICTIONS:
            written = _export_predictions(source, place, trial)
        else:
            written = _export_curves(to, source, place)
    except GrambenchError:
        raise
    except OSError as error:
        raise MachineError(
            f"{error.filename or place} cannot be written: {error.strerror or error}.",
            "Choose another folder.",
        ) from error
    except Exception as error:
        if not module:
            raise
        first = f"{type(error).__name__}: {error}"[:400]
        raise MachineError(f"The export with {module} failed: {first}.") from error
    if json_:
        say_json(json.dumps({"to": to, **written}))
    else:
        _print(to, written)


def _export_curves(to: str, folder: Path, given: str | None) -> dict[str, Any]:
    from grambench.export import destinations

    row = destinations.tracker(to)
    place = destinations.located(given or str(folder / "exports" / row.name))
    destinations.export(folder, f"{row.name}:{place}", lambda _: True)
    return {"place": str(place), "view": row.view.format(place=place)}


def _export_predictions(folder: Path, given: str | None, trial: str | None) -> dict[str, Any]:
    from grambench.cli.export_predictions import NAME, export_predictions

    place = Path(given or folder / "exports" / NAME).expanduser().absolute()
    return {"place": str(place), "files": export_predictions(folder, place, trial)}


def _export_model(folder: Path, given: str | None, trial: str | None, force: bool) -> dict[str, Any]:
    from grambench.runner.model_export import export_model

    place = None if given is None else Path(given).expanduser().absolute()
    return {"place": str(export_model(folder, trial, place, force=force, tell=partial(say, err=True)))}


def _print(to: str, written: dict[str, Any]) -> None:
    if "view" in written:
        say(f"{to}: {written['place']}", err=True)
    say("\n".join(written.get("files", [written.get("view", written["place"])])))
