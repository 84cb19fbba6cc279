"""`grambench runs`, `watch` and `stop`: runs that are going on or have ended."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from grambench.cli.run import OutOption

if TYPE_CHECKING:
    from grambench.events.state import RunState

RunArgument = Annotated[str, typer.Argument(help="A run's name or folder; `last` is the newest.")]


def runs(
    out: OutOption = Path("runs"),
    json_: Annotated[bool, typer.Option("--json", help="Machine-readable.")] = False,
) -> None:
    """List the runs of a folder, oldest first."""
    import json

    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from grambench.events.reader import read_run
    from grambench.runner.rundir import list_runs, supervisor_of
    from grambench.text import safe_text

    rows = []
    for folder in list_runs(out):
        state = read_run(folder)
        going_on = supervisor_of(folder) is not None
        word = "running" if going_on else _ended(state)
        done = sum(trial.ended for trial in state.trials.values())
        rows.append(
            {
                "run": folder.name,
                "state": word,
                "exit_code": state.exit_code,
                "trials_done": done,
                "trials": len(state.trials),
            }
        )
    if json_:
        typer.echo(json.dumps(rows))
        return
    if not rows:
        typer.echo(f"There is no run in {out}. Start one with `grambench run --preset demo`.", err=True)
        return
    table = Table(box=None)
    for title, justify in (("run", "left"), ("state", "left"), ("exit code", "right"), ("trials", "right")):
        table.add_column(title, justify=justify)  # type: ignore[arg-type]
    for row in rows:
        code = "–" if row["exit_code"] is None else str(row["exit_code"])
        count = f"{row['trials_done']}/{row['trials']}"
        table.add_row(Text(safe_text(row["run"])), str(row["state"]), code, count)
    Console().print(table)


def _ended(state: "RunState") -> str:
    """How a run without a supervisor has ended, in a word or two."""
    from grambench.errors import ExitCode

    if not state.finished:
        return "broken off"
    return "interrupted" if state.exit_code == ExitCode.INTERRUPTED else "finished"


def watch(
    run: RunArgument = "last",
    out: OutOption = Path("runs"),
    plain: Annotated[bool, typer.Option("--plain", help="Lines instead of the dashboard.")] = False,
) -> None:
    """Show a run that is going on, or how an ended one looked at its end."""
    from grambench.cli.follow import Follow, view
    from grambench.runner.rundir import find_run

    folder = find_run(run, out)
    try:
        Follow(folder).watch(view(plain))
    except KeyboardInterrupt:  # a watcher that leaves ends nothing
        typer.echo(f"\n{folder.name} goes on, unless it had ended.", err=True)


def stop(run: RunArgument = "last", out: OutOption = Path("runs")) -> None:
    """End a run after the step under way; what it has measured stays."""
    from grambench.runner.commands import Command, send
    from grambench.runner.rundir import find_run

    folder = find_run(run, out)
    send(folder, Command("stop"))
    typer.echo(f"{folder.name} ends after the step under way.", err=True)
