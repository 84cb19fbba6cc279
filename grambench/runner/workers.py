"""One worker process, in its own session: a socket carries its turns and its messages."""

import contextlib
import os
import socket
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
        self._socket, theirs = socket.socketpair()
        self._socket.setblocking(False)
        self._lines = Lines()
        number = theirs.fileno()
        words = [*role, str(number), *([device] if device else [])]
        try:
            with theirs, os.fdopen(open_owned(self._log), "ab") as log:
                self._process = start(words, Streams(number, log.fileno(), number))
        except BaseException:
            self.close()
            raise

    @property
    def read_fd(self) -> int:
        """Readable when there are messages; -1: closed."""
        return self._socket.fileno()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def pids(self) -> list[int]:
        """Its process, and those of its ranks on this machine."""
        return self._process.pids()

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
            data = self._socket.recv(1 << 16)
        except OSError:  # no data, or the socket is closed
            return []
        return self._lines.feed(data)

    def terminate(self) -> None:
        """Kill it and its children."""
        self._process.kill()

    def wait(self, timeout_s: float) -> int | None:
        """Its exit code, or None if it has not ended within the time."""
        return self._process.wait(timeout_s)

    def close(self) -> None:
        """Close the socket, by which a worker that is still there learns that the runner is gone."""
        self._socket.close()

    def log_tail(self) -> str:
        """The last lines of its output."""
        try:
            return read_regular(self._log)[-_TAIL_BYTES:].decode(errors="replace")
        except OSError:
            return ""

    def _send(self, message: Message) -> None:
        with contextlib.suppress(OSError):  # it has ended; its exit code tells how
            self._socket.sendall(encode(message))
