"""`grambench replay`: play back a run at any speed."""

from pathlib import Path
from typing import Annotated

import typer

from grambench.cli.output import on_dashboard_terminal
from grambench.cli.run import OutOption
from grambench.cli.runs import RunArgument


def replay(
    run: RunArgument = "last",
    speed: Annotated[
        float | None,
        typer.Option(
            metavar="X", min=0.25, max=1024.0, help="Seconds of the run per second; 8, with --demo 2."
        ),
    ] = None,
    demo: Annotated[bool, typer.Option("--demo", help="A recorded race that comes with grambench.")] = False,
    out: OutOption = Path("runs"),
) -> None:
    """Play back a run's logs in the dashboard, with pause and seeking."""
    from grambench.config.paths import shipped
    from grambench.errors import ConfigError, DataError, MachineError
    from grambench.events.reader import read_run
    from grambench.runner.rundir import find_run

    if demo and run != "last":
        raise ConfigError("--demo plays a run of its own.", "Leave out either RUN or --demo.")
    folder = shipped("recorded-run", "docs/recorded-run") if demo else find_run(run, out)
    if not read_run(folder).started_wall:
        raise DataError(f"The logs of {folder.name} hold no events.", "Start the run again.")
    if not on_dashboard_terminal():
        raise MachineError(
            "A replay needs a terminal on stdin and stderr, with a cursor (TERM) and UTF-8.",
            "`grambench report` prints the results.",
        )
    from grambench.tui.replay import play

    play(folder, speed or (2.0 if demo else 8.0))
