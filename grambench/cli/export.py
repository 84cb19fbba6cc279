"""`grambench export`: a run's curves and results in a tracker's form."""

from pathlib import Path
from typing import Annotated

import typer

from grambench.cli.complete import trackers
from grambench.cli.options import JsonOption
from grambench.cli.run import OutOption
from grambench.cli.runs import RunArgument


def export(
    to: Annotated[
        str,
        typer.Option(
            "--to",
            metavar="NAME",
            help="tensorboard, mlflow, wandb, or predictions (docs/predictions.md).",
            autocompletion=trackers,
        ),
    ],
    run: RunArgument = "last",
    output: Annotated[
        str | None,
        typer.Option("--output", metavar="DIR", help="Where to write; else `exports` in the run's folder."),
    ] = None,
    trial: Annotated[
        str | None,
        typer.Option("--trial", metavar="NAME", help="Of predictions: only this trial, or this strategy."),
    ] = None,
    json_: JsonOption = False,
    out: OutOption = Path("runs"),
) -> None:
    """Write a run's curves and results for a tracker, or its predictions.

    What a tracker has already is not written again. Predictions that the run has not written are made now,
    with the best weights.
    """
    import json

    from grambench.cli.export_predictions import NAME, export_predictions
    from grambench.errors import ConfigError, GrambenchError, MachineError
    from grambench.export import destinations
    from grambench.runner.rundir import find_run
    from grambench.text import safe_text

    if to == NAME:
        folder = find_run(run, out)
        place = Path(output or folder / "exports" / NAME).expanduser().absolute()
        files = export_predictions(folder, place, trial)
        if json_:
            typer.echo(json.dumps({"to": to, "place": str(place), "files": files}))
        else:
            typer.echo("\n".join(files))
        return
    if trial is not None:
        raise ConfigError(f"--trial selects predictions, and {to} takes the whole run.", "Leave it out.")
    row, folder = destinations.tracker(to), find_run(run, out)
    target = destinations.located(output or str(folder / "exports" / row.name))
    try:
        destinations.export(folder, f"{row.name}:{target}", lambda _: True)
    except GrambenchError:
        raise
    except OSError as error:
        raise MachineError(
            f"{error.filename or target} cannot be written: {error.strerror or error}.",
            "Choose another folder with --output.",
        ) from error
    except Exception as error:
        if not row.module:
            raise
        first = safe_text(f"{type(error).__name__}: {error}", 400)
        raise MachineError(f"The export with {row.module} failed: {first}.") from error
    view = row.view.format(place=target)
    if json_:
        typer.echo(json.dumps({"to": to, "place": str(target), "view": view}))
    else:
        typer.echo(f"{row.name}: {target}", err=True)
        typer.echo(view)
