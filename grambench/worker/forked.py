"""Makes a forked process like one that was started separately: descriptors, arguments, exit code."""

import contextlib
import ctypes
import fcntl
import os
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

Work = Callable[[list[str]], int]
"""A worker's main function: arguments -> exit code."""
_ARGUMENTS_START, _ARGUMENTS_END = 45, 46
"""Of /proc/PID/stat, counted from the field after the name."""


def take_descriptors(stdin: int, log: int, heartbeat: int, number: int) -> None:
    """Make `stdin` and `log` the standard streams and `heartbeat` descriptor `number`; close all others."""
    apart = [fcntl.fcntl(each, fcntl.F_DUPFD, number + 1) for each in (stdin, log, heartbeat)]
    for source, target in zip((apart[0], apart[1], apart[1], apart[2]), (0, 1, 2, number), strict=True):
        os.dup2(source, target)
    os.closerange(3, number)
    os.closerange(number + 1, max(int(each.name) for each in Path("/proc/self/fd").iterdir()) + 1)


def show_arguments(arguments: Sequence[str]) -> None:
    """Let `ps` and /proc/PID/cmdline show these arguments, cut to the length of the old ones.

    The old arguments are overwritten where the kernel reads them. Python has its own copies.
    """
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    start, end = int(fields[_ARGUMENTS_START]), int(fields[_ARGUMENTS_END])
    interpreter = sys.orig_argv[: -len(sys.argv[1:]) or None]
    words = "\0".join([*interpreter, *arguments]).encode(errors="surrogateescape")
    if start and end > start:
        ctypes.memmove(start, words[: end - start - 1].ljust(end - start, b"\0"), end - start)


def run_as_process(arguments: list[str], work: Work) -> NoReturn:
    """Do a worker's work and end the process as the interpreter would, but without exit handlers.

    The registered ones belong to the process that was forked.
    """
    _start_plainly_if_cuda_is_lost(arguments)
    show_arguments(arguments)
    sys.argv[1:] = arguments
    if (numpy := sys.modules.get("numpy")) is not None:  # `random` reseeds itself
        numpy.random.seed()
    code = 1
    try:
        code = work(arguments)
    except SystemExit as error:
        code = _exit_code(error)
    except KeyboardInterrupt:
        traceback.print_exc()
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    except BaseException:
        traceback.print_exc()
    finally:
        _flush()
        os._exit(code)


def _start_plainly_if_cuda_is_lost(arguments: list[str]) -> None:
    """If CUDA was initialised before the fork, replace this process by a worker that loads the libraries."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda._is_in_bad_fork():
        print(  # noqa: T201 - goes to worker.log
            "grambench: CUDA was initialised before the fork; this worker loads the libraries itself",
            file=sys.stderr,
            flush=True,
        )
        os.execv(sys.executable, [sys.executable, "-P", "-m", "grambench.worker", *arguments])


def _exit_code(error: SystemExit) -> int:
    """The exit code that the interpreter gives a SystemExit."""
    if error.code is None or isinstance(error.code, int):
        return (error.code or 0) & 0xFF
    print(error.code, file=sys.stderr)  # noqa: T201 - as the interpreter does
    return 1


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):  # full, or closed
            stream.flush()
    ctypes.CDLL(None).fflush(None)  # output of C libraries
