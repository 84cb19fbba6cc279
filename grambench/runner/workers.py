"""One worker process: started in its own session, told its turns over a pipe, heard over another."""

import contextlib
import os
from pathlib import Path

from grambench.events.control import Ending, Grant, Hold, Lines, Message, Stop, encode
from grambench.runner.rundir import read_spec
from grambench.runner.starts import PlainStart, Start, Streams, worker_environment

LOG = "worker.log"
_TAIL_BYTES = 4096


class Worker:
    """A running `python -m grambench.worker`."""

    def __init__(self, run: Path, trial: str, device: str | None = None, start: Start | None = None) -> None:
        """Start the process; its output goes to `<trial>/worker.log`.

        `device`: instead of the specification's. `start`: how; None: plainly.

        Raises:
            OSError: the process or its log cannot be made.
        """
        self.trial = trial
        folder = run / trial
        folder.mkdir(exist_ok=True)
        self._log = folder / LOG
        role = ["setup", str(run)] if trial == "setup" else ["trial", str(run), trial]
        start = start or PlainStart(worker_environment(read_spec(run)[1]))
        self.hears, pulse = os.pipe()
        stdin, self._tells = os.pipe()
        os.set_blocking(self.hears, False)
        self._lines = Lines()
        words = [*role, str(pulse), *([device] if device else [])]
        try:
            with self._log.open("ab") as log:
                self._process = start(words, Streams(stdin, log.fileno(), pulse))
        except BaseException:
            self.close()
            raise
        finally:
            os.close(pulse)
            os.close(stdin)

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
        self._process.kill()

    def wait(self, timeout_s: float) -> int | None:
        """Its exit code, or None if it has not ended within the time."""
        return self._process.wait(timeout_s)

    def close(self) -> None:
        """Give up the pipes."""
        for ours in (self.hears, self._tells):
            if ours >= 0:
                os.close(ours)
        self.hears = self._tells = -1

    def log_tail(self) -> str:
        """The last lines of its output."""
        try:
            return self._log.read_bytes()[-_TAIL_BYTES:].decode(errors="replace")
        except OSError:
            return ""

    def _send(self, message: Message) -> None:
        with contextlib.suppress(OSError):  # it has ended; its exit code tells how
            os.write(self._tells, encode(message))
