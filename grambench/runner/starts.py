"""How worker processes start: forked from one that has loaded the libraries, or each by itself."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from grambench.config.spec import Spec
from grambench.errors import ConfigError
from grambench.events import types as ev
from grambench.runner.preload import Preload, PreloadError

CHOICE = "GRAMBENCH_WORKER_START"
"""Environment variable: `fork` or `spawn`."""


class Process(Protocol):
    """A worker process, which leads a process group of its own."""

    @property
    def pid(self) -> int:
        """Its process id."""

    def pids(self) -> list[int]:
        """The processes that train: itself, or an agent and its ranks on this machine."""

    def wait(self, timeout_s: float) -> int | None:
        """Its exit code (negative: the signal that ended it), or None if it has not ended within the time."""

    def kill(self) -> None:
        """End it and its group now."""


@dataclass(frozen=True, slots=True)
class Streams:
    """Descriptors that a worker inherits; the caller closes them."""

    stdin: int
    log: int
    """For standard output and standard error."""
    heartbeat: int
    """The worker inherits it under the same number, which its arguments name."""


Start = Callable[[Sequence[str], Streams], Process]
"""Starts `python -m grambench.worker` with arguments and streams. Raises OSError on failure."""


def worker_environment(spec: Spec) -> dict[str, str]:
    """The environment variables of a run's workers, however they start; those set by the user win.

    Workers need neither OpenBLAS threads in numpy nor a background thread of pyarrow's allocator: without
    them the preload process has one thread and can be forked.
    """
    return {
        "OPENBLAS_NUM_THREADS": "1",
        "JE_ARROW_MALLOC_CONF": "background_thread:false",
        **os.environ,
        "PYTHONUNBUFFERED": "1",
    }


class PlainStart:
    """Starts a worker that loads the libraries itself."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._environment = environment

    def __call__(self, arguments: Sequence[str], streams: Streams) -> Process:
        """Start it; see `Start`."""
        return Spawned(
            subprocess.Popen(
                [sys.executable, "-P", "-m", "grambench.worker", *arguments],
                stdin=streams.stdin,
                stdout=streams.log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=(streams.heartbeat,),
                env=self._environment,
            )
        )


class Spawned:
    """A worker that `subprocess` has started."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self._process = process

    @property
    def pid(self) -> int:
        return self._process.pid

    def pids(self) -> list[int]:
        return [self.pid]

    def wait(self, timeout_s: float) -> int | None:
        try:
            return self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)


class WorkerStarts:
    """Starts the workers of one run: by fork while there is a preload process, else by spawning."""

    def __init__(self, run: Path, spec: Spec, emit: Callable[[ev.Event], None]) -> None:
        """Start the preload process, unless the environment chooses otherwise; it takes seconds to load.

        Raises:
            ConfigError: the environment names an unknown start method.
        """
        self._emit = emit
        environment = worker_environment(spec)
        self._plain = PlainStart(environment)
        self._preload: Preload | None = None
        if start_method() == "fork":
            try:
                self._preload = Preload(run, environment)
            except OSError as error:
                self._give_up(f"it cannot be started: {error.strerror}")
            else:
                emit(ev.Preloading(self._preload.pid))

    def are_ready(self, timeout_s: float) -> bool:
        """True once workers can be started; waits up to `timeout_s` for the libraries."""
        if self._preload is None:
            return True
        try:
            seconds = self._preload.loaded(timeout_s)
        except PreloadError as error:
            self._give_up(str(error))
            return True
        if seconds is not None:
            self._emit(ev.Preloading(self._preload.pid, seconds))
        return seconds is not None

    def __call__(self, arguments: Sequence[str], streams: Streams) -> Process:
        """Start a worker; see `Start`."""
        if self._preload is not None:
            try:
                return self._preload.fork(arguments, streams.stdin, streams.log, streams.heartbeat)
            except PreloadError as error:
                self._give_up(str(error))
        return self._plain(arguments, streams)

    def close(self) -> None:
        """End the preload process; its workers keep running."""
        if self._preload is not None:
            self._preload.close()
            self._preload = None

    def _give_up(self, reason: str) -> None:
        self.close()
        words = (
            f"workers are not forked but load the libraries themselves: the preload process failed ({reason})"
        )
        self._emit(ev.Warned("preload-failed", words))


def start_method() -> Literal["fork", "spawn"]:
    """How workers start: `$GRAMBENCH_WORKER_START`, else by fork where the system supports it.

    Raises:
        ConfigError: the variable has another value.
    """
    chosen = os.environ.get(CHOICE, "")
    if chosen not in ("", "fork", "spawn"):
        raise ConfigError(f"{CHOICE} is {chosen!r}.", "Set it to fork or spawn, or unset it.")
    return "fork" if chosen != "spawn" and sys.platform == "linux" else "spawn"
