"""Real `grambench` processes on data so small that starting them is what takes the time."""

import fcntl
import json
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import psutil

from grambench.events.reader import read_run
from grambench.events.state import RunState, TrialState

PRESET = """
extends = "demo"
name = "tiny"
schedule = "sequential"
cpu_threads = 1
data.synthetic = { news = 120, users = 80, train_impressions = 300, dev_impressions = 60, topics = 4 }
encoder.architecture = { hidden_size = 16, layers = 1, heads = 2, intermediate_size = 32 }
filter = { nrms = { heads = 2, query = 8 }, history = 5 }
training = { epochs = 2, batch_size = 32 }
"""
ENDLESS = ("--set", "training.epochs=100000", "--set", "training.patience=100000")
"""Settings of a run that only a signal ends."""
FAMILIES = ("e2e", "e2e-unique", "gram-1s", "gram-3s", "gram-0.5e", "gram-1e", "gram-auto")
MICRO_BATCH, CHUNK = 7, 20
"""Of the run with every family: small enough to divide its batches."""
PATIENCE_S = 900.0
"""Longest wait for anything: a slow machine is no failure."""

_T = TypeVar("_T")


def until(look: Callable[[], _T | None], what: str, timeout_s: float = PATIENCE_S) -> _T:
    """The first value of `look` that counts as true."""
    deadline = time.monotonic() + timeout_s
    while not (found := look()):
        assert time.monotonic() < deadline, f"waited {timeout_s:.0f} s for {what}"
        time.sleep(0.05)
    return found


def strict_json(text: str) -> Any:
    """Exactly one JSON document, without NaN and Infinity."""

    def refuse(constant: str) -> Any:
        raise ValueError(f"{constant} is no JSON")

    return json.loads(text, parse_constant=refuse)


def complaint(err: str) -> str:
    """The one sentence of an error on stderr; progress lines may stand before it."""
    assert "Traceback" not in err
    assert "\x1b" not in err
    *progress, last = err.splitlines()
    assert all(re.match(r"\[ *[\d:]+\] ", line) for line in progress), err
    assert last.startswith("grambench: "), err
    return last.removeprefix("grambench: ")


@dataclass
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str


@dataclass
class Command:
    """A `grambench` process whose output goes to files."""

    process: "subprocess.Popen[bytes]"
    streams: Path
    runs: Path

    @property
    def out(self) -> str:
        return self.streams.with_suffix(".out").read_text()

    @property
    def err(self) -> str:
        return self.streams.with_suffix(".err").read_text()

    @property
    def run(self) -> Path:
        """The folder of its run, once it is there."""
        return until(lambda: next((path.parent for path in self.runs.glob("*/run.json")), None), "a run")

    def wait(self, timeout_s: float = PATIENCE_S) -> Ended:
        return Ended(self.process.wait(timeout_s), self.out, self.err)

    def interrupt(self) -> None:
        self.process.send_signal(signal.SIGINT)

    def training(self, name: str, steps: int = 2) -> TrialState:
        """The trial, once it has trained some steps."""

        def look() -> TrialState | None:
            assert self.process.poll() is None, self.err
            return trained(self.run, name, steps)

        return until(look, f"{name} to train")


@dataclass
class Bench:
    """A folder with a preset, a cache and the runs of several commands, each in a folder of its own."""

    folder: Path
    commands: list[Command] = field(default_factory=list)
    variables: dict[str, str] = field(default_factory=dict)
    """Beside those of this process."""

    def __post_init__(self) -> None:
        self.preset = self.folder / "tiny.toml"
        self.preset.write_text(PRESET)

    @property
    def environment(self) -> dict[str, str]:
        """No hub, no proxy, a cache of its own."""
        dropped = (
            "http_proxy",
            "https_proxy",
            "HTTP_PROXY",
            "HTTPS_PROXY",
            "HF_TOKEN",
            "PYTHONPATH",
        )
        return {name: value for name, value in os.environ.items() if name not in dropped} | {
            "GRAMBENCH_CACHE": str(self.folder / "cache"),
            "HF_HOME": str(self.folder / "hub"),
            "HF_HUB_OFFLINE": "1",
            "CUDA_VISIBLE_DEVICES": "",
            **self.variables,
        }

    def start(self, *arguments: object) -> Command:
        """A command in the background, with neither stdin nor a terminal."""
        number = len(self.commands)
        streams, runs = self.folder / f"command-{number}", self.folder / f"runs-{number}"
        with streams.with_suffix(".out").open("wb") as out, streams.with_suffix(".err").open("wb") as err:
            process = subprocess.Popen(
                [grambench(), *map(str, self._with_out(arguments, runs))],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env=self.environment,
                cwd=self.folder,
                start_new_session=True,
            )
        self.commands.append(Command(process, streams, runs))
        return self.commands[-1]

    def run(self, *arguments: object) -> Command:
        """`grambench run` of the tiny preset in the background."""
        return self.start("run", "--preset", self.preset, *arguments)

    def call(self, *arguments: object) -> Ended:
        """A command from start to end."""
        return self.start(*arguments).wait()

    @staticmethod
    def _with_out(arguments: tuple[object, ...], runs: Path) -> tuple[object, ...]:
        own_out = arguments[0] == "run" and "--out" not in arguments
        return (*arguments, "--out", runs) if own_out else arguments

    @contextmanager
    def terminal(self, *arguments: object, columns: int = 80, lines: int = 24) -> Iterator["Terminal"]:
        """A command on a pseudo-terminal of its own."""
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        runs = self.folder / f"runs-terminal-{ours}-{time.monotonic_ns()}"
        process = subprocess.Popen(
            [sys.executable, "-c", _ON_TERMINAL, grambench(), *map(str, self._with_out(arguments, runs))],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=self.environment,
            cwd=self.folder,
            start_new_session=True,
        )
        os.close(theirs)
        terminal = Terminal(process, ours, runs)
        try:
            yield terminal
        finally:
            terminal.close()

    def end_everything(self) -> None:
        """Kill what tests have left: only processes that name this bench's folder."""
        for command in self.commands:
            with suppress(ProcessLookupError):
                command.process.kill()
            command.process.wait()
        for process in processes_of(self.folder):
            with suppress(psutil.Error):
                process.kill()


_ON_TERMINAL = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""
_SEQUENCE = re.compile(rb"\x1b(\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\)|[@-Z\\-_])")


class Terminal:
    """The far side of a pseudo-terminal."""

    def __init__(self, process: "subprocess.Popen[bytes]", descriptor: int, runs: Path) -> None:
        self.process, self.runs = process, runs
        self._descriptor = descriptor
        self.written = b""
        """Everything that was drawn, escape sequences included."""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        with suppress(OSError):  # the other side is closed
            while data := os.read(self._descriptor, 65536):
                self.written += data

    @property
    def text(self) -> str:
        """The same without escape sequences."""
        return _SEQUENCE.sub(b"", self.written).decode(errors="replace")

    @property
    def run(self) -> Path:
        """The folder of its run, once it is there."""
        return until(lambda: next((path.parent for path in self.runs.glob("*/run.json")), None), "a run")

    def type(self, keys: bytes) -> None:
        os.write(self._descriptor, keys)

    def until_drawn(self, what: bytes) -> None:
        until(lambda: what in self.written, f"{what!r} on the terminal; there is: {self.text[-2000:]}")

    def until_says(self, words: str) -> None:
        until(lambda: words in self.text, f"{words!r} on the terminal; there is: {self.text[-2000:]}")

    def wait(self, timeout_s: float = PATIENCE_S) -> int:
        return self.process.wait(timeout_s)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._reader.join(5)
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def grambench() -> str:
    """The installed command."""
    return str(Path(sys.executable).with_name("grambench"))


def trained(run: Path, name: str, steps: int) -> TrialState | None:
    """A trial that has trained at least so many steps."""
    trial = read_run(run).trials.get(name)
    return trial if trial is not None and trial.progress and trial.progress.step >= steps else None


def finished(run: Path) -> RunState | None:
    """The state of a run that has written its last event."""
    state = read_run(run)
    return state if state.finished else None


def processes_of(folder: Path) -> list[psutil.Process]:
    """Processes that name a folder, or a path inside it, on their command line."""
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        named = any(str(folder) in word for word in process.info["cmdline"] or [])
        if named and process.pid != os.getpid() and process.info["status"] != psutil.STATUS_ZOMBIE:
            found.append(process)
    return found


def worker_of(run: Path, trial: str) -> psutil.Process:
    """The worker process of a trial."""
    return next(process for process in processes_of(run) if trial in process.cmdline())


def supervisor_process(run: Path) -> psutil.Process:
    """The supervisor process of a run."""
    return next(process for process in processes_of(run) if "grambench.runner" in process.cmdline())


def assert_nothing_is_left(run: Path, timeout_s: float = 30.0) -> None:
    """Supervisor and workers of a run end by themselves."""
    until(lambda: not processes_of(run), f"the processes of {run.name} to end", timeout_s)


def report_of(run: Path) -> dict[str, Any]:
    """The run's report.json."""
    report: dict[str, Any] = strict_json((run / "report.json").read_text())
    return report
