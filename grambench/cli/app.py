"""`grambench`: the command line.

Command modules hold signatures only; a command imports what it needs when it runs, so that help is
instant.
"""

import os
import signal
import sys
import traceback
import warnings
from types import FrameType
from typing import Any

import typer

import grambench
from grambench.cli import (
    audit,
    compare,
    data,
    doctor,
    export,
    join,
    presets,
    replay,
    report,
    run,
    runs,
    suite,
    tune,
)
from grambench.cli.failure import complain
from grambench.cli.help import App, usage_error
from grambench.cli.output import close_streams, open_streams, say, system_error
from grambench.errors import MEANINGS, ExitCode, GrambenchError

_CODES = "; ".join(f"{code.value} {words.partition(';')[0]}" for code, words in MEANINGS.items())

app = App(
    name="grambench",
    help="Benchmark training strategies (E2E, single-step and multi-step GRAM) for recommenders"
    " with a language model inside.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=f"Exit codes: {_CODES}.\n\nFor scripts and agents: docs/scripting.md and SKILL.md.",
)
app.command("run")(run.run)
app.command("tune")(tune.tune)
app.command("join")(join.join)
app.command("watch")(runs.watch)
app.command("replay")(replay.replay)
app.command("runs")(runs.runs)
app.command("stop")(runs.stop)
app.command("report")(report.report)
app.command("export")(export.export)
app.command("compare")(compare.compare)
app.command("merge")(compare.merge)
app.command("suite")(suite.suite)
app.command("presets")(presets.presets)
app.add_typer(data.app, name="data")
app.command("audit")(audit.audit)
app.command("doctor")(doctor.doctor)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"grambench {grambench.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: bool = typer.Option(
        False, "--version", help="Print the version.", is_eager=True, callback=_version
    ),
) -> None:
    """Benchmark training strategies for recommenders with a language model inside."""


def main() -> None:
    """Run a command; a user's error prints one sentence and sets the exit code, without a traceback."""
    warnings.showwarning = _warned
    open_streams()
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, _interrupted)
    sys.exit(close_streams(_exit_code()))


def _exit_code() -> int:
    """Run the command; each error is one sentence on stderr."""
    try:
        return int(app(prog_name="grambench", standalone_mode=False) or ExitCode.OK)
    except GrambenchError as error:
        complain(error.message, error.fix, error.exit_code)
        return int(error.exit_code)
    except KeyboardInterrupt:
        return int(ExitCode.STOPPED)
    except (BrokenPipeError, SystemExit):  # typer exits where the reader of a pipe has left
        return int(ExitCode.OK)
    except Exception as error:
        if sentence := usage_error(error):
            complain(sentence, code=ExitCode.USAGE)
            return int(ExitCode.USAGE)
        sentence, code = system_error(error)
        if sentence:
            complain(sentence, code=code)
            return int(code)
        say(traceback.format_exc(), err=True, nl=False)
        complain("this is a bug; please report the lines above.")
        return int(ExitCode.BUG)


def _warned(message: Warning | str, category: type[Warning], *place: Any, **options: Any) -> None:
    """A warning to users is one sentence, without the line of code that gave it."""
    if issubclass(category, FutureWarning):
        say(f"grambench: {message}", err=True)
    else:
        say(warnings.formatwarning(message, category, *place[:2]), err=True, nl=False)


def _interrupted(_signal: int, frame: FrameType | None) -> None:
    """Raise KeyboardInterrupt; during an import, where Python may wrap or print it, exit at once."""
    while frame is not None:
        if frame.f_code.co_filename == "<frozen importlib._bootstrap>":
            os._exit(int(ExitCode.STOPPED))  # nothing has been started yet
        frame = frame.f_back
    raise KeyboardInterrupt
