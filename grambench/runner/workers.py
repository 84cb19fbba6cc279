"""One worker process, in its own session: one pipe carries its turns, another its messages."""

import contextlib
import os
from pathlib import Path

from grambench.events.control import Ending, Grant, Hold, Lines, Message, Stop, encode
from grambench.fs import open_owned, own_folder, read_regular
from grambench.runner.rundir import read_spec
from grambench.runner.starts import PlainStart, Start, Streams, worker_environment

LOG = "worker.log"
_TAIL_BYTES = 4096


class Worker:
    """A running `python -m grambench.worker`."""

    def __init__(self, run: Path, trial: str, device: str | None = None, start: Start | None = None) -> None:
        """Start the process; its output goes to `<trial>/worker.log`.

        `device`: in place of the specification's. `start`: how to start it; None: a plain start.

        Raises:
            OSError: the process or its log cannot be made.
        """
        self.trial = trial
        folder = run / trial
        own_folder(folder)
        self._log = folder / LOG
        role = ["setup", str(run)] if trial == "setup" else ["trial", str(run), trial]
        start = start or PlainStart(worker_environment(read_spec(run)[1]))
        self.read_fd, heartbeat = os.pipe()
        stdin, self._write_fd = os.pipe()
        os.set_blocking(self.read_fd, False)
        self._lines = Lines()
        words = [*role, str(heartbeat), *([device] if device else [])]
        try:
            with os.fdopen(open_owned(self._log), "ab") as log:
                self._process = start(words, Streams(stdin, log.fileno(), heartbeat))
        except BaseException:
            self.close()
            raise
        finally:
            os.close(heartbeat)
            os.close(stdin)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def grant(self, turn: int, seconds: float | None = None) -> None:
        """Let it train; 0 seconds: warm up."""
        self._send(Grant(turn, seconds))

    def hold(self) -> None:
        """Make it pause before its next step."""
        self._send(Hold())

    def stop(self, how: Ending) -> None:
        """Make it end after the current step."""
        self._send(Stop(how))

    def messages(self) -> list[Message]:
        """Its messages since the last call."""
        try:
            data = os.read(self.read_fd, 1 << 16)
        except OSError:  # no data, or the pipes are closed
            return []
        return self._lines.feed(data)

    def terminate(self) -> None:
        """Kill it and its children."""
        self._process.kill()

    def wait(self, timeout_s: float) -> int | None:
        """Its exit code, or None if it has not ended within the time."""
        return self._process.wait(timeout_s)

    def close(self) -> None:
        """Close the pipes."""
        for ours in (self.read_fd, self._write_fd):
            if ours >= 0:
                os.close(ours)
        self.read_fd = self._write_fd = -1

    def log_tail(self) -> str:
        """The last lines of its output."""
        try:
            return read_regular(self._log)[-_TAIL_BYTES:].decode(errors="replace")
        except OSError:
            return ""

    def _send(self, message: Message) -> None:
        with contextlib.suppress(OSError):  # it has ended; its exit code tells how
            os.write(self._write_fd, encode(message))
