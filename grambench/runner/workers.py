"""One worker process: started in its own session, told its turns over a pipe, heard over another."""

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

from grambench.events.control import Ending, Grant, Hold, Lines, Message, Stop, encode

LOG = "worker.log"
_TAIL_BYTES = 4096


class Worker:
    """A running `python -m grambench.worker`."""

    def __init__(self, run: Path, trial: str, device: str | None = None) -> None:
        """Start the process; its output goes to `<trial>/worker.log`.

        `device`: instead of the specification's.

        Raises:
            OSError: the process or its log cannot be made.
        """
        self.trial = trial
        folder = run / trial
        folder.mkdir(exist_ok=True)
        self._log = folder / LOG
        role = ["setup", str(run)] if trial == "setup" else ["trial", str(run), trial]
        self.hears, theirs = os.pipe()
        os.set_blocking(self.hears, False)
        self._lines = Lines()
        words = [*role, str(theirs), *([device] if device else [])]
        try:
            with self._log.open("ab") as log:
                self._process = subprocess.Popen(
                    [sys.executable, "-P", "-m", "grambench.worker", *words],
                    stdin=subprocess.PIPE,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    pass_fds=(theirs,),
                    env={**os.environ, "PYTHONUNBUFFERED": "1"},
                )
        except BaseException:
            os.close(self.hears)
            raise
        finally:
            os.close(theirs)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def grant(self, turn: int, seconds: float | None = None) -> None:
        """Let it train; 0 seconds: make ready."""
        self._send(Grant(turn, seconds))

    def hold(self) -> None:
        """Let it pause before its next step."""
        self._send(Hold())

    def stop(self, how: Ending) -> None:
        """Let it end after the step under way."""
        self._send(Stop(how))

    def messages(self) -> list[Message]:
        """What it has said since the last call."""
        try:
            data = os.read(self.hears, 1 << 16)
        except OSError:  # nothing, or the pipes are closed
            return []
        return self._lines.feed(data)

    def terminate(self) -> None:
        """End it and its children now."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def wait(self, timeout_s: float) -> int | None:
        """Its exit code, or None if it has not ended within the time."""
        try:
            return self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None

    def close(self) -> None:
        """Give up the pipes."""
        with contextlib.suppress(OSError):
            assert self._process.stdin is not None
            self._process.stdin.close()
        if self.hears >= 0:
            os.close(self.hears)
            self.hears = -1

    def log_tail(self) -> str:
        """The last lines of its output."""
        try:
            return self._log.read_bytes()[-_TAIL_BYTES:].decode(errors="replace")
        except OSError:
            return ""

    def _send(self, message: Message) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):  # it has ended; its exit code tells how
            self._process.stdin.write(encode(message))
            self._process.stdin.flush()
