"""The supervisor's side of the preload process, which forks workers (`grambench/worker/preload.py`)."""

import contextlib
import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from grambench.fs import open_owned, read_regular

LOG = "preload.log"
_ANSWER_BYTES = 4096
_FORK_S = 20.0
"""Timeout of a fork in seconds; after it the preload process is abandoned."""
_END_S = 2.0
_LOOK_S = 0.01
_PADDING = "-" * 256
"""Space for the arguments of workers, which replace the preload process's own in `ps`."""
_SET_CHILD_SUBREAPER, _GET_CHILD_SUBREAPER = 36, 37
"""An option of prctl(2)."""


class PreloadError(Exception):
    """The preload process cannot fork workers (any more)."""


class Preload:
    """A running preload process."""

    def __init__(self, run: Path, environment: dict[str, str]) -> None:
        """Start it; its output goes to `preload.log`.

        Raises:
            OSError: the process, its socket or its log cannot be made.
        """
        self._log = run / LOG
        self._began_s = time.monotonic()
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        number = str(theirs.fileno())
        try:
            with theirs, os.fdopen(open_owned(self._log), "ab") as log:
                self._log_begin = log.tell()  # a resumed run appends to an older log
                self._process = subprocess.Popen(
                    [sys.executable, "-P", "-m", "grambench.worker", "preload", number, str(run), _PADDING],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    pass_fds=(theirs.fileno(),),
                    env=environment,
                )
        except BaseException:
            self._socket.close()
            raise

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def loaded(self, timeout_s: float) -> float | None:
        """The seconds that loading took; None: it has not loaded everything within the timeout.

        Raises:
            PreloadError: it has ended, or cannot be forked.
        """
        answer = self._receive(timeout_s)
        if answer is None:
            return None
        if not answer["ready"]:
            raise PreloadError(answer["reason"])
        return time.monotonic() - self._began_s

    def fork(self, arguments: Sequence[str], stdin: int, log: int, heartbeat: int) -> "Forked":
        """Fork a worker with these arguments and descriptors, as a child of this process.

        Raises:
            PreloadError: no worker has started, nor will one start later.
        """
        request = json.dumps({"arguments": list(arguments), "number": heartbeat}).encode()
        gate, opens = os.pipe()
        try:
            with _adopting_orphans():
                socket.send_fds(self._socket, [request], [stdin, log, heartbeat, gate])
                answer = self._receive(_FORK_S)
            if answer is None:
                raise PreloadError(f"it has not answered within {_FORK_S:.0f} s")
            if "pid" not in answer:
                raise PreloadError(answer["reason"])
            forked = Forked(answer["pid"])
            with contextlib.suppress(BrokenPipeError):  # it has ended; its exit code tells how
                os.write(opens, b"\n")
            return forked
        except OSError as error:
            raise PreloadError(self._end() or error.strerror or str(error)) from error
        finally:  # a worker whose gate was not opened ends when it is closed
            os.close(gate)
            os.close(opens)

    def close(self) -> None:
        """End it; the workers that it has forked keep running."""
        self._socket.close()
        self._process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_END_S)

    def _receive(self, timeout_s: float) -> dict[str, Any] | None:
        """Its next reply, or None if there is none within the time.

        Raises:
            PreloadError: it has ended.
        """
        self._socket.settimeout(timeout_s)
        try:
            answer = self._socket.recv(_ANSWER_BYTES)
        except (TimeoutError, BlockingIOError):
            return None
        except ConnectionResetError:
            answer = b""
        if not answer:
            raise PreloadError(self._end() or "it has closed its socket")
        found: dict[str, Any] = json.loads(answer)
        return found

    def _end(self) -> str:
        """How it ended, with the last line of its log; empty: it is running."""
        try:
            code = self._process.wait(_END_S)
        except subprocess.TimeoutExpired:
            return ""
        said = read_regular(self._log)[self._log_begin :].decode(errors="replace")
        last = said.strip().rpartition("\n")[2][-200:]
        return f"it ended with {f'signal {-code}' if code < 0 else f'exit code {code}'}{last and ': '}{last}"


class Forked:
    """A worker that is this process's child although another process forked it."""

    def __init__(self, pid: int) -> None:
        """
        Raises:
            ChildProcessError: it is not this process's child.
        """
        self.pid = pid
        self._code: int | None = None
        self._has_ended()

    def pids(self) -> list[int]:
        """This process alone."""
        return [self.pid]

    def wait(self, timeout_s: float) -> int | None:
        """Its exit code (negative: the signal that ended it), or None if it has not ended within the time."""
        deadline_s = time.monotonic() + timeout_s
        while self._code is None:
            if self._has_ended():
                self.kill()  # the rest of its group, while the pid is still its own
                self._code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
            elif (left_s := deadline_s - time.monotonic()) > 0:
                time.sleep(min(_LOOK_S, left_s))
            else:
                return None
        return self._code

    def kill(self) -> None:
        """Kill it and its group; does nothing once its exit code was read: the pid may have been reused."""
        if self._code is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)

    def _has_ended(self) -> bool:
        """Whether its exit code can be read; does not read it."""
        return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


@contextlib.contextmanager
def _adopting_orphans() -> Iterator[None]:
    """Within the block, orphans among this process's descendants become its children, not init's.

    Raises:
        OSError: the system does not allow it.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    before = ctypes.c_int()
    libc.prctl(_GET_CHILD_SUBREAPER, ctypes.byref(before), 0, 0, 0)
    if libc.prctl(_SET_CHILD_SUBREAPER, ctypes.c_ulong(1), 0, 0, 0):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    try:
        yield
    finally:
        libc.prctl(_SET_CHILD_SUBREAPER, ctypes.c_ulong(before.value), 0, 0, 0)
