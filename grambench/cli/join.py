"""`grambench join`: give this machine's GPUs to a run that another one leads."""

import signal
import time
from pathlib import Path
from typing import Annotated

import typer

from grambench.cli import complete
from grambench.cli.output import say

_POLL_S = 0.5


def join(
    run: Annotated[
        str | None,
        typer.Argument(
            metavar="[RUN]",
            help="The run, in a folder that all machines share; left out: the next that begins.",
            autocompletion=complete.run_names,
        ),
    ] = None,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder that holds the runs.")] = Path(
        "runs"
    ),
    wait_s: Annotated[
        float, typer.Option("--wait", metavar="SECONDS", min=0, help="How long to wait for one to begin.")
    ] = 600.0,
) -> None:
    """Train the ranks of this machine in a run on several nodes, until it ends."""
    from grambench.errors import ConfigError, ExitCode
    from grambench.runner.joining import Joined
    from grambench.runner.rundir import find_run, read_spec

    folder = find_run(run, out) if run is not None else _begun(out, wait_s)
    spec = read_spec(folder)[1]
    if spec.ranks.nnodes == 1:
        raise ConfigError(
            f"The run {folder.name} is of one machine.", "Start it with --nnodes and --endpoint."
        )
    say(f"joined {folder.name}; Ctrl+C interrupts its trial", err=True)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        Joined(folder, spec, lambda words: say(words, err=True)).work()
    except KeyboardInterrupt:
        raise typer.Exit(int(ExitCode.INTERRUPTED)) from None
    say("the run has ended", err=True)


def _begun(out: Path, wait_s: float) -> Path:
    """The newest run of several nodes that has not ended, once there is one.

    Raises:
        DataError: none has begun in time.
    """
    from grambench.errors import DataError, GrambenchError
    from grambench.events.reader import read_run
    from grambench.runner.rundir import list_runs, read_spec

    deadline_s = time.monotonic() + wait_s
    while True:
        for folder in reversed(list_runs(out)):
            try:
                spec = read_spec(folder)[1]
            except GrambenchError:  # another version's, or damaged
                continue
            if spec.ranks.nnodes > 1 and not read_run(folder).finished:
                return folder.resolve()
        if time.monotonic() >= deadline_s:
            raise DataError(
                f"No run on several machines has begun in {out} within {wait_s:,.0f} s.",
                "Start it on the first one with --nnodes and --endpoint, and --out in a shared folder.",
            )
        time.sleep(_POLL_S)
