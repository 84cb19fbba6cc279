"""The error tree: one branch per exit code, each error one sentence and a next step."""

from enum import IntEnum


class ExitCode(IntEnum):
    """Exit status of the `grambench` process."""

    OK = 0
    BUG = 1
    USAGE = 2
    DATA = 3
    ENVIRONMENT = 4
    PARTIAL = 5
    GATE = 6
    NOT_EQUIVALENT = 7
    NOT_COMPARABLE = 8
    INTERRUPTED = 75
    STOPPED = 130


MEANINGS = {
    ExitCode.OK: "done",
    ExitCode.BUG: "a bug of grambench; please report it",
    ExitCode.USAGE: "the command line, a preset or a setting is wrong",
    ExitCode.DATA: "data are missing, damaged or in an unknown format",
    ExitCode.ENVIRONMENT: "a device, model, package, disk or network is not available",
    ExitCode.PARTIAL: "some trials failed; the report is partial",
    ExitCode.GATE: "a condition of `--fail-on` holds",
    ExitCode.NOT_EQUIVALENT: "done, but the audit found gradients that should be equal and differ",
    ExitCode.NOT_COMPARABLE: "the runs cannot be compared",
    ExitCode.INTERRUPTED: "interrupted; resume it with `grambench run --resume RUN`",
    ExitCode.STOPPED: "stopped by the user",
}
"""What each tells a script; `docs/scripting.md` and `grambench --help` have the same words."""


class GrambenchError(Exception):
    """An error that a user can act on.

    Attributes:
        message: what is wrong, in one sentence.
        fix: what to do next, in one sentence; empty if the message already says it.
    """

    exit_code: ExitCode = ExitCode.BUG

    def __init__(self, message: str, fix: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.fix = fix

    def __str__(self) -> str:
        return f"{self.message} {self.fix}".strip()


class ConfigError(GrambenchError):
    """An invalid preset, option or `--set`."""

    exit_code = ExitCode.USAGE


class DataError(GrambenchError):
    """Files that are missing, damaged or in the wrong format."""

    exit_code = ExitCode.DATA


class MachineError(GrambenchError):
    """A device, model, disk or network that is not available on this machine."""

    exit_code = ExitCode.ENVIRONMENT


class NotComparableError(GrambenchError):
    """Runs between which nothing may be compared."""

    exit_code = ExitCode.NOT_COMPARABLE


class StoppedError(GrambenchError):
    """The user ended the run."""

    exit_code = ExitCode.STOPPED
