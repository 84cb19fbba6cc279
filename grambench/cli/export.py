"""`grambench export`: a run's curves and results in a tracker's form."""

from pathlib import Path
from typing import Annotated

import typer

from grambench.cli.complete import trackers
from grambench.cli.run import OutOption
from grambench.cli.runs import RunArgument


def export(
    to: Annotated[
        str,
        typer.Option("--to", metavar="NAME", help="tensorboard, mlflow or wandb.", autocompletion=trackers),
    ],
    run: RunArgument = "last",
    output: Annotated[
        str | None,
        typer.Option("--output", metavar="DIR", help="Where to write; else `exports` in the run's folder."),
    ] = None,
    out: OutOption = Path("runs"),
) -> None:
    """Write a run's curves and results for a tracker; what is there already is not written again."""
    from grambench.errors import GrambenchError, MachineError
    from grambench.export import destinations
    from grambench.runner.rundir import find_run
    from grambench.text import safe_text

    row, folder = destinations.tracker(to), find_run(run, out)
    place = destinations.located(output or str(folder / "exports" / row.name))
    try:
        destinations.export(folder, f"{row.name}:{place}", lambda _: True)
    except GrambenchError:
        raise
    except OSError as error:
        raise MachineError(
            f"{error.filename or place} cannot be written: {error.strerror or error}.",
            "Choose another folder with --output.",
        ) from error
    except Exception as error:
        if not row.module:
            raise
        first = safe_text(f"{type(error).__name__}: {error}", 400)
        raise MachineError(f"The export with {row.module} failed: {first}.") from error
    typer.echo(f"{row.name}: {place}", err=True)
    typer.echo(row.view.format(place=place))
