"""One worker process: started in its own session, told its turns over a pipe."""

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

from grambench.events.control import Grant, Hold, Message, Stop, encode

LOG = "worker.log"
_TAIL_BYTES = 4096


class Worker:
    """A running `python -m grambench.worker`."""

    def __init__(self, run: Path, trial: str) -> None:
        """Start the process; its output goes to `<trial>/worker.log`.

        Raises:
            OSError: the process or its log cannot be made.
        """
        self.trial = trial
        folder = run / trial
        folder.mkdir(exist_ok=True)
        self._log = folder / LOG
        role = ["setup", str(run)] if trial == "setup" else ["trial", str(run), trial]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "grambench.worker", *role],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
            )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def grant(self, turn: int) -> None:
        """Let it train."""
        self._send(Grant(turn))

    def hold(self) -> None:
        """Let it pause before its next step."""
        self._send(Hold())

    def stop(self) -> None:
        """Let it end after the step under way."""
        self._send(Stop())

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
        """Give up the pipe."""
        with contextlib.suppress(OSError):
            assert self._process.stdin is not None
            self._process.stdin.close()

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
