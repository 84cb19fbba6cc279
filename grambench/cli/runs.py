"""`grambench runs`, `watch` and `stop`: runs in progress and finished ones."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from grambench.cli.complete import run_names
from grambench.cli.options import JsonOption, PlainOption
from grambench.cli.output import say, say_json
from grambench.cli.run import OutOption

RunArgument = Annotated[
    str,
    typer.Argument(
        help="A run's name, its beginning, or a folder; `last` is the newest.", autocompletion=run_names
    ),
]
_ON_SCREEN = 30
"""Runs that a terminal shows."""


def runs(
    out: OutOption = Path("runs"),
    limit: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="The newest N; on a terminal 30, else all, unless given."),
    ] = None,
    json_: JsonOption = False,
) -> None:
    """List the runs of a folder, newest first."""
    import json
    from itertools import islice

    from grambench.cli.run_table import print_runs
    from grambench.runner.run_index import run_rows
    from grambench.runner.rundir import list_runs

    folders = list_runs(out)[::-1]
    shown = limit or (_ON_SCREEN if sys.stdout.isatty() and not json_ else len(folders))
    rows = [*run_rows(out, islice(folders, shown))]
    if json_:
        say_json(json.dumps([vars(row) for row in rows]))
    elif rows:
        print_runs(rows, len(folders) - len(rows))
    else:
        say(f"There is no run in {out}. Start one with `grambench run --preset demo`.", err=True)


def watch(
    runs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[RUN]...",
            help="Names, their beginnings, or folders; `last` (the default) is the newest.",
            autocompletion=run_names,
        ),
    ] = None,
    out: OutOption = Path("runs"),
    plain: PlainOption = False,
) -> None:
    """Show a run in progress, or the final state of one that has ended; several of them on one screen."""
    from grambench.cli.follow import Follow, view
    from grambench.cli.follow_several import follow_several
    from grambench.runner.rundir import find_run

    folders = [*dict.fromkeys(find_run(run, out) for run in runs or ["last"])]
    if len(folders) > 1:
        try:
            follow_several(folders, view(plain))
        except KeyboardInterrupt:  # leaving ends no run
            say("\nStopped watching; the runs themselves were not stopped.", err=True)
        return
    (folder,) = folders
    follow = Follow(folder)
    try:
        with follow.farewell():
            follow.watch(view(plain))
    except KeyboardInterrupt:  # leaving does not end the run
        say(f"\nStopped watching {folder.name}; the run itself was not stopped.", err=True)


def stop(run: RunArgument = "last", out: OutOption = Path("runs"), json_: JsonOption = False) -> None:
    """End a run after the current step; its measurements are kept."""
    import json

    from grambench.runner.commands import Command, send
    from grambench.runner.rundir import find_run

    folder = find_run(run, out)
    send(folder, Command("stop"))
    if json_:
        say_json(json.dumps({"run": folder.name, "folder": str(folder), "stopping": True}))
    else:
        say(f"{folder.name} ends after the current step.", err=True)
