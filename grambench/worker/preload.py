"""The preload process: it loads the libraries once and forks a worker for every request.

Started as `python -P -m grambench.worker preload SOCKET RUN PADDING`. It never touches a GPU, has one thread
and ends with its supervisor, whose end closes the socket. `grambench/runner/preload.py` is the other side.

A request is one datagram: JSON with the worker's arguments and the number of its heartbeat descriptor, and
four descriptors. The worker is forked by an intermediate process that ends at once, so that the supervisor,
not this process, becomes its parent.
"""

import json
import os
import socket
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from grambench.worker.forked import Work, run_as_process, show_arguments, take_descriptors
from grambench.worker.main import main, quiet_libraries

_REQUEST_BYTES = 1 << 16
_DESCRIPTORS = 4
_CUDA_FILES = "/dev/nvidia"
"""Prefix of the device files that the CUDA driver keeps open once it is initialised."""


@dataclass(frozen=True, slots=True)
class Request:
    """A worker to fork."""

    arguments: list[str]
    number: int
    """Of the heartbeat descriptor in the worker, as in its arguments."""
    stdin: int
    log: int
    heartbeat: int
    gate: int
    """The worker waits here for a byte: the supervisor knows of it. The end of the pipe: it gave up."""

    def close(self) -> None:
        """Close the descriptors, which only the worker needs."""
        for each in (self.stdin, self.log, self.heartbeat, self.gate):
            os.close(each)


def load_libraries() -> None:
    """Import what workers use."""
    import tokenizers  # noqa: F401
    from transformers import AutoConfig, AutoModel, AutoTokenizer, BertModel  # noqa: F401

    import grambench.worker.examine
    import grambench.worker.trial
    import grambench.worker.warnings  # noqa: F401


def serve(arguments: Sequence[str], load: Callable[[], None] = load_libraries, work: Work = main) -> int:
    """Fork a worker for every request until the supervisor's end of the socket is closed.

    Args:
        arguments: the socket's descriptor, the run's folder (for `ps`), and padding that leaves space for the
            arguments of workers.
        load: imports the libraries.
        work: a worker's main function.
    """
    descriptor, run, *_ = arguments
    show_arguments(["preload", descriptor, run])
    quiet_libraries()
    load()
    obstacle = _obstacle()
    with socket.socket(fileno=int(descriptor)) as requests:
        _send(requests, {"ready": not obstacle, "reason": obstacle})
        while not obstacle and (request := _receive(requests)):
            try:
                _send(requests, _fork(requests, request, work))
            finally:
                request.close()
    return 0


def _obstacle() -> str:
    """Why this process must not be forked; empty: it can be."""
    threads = len(list(Path("/proc/self/task").iterdir()))
    if threads > 1:
        return f"a library has started threads, which a fork would lack: {threads - 1}"
    for descriptor in Path("/proc/self/fd").iterdir():
        target = descriptor.resolve()
        if str(target).startswith(_CUDA_FILES):
            return f"a library has opened {target}, and CUDA does not survive a fork"
    return ""


def _receive(requests: socket.socket) -> Request | None:
    """The next request; None once the supervisor's end is closed."""
    try:
        message, received, _, _ = socket.recv_fds(requests, _REQUEST_BYTES, _DESCRIPTORS)
    except ConnectionResetError:  # closed with unread data
        return None
    if not message:
        return None
    fields: dict[str, Any] = json.loads(message)
    stdin, log, heartbeat, gate = received
    return Request(fields["arguments"], fields["number"], stdin, log, heartbeat, gate)


def _send(requests: socket.socket, answer: dict[str, object]) -> None:
    try:
        requests.send(json.dumps(answer).encode())
    except BrokenPipeError:  # the supervisor has ended, as the next receive will show
        return


def _fork(requests: socket.socket, request: Request, work: Work) -> dict[str, object]:
    """Fork a worker; returns its process id, or the reason why that failed."""
    told, tells = os.pipe()
    try:
        if not (intermediate := os.fork()):
            requests.close()  # else the supervisor would not notice the end of the preload process
            _fork_again(request, tells, work)
    except OSError as error:
        os.close(tells)
        os.close(told)
        return {"reason": f"no process could be forked: {error.strerror}"}
    os.close(tells)
    os.waitpid(intermediate, 0)  # from here on, the worker is the supervisor's child
    pid = os.read(told, 32)
    os.close(told)
    return {"pid": int(pid)} if pid else {"reason": "no process could be forked"}


def _fork_again(request: Request, tells: int, work: Work) -> NoReturn:
    """The intermediate process: fork the worker and end."""
    code = 1
    try:
        if os.fork():
            code = 0
        else:
            _become_worker(request, tells, work)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def _become_worker(request: Request, tells: int, work: Work) -> None:
    """Send the process id, and do the work once the supervisor has it; else return."""
    os.setsid()
    os.write(tells, b"%d" % os.getpid())
    os.close(tells)
    if os.read(request.gate, 1):
        take_descriptors(request.stdin, request.log, request.heartbeat, request.number)
        run_as_process(request.arguments, work)
