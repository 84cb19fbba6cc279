"""`grambench replay`: play back a run at any speed."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from grambench.cli.run import OutOption
from grambench.cli.runs import RunArgument


def replay(
    run: RunArgument = "last",
    speed: Annotated[
        float, typer.Option(metavar="X", min=0.25, max=1024.0, help="Seconds of the run per second.")
    ] = 8.0,
    out: OutOption = Path("runs"),
) -> None:
    """Play back a run's logs in the dashboard, with pause and seeking."""
    from grambench.errors import DataError, MachineError
    from grambench.events.reader import read_run
    from grambench.runner.rundir import find_run

    folder = find_run(run, out)
    if not read_run(folder).started_wall:
        raise DataError(f"The logs of {folder.name} hold no events.", "Start the run again.")
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise MachineError(
            "A replay needs a terminal on stdin and stderr.", "`grambench report` prints the results."
        )
    from grambench.tui.replay import play

    play(folder, speed)
