"""The worker's end of the control pipe."""

import os
import threading

from grambench.events.control import Grant, Hold, Stop, decode


class PipeTurn:
    """Follows the runner's messages on a pipe; the pipe's end counts as `Stop`."""

    def __init__(self, descriptor: int) -> None:
        """`descriptor`: the pipe's end for reading. Read raw: a buffered reader that waits in a
        daemon thread holds a lock that the interpreter needs to shut down.
        """
        self._descriptor = descriptor
        self._granted = threading.Event()
        self._stop = threading.Event()
        threading.Thread(target=self._listen, name="control", daemon=True).start()

    def must_wait(self) -> bool:
        """True while the turn is withheld."""
        return not self._granted.is_set()

    def wait(self) -> None:
        """Return once a turn is granted or the trial is to stop."""
        self._granted.wait()

    def must_stop(self) -> bool:
        """True after `Stop` or the end of the pipe."""
        return self._stop.is_set()

    def _listen(self) -> None:
        rest = b""
        while not self._stop.is_set() and (data := os.read(self._descriptor, 4096)):
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                self._obey(line)
        self._stop.set()
        self._granted.set()

    def _obey(self, line: bytes) -> None:
        match decode(line):
            case Grant():
                self._granted.set()
            case Hold():
                self._granted.clear()
            case Stop():
                self._stop.set()
