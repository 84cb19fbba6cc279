"""`grambench runs`, `watch` and `stop`: runs in progress and finished ones."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

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

    from grambench.runner.rundir import list_runs
    from grambench.text import safe_text

    rows = [_row(folder) for folder in list_runs(out)]
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
    for row in rows:
        for complaint in row["complaints"]:
            typer.echo(f"{safe_text(row['run'])}: {safe_text(complaint, 600)}.", err=True)


def _row(folder: Path) -> dict[str, Any]:
    """A run's row of the list, however damaged its folder is."""
    from grambench.events.reader import read_run
    from grambench.runner.rundir import supervisor_of

    state = read_run(folder)
    running = supervisor_of(folder) is not None
    return {
        "run": folder.name,
        "state": "running" if running else _ended(state),
        "exit_code": state.exit_code,
        "trials_done": sum(trial.ended for trial in state.trials.values()),
        "trials": len(state.trials),
        "complaints": [*_run_file_complaints(folder), *state.log_complaints],
    }


def _run_file_complaints(folder: Path) -> list[str]:
    """What is wrong with `run.json`, in the form of `log_complaints`."""
    from grambench.config.changes import spec_digest
    from grambench.errors import DataError
    from grambench.reports.runfile import RUN_FILE, read_run_file

    try:
        run = read_run_file(folder)
        intact = spec_digest(run.spec) == run.spec_sha256
    except DataError as error:
        return [error.message.rstrip(".")]
    except ValueError:  # a number that JSON cannot hold
        intact = False
    return [] if intact else [f"the spec in {RUN_FILE} was edited or damaged since the run began"]


def _ended(state: "RunState") -> str:
    """How a run without a supervisor ended, in a word or two."""
    from grambench.errors import ExitCode

    if not state.started_wall and any(check.trouble for check in state.logs.values()):
        return "unreadable"
    if not state.finished:
        return "broken off"
    return "interrupted" if state.exit_code == ExitCode.INTERRUPTED else "finished"


def watch(
    run: RunArgument = "last",
    out: OutOption = Path("runs"),
    plain: Annotated[bool, typer.Option("--plain", help="Lines instead of the dashboard.")] = False,
) -> None:
    """Show a run in progress, or the final state of one that has ended."""
    from grambench.cli.follow import Follow, view
    from grambench.runner.rundir import find_run

    folder = find_run(run, out)
    try:
        Follow(folder).watch(view(plain))
    except KeyboardInterrupt:  # leaving does not end the run
        typer.echo(f"\nStopped watching {folder.name}; the run itself was not stopped.", err=True)


def stop(run: RunArgument = "last", out: OutOption = Path("runs")) -> None:
    """End a run after the current step; its measurements are kept."""
    from grambench.runner.commands import Command, send
    from grambench.runner.rundir import find_run

    folder = find_run(run, out)
    send(folder, Command("stop"))
    typer.echo(f"{folder.name} ends after the current step.", err=True)
