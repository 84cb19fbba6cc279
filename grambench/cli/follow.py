"""Shows a run until it ends: as a dashboard, as lines, or silently; then its results."""

import contextlib
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Literal, Self

import typer

from grambench.cli.output import on_dashboard_terminal, say, say_json
from grambench.errors import ConfigError, ExitCode
from grambench.events.reader import RunReader, read_run
from grambench.events.state import RunState
from grambench.fs import read_regular
from grambench.runner.commands import Command, send
from grambench.runner.rundir import require_room, supervisor_of
from grambench.runner.tunings import is_tuning
from grambench.text import safe_text

if TYPE_CHECKING:
    from grambench.analysis.conditions import Condition
    from grambench.config.ranks import Ranks
    from grambench.reports.verdict import Verdict

_POLL_S = 0.2
_WARNINGS_SHOWN = 6
"""Disturbed trials that are named after a run."""
Mode = Literal["dashboard", "plain", "json"]


@contextlib.contextmanager
def interrupts_held() -> Iterator[None]:
    """Ctrl+C waits until the end of the `with` block."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class Follow:
    """Follows a run that this terminal starts, or one that is already running.

    Inside its `with` block Ctrl+C interrupts the run, even before the supervisor has started.

    Args:
        folder: of the run.
        stays: the dashboard stays open at the run's end until the user leaves it.
    """

    def __init__(self, folder: Path, *, stays: bool = True) -> None:
        self.folder, self._stays = folder, stays
        self.supervisor: subprocess.Popen[bytes] | None = None
        """The run's supervisor, if this process started it."""
        self.left: ExitCode | None = None
        """The run's exit code, if the user ended it from here."""
        self._interrupts = 0
        self._drawing = False

    @property
    def code(self) -> ExitCode | None:
        """How the supervisor ended, or else what the user chose; None: it was killed or has a bug."""
        code = self.supervisor.returncode if self.supervisor is not None else None
        known = {member.value: member for member in ExitCode if member != ExitCode.BUG}
        return self.left if code is None else known.get(code, self.left)

    def __enter__(self) -> Self:
        self._before = signal.signal(signal.SIGINT, self._interrupted)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        signal.signal(signal.SIGINT, self._before)

    @contextlib.contextmanager
    def farewell(self) -> Iterator[None]:
        """SIGTERM and SIGHUP end this process, which first says that the run goes on; `nohup` still holds."""
        numbers = [n for n in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(n) is signal.SIG_DFL]
        for number in numbers:
            signal.signal(number, self._leave)
        try:
            yield
        finally:
            for number in numbers:
                signal.signal(number, signal.SIG_DFL)

    def _leave(self, number: int, _frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)
        if self._alive():
            _say(_goes_on(self.folder))
        os.kill(os.getpid(), number)

    def watch(self, mode: Mode) -> bool:
        """Show the run; True when it has ended, False when the user left it running."""
        if self._interrupts:  # before the supervisor had started
            self._stop("interrupt")
        if mode == "dashboard":
            match self._draw():
                case "detach":
                    print_detached(self.folder)
                    return False
                case "stop":
                    self._stop("stop")
            mode = "json"  # the rest of the wait is silent
        self._wait(mode)
        return True

    def _draw(self) -> str | None:
        """Show the dashboard until the user leaves it; it handles Ctrl+C itself."""
        from grambench.tui.app import show

        if self._interrupts:
            return None
        self._drawing = True
        try:
            return show(self.folder, stays=self._stays)
        finally:
            self._drawing = False

    def _wait(self, mode: Mode) -> None:
        """Wait for the supervisor; the first Ctrl+C ends the run after its step, the second one at once."""
        from grambench.views.console import PlainPrinter

        printer = PlainPrinter(sys.stderr) if mode == "plain" else None
        reader = RunReader(self.folder)
        while True:
            alive = self._alive()
            if reader.poll() and printer is not None:
                printer.update(reader.state)
            if not alive:
                return
            time.sleep(_POLL_S)

    def _alive(self) -> bool:
        if self.supervisor is not None:
            return self.supervisor.poll() is None
        return supervisor_of(self.folder) is not None

    def _interrupted(self, _signal: int, _frame: FrameType | None) -> None:
        self._interrupts += 1
        if self._interrupts == 1 and not self._drawing:
            _say("interrupted: stopping after the current step; Ctrl+C again stops at once")
        self._stop("interrupt")

    def _stop(self, how: Literal["interrupt", "stop"]) -> None:
        """Interrupt it, so that it can be resumed, or end it for good."""
        self.left = ExitCode.INTERRUPTED if how == "interrupt" else ExitCode.STOPPED
        number = signal.SIGINT if self._interrupts > 1 else signal.SIGTERM  # two of a kind may arrive as one
        if how == "stop":
            with contextlib.suppress(ConfigError):  # it has just ended
                send(self.folder, Command("stop"))
        elif self.supervisor is not None:
            if self.supervisor.poll() is None:
                self.supervisor.send_signal(number)
        elif (process := supervisor_of(self.folder)) is not None:
            process.send_signal(number)


def _say(line: str) -> None:
    """A line from a signal handler, past the buffer of stderr, whose write may be what the signal met."""
    with contextlib.suppress(OSError):
        os.write(sys.stderr.fileno(), f"\n{line}\n".encode())


def print_detached(folder: Path) -> None:
    """Say how to watch or stop a run that keeps running."""
    say(_goes_on(folder), err=True)


def _goes_on(folder: Path) -> str:
    name, run = safe_text(folder.name), named(folder)
    return f"{name} keeps running: `grambench watch {run}` shows it, `grambench stop {run}` ends it"


def in_foreground(
    folder: Path, *, quiet: bool, exports: Sequence[str] = (), ranks: "Ranks | None" = None
) -> ExitCode | None:
    """Supervise the run in this process, with lines on stderr; it ends with the terminal."""
    from grambench.runner.__main__ import main
    from grambench.views.console import PlainPrinter

    printer, reader, done = PlainPrinter(sys.stderr), RunReader(folder), threading.Event()

    def print_lines() -> None:
        while True:
            over = done.wait(_POLL_S)
            if reader.poll():
                printer.update(reader.state)
            if over:
                return

    thread = threading.Thread(target=print_lines, name="printer", daemon=True)
    if not quiet:
        thread.start()
    code = main(folder, foreground=True, exports=exports, ranks=ranks)
    done.set()
    if not quiet:
        thread.join()
    return ExitCode(code) if code in set(ExitCode) else None


def resume_command(folder: Path) -> str:
    """The command that resumes the run from the current folder."""
    return f"grambench {'tune' if is_tuning(folder) else 'run'} --resume {named(folder)}"


def named(folder: Path) -> str:
    """What names a run in a command that is given in the current folder."""
    return safe_text(folder.name if folder.parent == Path("runs").resolve() else folder, 1000)


def view(plain: bool) -> Mode:
    """The dashboard on a terminal that can draw it (Textual itself does not check), else and in CI lines."""
    drawn = on_dashboard_terminal() and not plain and not os.environ.get("CI")
    return "dashboard" if drawn else "plain"


def finish(
    folder: Path, *, as_json: bool, left: ExitCode | None, fail_on: "Sequence[tuple[str, Condition]]" = ()
) -> None:
    """Print the results of an ended run and exit with its code.

    Args:
        folder: the run.
        as_json: print only the report.
        left: exit code if the user ended it or its log has no end, perhaps not even a line.
        fail_on: conditions of which none may hold, if the run ended as it should.

    Raises:
        typer.Exit: always, with the run's exit code, or that of a condition that holds.
        ConfigError: a condition needs a number that the report does not have.
    """
    from grambench.cli.fail_on import exit_if_any_holds
    from grambench.cli.failure import complain
    from grambench.reports.build import build_report, report_json, write_report
    from grambench.reports.namespace import numbers_of
    from grambench.reports.verdict import verdict_of

    state = read_run(folder)
    try:
        path = str(write_report(folder))
    except OSError as error:
        name = folder.name
        path = f"not written ({error.strerror or error}); `grambench report {name}` shows it"
    if as_json:
        say_json(report_json(build_report(folder)))
    else:
        _print_results(state, path, verdict_of(state, folder))
    code = state.exit_code if state.exit_code is not None else int(left or ExitCode.BUG)
    if causes := [*_causes(folder, state, code)]:
        if as_json:
            causes = [" ".join(causes)]
        for cause in causes:
            complain(cause, code=code)
    if code == ExitCode.OK and fail_on:
        exit_if_any_holds(fail_on, [("", *numbers_of(build_report(folder)))])
    raise typer.Exit(code)


def _print_results(state: RunState, report: str, verdict: "Verdict") -> None:
    from grambench.analysis.ranking import ranking_sentence
    from grambench.cli.screen import wide_screen
    from grambench.events.disturbance import disturbances
    from grambench.views.comparison_table import own_settings, tuning_line
    from grambench.views.console import (
        predictions_lines,
        ranks_lines,
        self_words,
        summary_table,
        vectors_line,
        verdict_lines,
    )
    from grambench.views.numbers import tolerance

    console = wide_screen()
    if any(trial.progress for trial in state.trials.values()):
        console.print(summary_table(state, console.width))
        _print_wrapped([tuning_line(state)], console.width)
    for label, words in own_settings(state).items():
        say(f"{label}: {words}")
    won = ranking_sentence(verdict.places, state.metric.title)
    _print_wrapped(verdict_lines(verdict.compared, verdict.grade, won), console.width)
    disturbed = [f"{t.name}: {each.message}" for t in state.trials.values() for each in disturbances(t)]
    for words in disturbed[:_WARNINGS_SHOWN]:
        say(f"warning: {words}")
    if len(disturbed) > _WARNINGS_SHOWN:
        say(f"warning: … and {len(disturbed) - _WARNINGS_SHOWN} more in report.json")
    for line in predictions_lines(state):
        say(line)
    audit = state.setup.audit
    if audit is not None:
        equivalent = "equivalent" if audit.equivalent else "not equivalent"
        worst, itself = tolerance(audit.relative), self_words(audit)
        itself += f"; tolerance {tolerance(audit.tolerance)}" if itself else ""
        say(f"audit: gram-1s and e2e are {equivalent} (largest relative difference {worst}{itself})")
        for line in ranks_lines(audit):
            say(f"audit: {line}")
        for name in audit.unequal:
            say(f"audit: {safe_text(name, 40)} claims e2e's update, but does NOT have it")
    if state.setup.encoder is not None:
        say(vectors_line(state.setup.encoder))
    for message in state.warnings.values():
        say(f"warning: {safe_text(message, 1000)}")
    say(f"report: {report}")


def _print_wrapped(lines: list[str], width: int) -> None:
    """On a terminal within its width; elsewhere each line stays one, for programs that read it."""
    for line in filter(None, lines):
        say(textwrap.fill(line, width, subsequent_indent="    ") if sys.stdout.isatty() else line)


def _fault_of_disk(folder: Path) -> str:
    """Why nothing can be written into a run's folder; empty: it can."""
    try:
        require_room(folder)
    except OSError as error:
        return f"The log of the run cannot be written: {error.strerror or error}"
    return ""


def _why_unfinished(folder: Path, code: int) -> str:
    """Why a supervisor ended before its run did; its own log holds its last words."""
    log = folder / "supervisor.log"
    if fault := _fault_of_disk(folder):
        return f"{fault}. Free some space, then resume it with `{resume_command(folder)}`."
    with contextlib.suppress(OSError):
        if code != ExitCode.BUG and (said := read_regular(log).decode(errors="replace").splitlines()):
            return safe_text(said[-1], 1000)
    return f"The supervisor ended before the run did; see {log}."


def _causes(folder: Path, state: RunState, code: int) -> Iterator[str]:
    """Why the exit code is not 0, one sentence per failure."""
    from grambench.runner.supervisor import NO_ROOM

    if code == ExitCode.INTERRUPTED:
        if why := state.warnings.get(NO_ROOM) or _fault_of_disk(folder):
            yield f"{safe_text(why[:1].upper() + why[1:], 1000)}."
        yield f"Interrupted; resume it with `{resume_command(folder)}`."
    if code in (ExitCode.OK, ExitCode.STOPPED, ExitCode.INTERRUPTED):
        return
    if state.setup.outcome == "failed":
        yield safe_text(state.setup.reason, 1000)
    elif not state.finished:
        yield _why_unfinished(folder, code)
    for trial in state.trials.values():
        if trial.outcome in ("failed", "diverged"):
            yield f"{trial.name} {trial.outcome}: {safe_text(trial.reason, 1000)}"
