"""Errors on stderr: a sentence, or with `--json` one JSON object on the last line (docs/scripting.md)."""

import json
import sys

import typer

from grambench.errors import ExitCode


def wants_json() -> bool:
    """Whether this command line asks for JSON."""
    return "--json" in sys.argv[1:]


def complain(message: str, fix: str = "", code: int = ExitCode.BUG) -> None:
    """Say what is wrong, and what to do about it."""
    if wants_json():
        name = ExitCode(code).name.lower() if code in set(ExitCode) else "signal"
        error = {"code": int(code), "name": name, "message": message, "fix": fix}
        typer.echo(json.dumps({"error": error}), err=True)
    else:
        typer.echo(f"grambench: {message} {fix}".rstrip(), err=True)
