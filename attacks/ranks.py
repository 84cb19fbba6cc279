"""Faults at random moments of a trial that three ranks train: whatever happens, it ends as if nothing had."""

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

from grambench.events.reader import read_run
from grambench.fs import sha256_file
from grambench.runner.agents import ranks_of
from grambench.runner.commands import Action, Command, send
from grambench.runner.rundir import supervisor_of

NAME = "ranks"
WHAT = "signals, kills, pauses, full disks and ends of turns at random moments of trials of three ranks"
PRESET = """
extends = "demo"
name = "tiny"
schedule = "sequential"
turn_s = 0.4
cpu_threads = 1
data.synthetic = { news = 120, users = 80, train_impressions = 300, dev_impressions = 60, topics = 4 }
encoder.architecture = { hidden_size = 16, layers = 1, heads = 2, intermediate_size = 32 }
filter = { nrms = { heads = 2, query = 8 }, history = 5 }
training = { strategies = ["gram-3s"], epochs = 12, patience = 99, batch_size = 32, checkpoint_s = 0.2 }
ranks.nproc = 3
"""
Fault = Callable[[Path, random.Random], None]
"""Does something to a run."""
RACE = ("--schedule", "race", "--strategies", "gram-3s,gram-1s")
"""Options of a race, whose turns end all the time."""
_TRIALS = ("gram-3s.s0", "gram-1s.s0")
_RACES = 0.25
"""Share of the rounds in which two strategies race."""
_FAULTS_AT_S = 6.0
"""Range of the moments, from the first step on."""
_WAIT_S = 300.0
_ROUNDS = 200
"""Of the whole attack; `--count` mutations of other modules stand for a share of it."""
_COUNT = 3000
"""The default of `--count`."""


def attack(count: int, seed: int) -> list[str]:
    """Rounds of one fault each; what was not as without it."""
    rng, found = random.Random(seed), list[str]()
    with folder() as place:
        wanted = weights(run_whole(place, "whole", *RACE))
        for number in range(max(1, count * _ROUNDS // _COUNT)):
            name = rng.choice([*FAULTS])
            said = one_round(place, f"{number}-{name}", name, rng, wanted)
            found += [f"round {number}, {name}: {fault}" for fault in said]
            print(f"  round {number}: {name}: {len(said)} faults", flush=True)
    return found


def one_round(place: Path, label: str, name: str, rng: random.Random, wanted: dict[str, str]) -> list[str]:
    """One run with one fault, resumed where it has to be; what is wrong with it."""
    options = RACE if rng.random() < _RACES else ()
    command = grambench("run", "--preset", place / "tiny.toml", "--plain", "--out", place / label, *options)
    with subprocess.Popen(command, **quiet(place)) as process:
        run = _wait(lambda: next((path.parent for path in (place / label).glob("*/run.json")), None))
        _wait(lambda: process.poll() is not None or _has_trained(run))
        time.sleep(rng.random() * _FAULTS_AT_S)
        FAULTS[name](run, rng)
        try:
            process.wait(_WAIT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            return ["it hangs"]
    faults = []
    if orphans := _left(run):
        faults.append(f"left {orphans}")
    if not all(trial.outcome == "completed" for trial in read_run(run).trials.values()):
        resumed = subprocess.run(
            grambench("run", "--resume", run, "--plain"), check=False, timeout=_WAIT_S, **quiet(place)
        )
        if resumed.returncode not in (0, 7):
            faults.append(f"resumed with {resumed.returncode}")
    trials = [trial for trial in _TRIALS if (run / trial).is_dir()]
    faults += [f"{trial}: other weights" for trial in trials if weights(run).get(trial) != wanted[trial]]
    return faults


def weights(run: Path) -> dict[str, str]:
    """The digest of each trial's selected weights."""
    files = {trial: run / trial / "best" / "model.safetensors" for trial in _TRIALS}
    return {trial: sha256_file(path) for trial, path in files.items() if path.is_file()}


def run_whole(place: Path, label: str, *options: str) -> Path:
    """A run without a fault."""
    command = grambench("run", "--preset", place / "tiny.toml", "--plain", "--out", place / label, *options)
    subprocess.run(command, check=False, timeout=_WAIT_S, **quiet(place))
    return next((place / label).iterdir())


def _has_trained(run: Path) -> bool:
    trials = read_run(run).trials
    return any(trial.progress is not None and trial.progress.step > 0 for trial in trials.values())


def _ranks(run: Path) -> list[psutil.Process]:
    return [rank for trial in _TRIALS for rank in ranks_of(run, trial)]


def _agents(run: Path) -> list[psutil.Process]:
    return [parent for rank in _ranks(run) if (parent := rank.parent()) is not None and parent.pid > 1]


def _signal(
    find: Callable[[Path], list[psutil.Process]], number: int
) -> Callable[[Path, random.Random], None]:
    """Send a signal to one of the processes found, if there is one."""

    def send_it(run: Path, rng: random.Random) -> None:
        with suppress(psutil.Error, IndexError):
            rng.choice(find(run)).send_signal(number)

    return send_it


def _freeze(run: Path, rng: random.Random) -> None:
    with suppress(psutil.Error, IndexError):
        rank = rng.choice(_ranks(run))
        rank.suspend()
        time.sleep(rng.random() * 3)
        rank.resume()


def _supervisors(run: Path) -> list[psutil.Process]:
    return [found] if (found := supervisor_of(run)) is not None else []


def _command(*actions: Action) -> Fault:
    """Send the run commands, with moments in between."""

    def send_them(run: Path, rng: random.Random) -> None:
        for action in actions:
            with suppress(Exception):  # it has ended
                send(run, Command(action))
            time.sleep(rng.random())

    return send_them


def _fill_disk(run: Path, rng: random.Random) -> None:
    """Let the ranks write nothing for a moment."""
    limits = [(process, process.rlimit(psutil.RLIMIT_FSIZE)) for process in _ranks(run)]
    for process, _ in limits:
        with suppress(psutil.Error):
            process.rlimit(psutil.RLIMIT_FSIZE, (0, psutil.RLIM_INFINITY))
    time.sleep(rng.random() * 2)
    for process, before in limits:
        with suppress(psutil.Error):
            process.rlimit(psutil.RLIMIT_FSIZE, before)


FAULTS: dict[str, Fault] = {
    "kill-rank": _signal(_ranks, signal.SIGKILL),
    "kill-agent": _signal(_agents, signal.SIGKILL),
    "kill-supervisor": _signal(_supervisors, signal.SIGKILL),
    "interrupt": _signal(_supervisors, signal.SIGINT),
    "terminate-rank": _signal(_ranks, signal.SIGTERM),
    "terminate-agent": _signal(_agents, signal.SIGTERM),
    "freeze": _freeze,
    "pause": _command("pause", "resume"),
    "stop": _command("stop"),
    "full-disk": _fill_disk,
    "nothing": lambda run, rng: None,
}
"""What happens; `nothing` but the ends of turns."""


def _left(run: Path) -> list[int]:
    """Ranks that outlive their run by long."""
    deadline_s = time.monotonic() + 60
    while time.monotonic() < deadline_s:
        if not (left := _ranks(run)):
            return []
        time.sleep(0.2)
    return [process.pid for process in left]


def _wait(look: Callable[[], object]) -> Path:
    deadline_s = time.monotonic() + _WAIT_S
    while not (found := look()):
        if time.monotonic() > deadline_s:
            raise TimeoutError("the run does not begin")
        time.sleep(0.05)
    return found  # type: ignore[return-value]


def grambench(*words: object) -> list[str]:
    """A command line."""
    return [sys.executable, "-m", "grambench", *map(str, words)]


def quiet(place: Path) -> dict[str, Any]:
    """Streams and variables of a command."""
    variables = {"GRAMBENCH_CACHE": str(place / "cache"), "HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": ""}
    nothing = subprocess.DEVNULL
    return {"stdout": nothing, "stderr": nothing, "stdin": nothing, "env": {**os.environ, **variables}}


@contextmanager
def folder() -> Iterator[Path]:
    """A folder with the preset; whatever still runs in it is ended with it."""
    place = Path(tempfile.mkdtemp(prefix="grambench-ranks-"))
    (place / "tiny.toml").write_text(PRESET)
    try:
        yield place
    finally:
        for run in place.glob("*/*/run.json"):
            if (supervisor := supervisor_of(run.parent)) is not None:
                supervisor.kill()
            for rank in _ranks(run.parent):
                with suppress(psutil.Error):
                    rank.kill()
        shutil.rmtree(place, ignore_errors=True)
