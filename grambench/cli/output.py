"""What commands print: every line through `grambench.text`, on streams that take any text."""

import errno
import io
import os
import sys
from contextlib import nullcontext, suppress
from typing import Any

import typer

from grambench.errors import ExitCode
from grambench.text import redacted, safe_json, safe_lines

_FULL = "cannot be written", "Free some space, or write elsewhere.", ExitCode.ENVIRONMENT
_FORBIDDEN = "is not accessible", "Check its permissions.", ExitCode.ENVIRONMENT
_TOO_LONG = "is not the name of a file", "Use another name.", ExitCode.USAGE
_MENDS = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO), _FULL),
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), _FORBIDDEN),
    **dict.fromkeys((errno.ENAMETOOLONG, errno.ELOOP), _TOO_LONG),
}
"""What is wrong, how to mend it, and the exit code of errors that any path or stream may raise."""


def open_streams() -> None:
    """Make stdout and stderr take every character, whatever their encoding; closed ones lead nowhere.

    A terminal without a name is treated as one that only takes lines.
    """
    os.environ["TERM"] = os.environ.get("TERM") or "dumb"
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:  # closed: the next file that is opened would get its number
            setattr(sys, name, open(os.devnull, "r" if name == "stdin" else "w"))  # noqa: SIM115, PTH123
    standard = sys.__stderr__
    if standard is not None and sys.stderr is standard:
        messages = io.BufferedWriter(_Messages(standard.fileno(), "w", closefd=False))
        sys.stderr = io.TextIOWrapper(messages, standard.encoding, line_buffering=True)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="grambench.spelled")


class _Messages(io.FileIO):
    """What nobody can write, as on a full disk, is dropped: no command ends for want of its messages."""

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except BrokenPipeError:  # the reader has left
            raise
        except OSError:
            return memoryview(data).nbytes


def close_streams(code: int) -> int:
    """Flush what a command has printed.

    Returns:
        `code`; if stdout cannot be written (a full disk), the code of that, after a sentence on stderr.
    """
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        _abandon()
    except OSError as error:
        _abandon()
        say(f"grambench: stdout cannot be written: {error.strerror or error}.", err=True)
        return int(ExitCode.ENVIRONMENT)
    return code


def system_error(error: Exception) -> tuple[str, ExitCode]:
    """One sentence with the fix, and the exit code; no sentence: it is none of these errors."""
    if not isinstance(error, OSError) or error.errno not in _MENDS:
        return "", ExitCode.BUG
    wrong, fix, code = _MENDS[error.errno]
    return f"{error.filename or 'stdout or a file'} {wrong}: {error.strerror}. {fix}", code


def _abandon() -> None:
    """Lead stdout nowhere, so that the interpreter's own flush at exit succeeds."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def on_dashboard_terminal() -> bool:
    """Whether a dashboard can be drawn: a terminal that can move its cursor and shows UTF-8."""
    is_terminal = sys.stdin.isatty() and sys.stderr.isatty()
    unicode = (sys.stderr.encoding or "").lower().startswith("utf")
    return is_terminal and unicode and os.environ.get("TERM") != "dumb"


def say(text: str, *, err: bool = False, nl: bool = True) -> None:
    """Print lines to stdout, or stderr, without whatever in them is not text."""
    with suppress(OSError) if err else nullcontext():
        typer.echo(safe_lines(text), err=err, nl=nl)


def say_json(text: str) -> None:
    """Print a JSON document to stdout; the encoding changes only how it is written, not what it says."""
    ascii_only = not (sys.stdout.encoding or "utf-8").lower().startswith("utf")
    sys.stdout.write(safe_json(redacted(text), ascii_only=ascii_only).rstrip("\n") + "\n")
