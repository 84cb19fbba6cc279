"""`grambench replay`: a run as it went, at any speed."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from grambench.cli.run import OutOption
from grambench.cli.runs import RunArgument


def replay(
    run: RunArgument = "last",
    speed: Annotated[
        float, typer.Option(metavar="X", min=0.25, max=1024.0, help="Seconds of the run in a second.")
    ] = 8.0,
    out: OutOption = Path("runs"),
) -> None:
    """Play a run's logs through the dashboard, with pause and scrubbing."""
    from grambench.errors import DataError, MachineError
    from grambench.events.reader import read_run
    from grambench.runner.rundir import find_run

    folder = find_run(run, out)
    if not read_run(folder).started_wall:
        raise DataError(f"The logs of {folder.name} hold no event.", "Start the run again.")
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise MachineError(
            "A replay needs a terminal on stdin and stderr.", "`grambench report` prints the results."
        )
    from grambench.tui.replay import play

    play(folder, speed)
