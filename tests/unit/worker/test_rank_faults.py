"""Faults at random moments of trials that three ranks train; the tests fork them as torchrun's agent would.

`python -m attacks ranks` does the same to real commands, more often.
"""

import contextlib
import os
import random
import resource
import shutil
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
import torch
import torch.distributed as dist
from live_runs import PRESET, until

from grambench.config.presets import load_preset
from grambench.config.spec import Spec
from grambench.events.control import Grant, Hold, Message, encode
from grambench.events.journal import Follower
from grambench.events.types import GroupFormed, TrialFinished, TrialResumed
from grambench.fs import sha256_file
from grambench.runner.rundir import create_run
from grambench.training.strategies.multi_step import MultiStep
from grambench.worker import device, ranks
from grambench.worker.main import main as worker
from grambench.worker.preload import load_libraries

SIZE = 3
TRIAL = "gram-3s.s0"
_SETTINGS = ('training.strategies=["gram-3s"]', "training.epochs=6", "training.patience=99")
_OFTEN = ("training.checkpoint_s=0.02", "ranks.nproc=3", "hang_s=60")


class Ranks:
    """An agent: forks the ranks of a trial, and forks all again when one has failed."""

    def __init__(self, run: Path, prepare: Callable[[int], None] = lambda _: None) -> None:
        """`prepare`: called with its number by each rank before it works."""
        self.run, self.attempt, self.prepare = run, 0, prepare
        self.ours, self.theirs = socket.socketpair()
        self.store, self.port = serve_store()
        self.pids = [self._fork(rank) for rank in range(SIZE)]
        self.tell(Grant(1))

    def tell(self, *messages: Message) -> None:
        self.ours.sendall(b"".join(map(encode, messages)))

    def events(self, kind: type) -> list[object]:
        log = Follower(self.run / TRIAL / "events.jsonl")
        return [record.event for record in log.read() if isinstance(record.event, kind)]

    def until_over(self) -> None:
        """Until all have ended with 0."""
        codes: dict[int, int] = {}
        while len(codes) < SIZE:
            for pid in set(self.pids) - set(codes):
                if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                    codes[pid] = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            if any(codes.values()):
                self._again(set(self.pids) - set(codes))
                codes = {}
            time.sleep(0.01)

    def _again(self, left: set[int]) -> None:
        for pid in left:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        self.attempt += 1
        assert self.attempt < 5
        self.pids = [self._fork(rank) for rank in range(SIZE)]
        self.tell(Grant(self.attempt + 1))

    def _fork(self, rank: int) -> int:
        if pid := os.fork():
            return pid
        code = 99
        with contextlib.suppress(BaseException):
            os.setsid()
            os.dup2(self.theirs.fileno(), 0)
            self.ours.close()
            log = os.open(self.run / "output.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.dup2(log, 1)
            os.dup2(log, 2)
            os.environ |= {
                "RANK": str(rank),
                "LOCAL_RANK": str(rank),
                "WORLD_SIZE": str(SIZE),
                "LOCAL_WORLD_SIZE": str(SIZE),
                "GROUP_WORLD_SIZE": "1",
                "TORCHELASTIC_RESTART_COUNT": str(self.attempt),
                "MASTER_ADDR": "127.0.0.1",
                "MASTER_PORT": str(self.port),
                ranks.LEADS: "1",
            }
            self.prepare(rank)
            code = ranks.main([str(self.run), TRIAL, "cpu"])
        os._exit(code)

    def close(self) -> None:
        for pid in (*self.pids, self.store):
            with contextlib.suppress(ProcessLookupError, ChildProcessError):
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
        self.ours.close()
        self.theirs.close()


def serve_store() -> tuple[int, int]:
    """Pid and port of a process with the agent's store: its threads must not be in the one that forks."""
    reading, writing = os.pipe()
    if not (pid := os.fork()):
        store = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
        os.write(writing, f"{store.port}\n".encode())
        signal.pause()
    os.close(writing)
    with os.fdopen(reading) as said:
        return pid, int(said.readline())


Begin = Callable[..., Ranks]


@pytest.fixture(scope="module")
def begin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Begin]:
    """Starts the trial in a run of its own, whose setup is done."""
    folder = tmp_path_factory.mktemp("ranks")
    (folder / "tiny.toml").write_text(PRESET)
    os.environ["GRAMBENCH_CACHE"] = str(folder / "cache")
    load_libraries()  # once, for all forks
    whole = _set_up(load_preset(str(folder / "tiny.toml"), [*_SETTINGS, *_OFTEN]), folder)
    made: list[Ranks] = []

    def start(*prepare: Callable[[int], None]) -> Ranks:
        run = folder / f"run-{len(made)}"
        shutil.copytree(whole, run)
        made.append(Ranks(run, *prepare))
        return made[-1]

    yield start
    for each in made:
        each.close()
    del os.environ["GRAMBENCH_CACHE"]


def _set_up(spec: Spec, folder: Path) -> Path:
    run = create_run(spec, spec.name, folder / "runs", ["grambench"])
    reading, writing = os.pipe()
    if not (pid := os.fork()):
        os.dup2(reading, 0)
        os.close(writing)
        sys.stdin = os.fdopen(0)  # pytest's has no descriptor
        os._exit(worker(["setup", str(run)]))
    assert os.waitpid(pid, 0)[1] == 0
    os.close(reading)
    os.close(writing)
    return run


def weights(trial: Ranks) -> str:
    return sha256_file(trial.run / TRIAL / "best" / "model.safetensors")


@pytest.fixture(scope="module")
def undisturbed(begin: Begin) -> str:
    """The weights without a fault."""
    trial = begin()
    trial.until_over()
    assert trial.attempt == 0
    assert len(trial.events(GroupFormed)) == 1
    return weights(trial)


def kill(trial: Ranks, rng: random.Random) -> None:
    os.kill(rng.choice(trial.pids), signal.SIGKILL)


def freeze(trial: Ranks, rng: random.Random) -> None:
    process = psutil.Process(rng.choice(trial.pids))
    process.suspend()
    time.sleep(rng.random() / 2)
    process.resume()


def withdraw_turns(trial: Ranks, rng: random.Random) -> None:
    """Ten short turns."""
    for turn in range(2, 12):
        trial.tell(Hold())
        time.sleep(rng.random() / 20)
        trial.tell(Grant(turn, rng.random() / 20))
    trial.tell(Hold(), Grant(12))


def fill_disk(trial: Ranks, rng: random.Random) -> None:
    leader = trial.pids[0]
    before = resource.prlimit(leader, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
    time.sleep(rng.random() / 2)
    resource.prlimit(leader, resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_fault_changes_nothing(seed: int, begin: Begin, undisturbed: str) -> None:
    """Three faults of each trial, in an order and at moments drawn by the seed."""
    rng = random.Random(seed)
    trial = begin()
    until(lambda: (trial.run / TRIAL / "checkpoints").is_dir(), "a checkpoint")
    for fault in rng.sample([kill, freeze, withdraw_turns, fill_disk], 3):
        time.sleep(rng.random() / 4)
        with contextlib.suppress(ProcessLookupError, psutil.Error):  # it has ended before
            fault(trial, rng)
        if fault is kill:
            break
    trial.until_over()
    assert weights(trial) == undisturbed
    (finished,) = trial.events(TrialFinished)
    assert isinstance(finished, TrialFinished)
    assert finished.outcome == "completed"
    assert len(trial.events(TrialResumed)) == trial.attempt


def test_every_rank_hears_of_a_stop(begin: Begin) -> None:
    """Any rank's signal ends the trial for all, with a checkpoint."""
    trial = begin()
    until(lambda: (trial.run / TRIAL / "checkpoints").is_dir(), "a checkpoint")
    os.kill(trial.pids[2], signal.SIGTERM)
    trial.until_over()
    (finished,) = trial.events(TrialFinished)
    assert isinstance(finished, TrialFinished)
    assert finished.outcome in ("interrupted", "completed")


def out_of_memory(rank: int) -> None:
    """The last rank's step fails."""

    def step(*_: object) -> None:
        raise torch.OutOfMemoryError("no memory left")

    if rank == SIZE - 1:
        MultiStep.step = step  # type: ignore[method-assign,assignment]


def another_torch(rank: int) -> None:
    """The last rank has another version."""
    if rank == SIZE - 1:
        device.versions = lambda: {"torch": "0.4.1"}


@pytest.mark.parametrize(
    ("prepare", "said"),
    [
        (out_of_memory, f"rank {SIZE - 1} on {socket.gethostname()}: The device ran out of memory."),
        (another_torch, f"{socket.gethostname()} has torch 0.4.1, the leading machine {torch.__version__}."),
    ],
)
def test_what_would_only_fail_again_ends_the_trial(
    prepare: Callable[[int], None], said: str, begin: Begin
) -> None:
    trial = begin(prepare)
    trial.until_over()
    assert trial.attempt == 0
    (finished,) = trial.events(TrialFinished)
    assert isinstance(finished, TrialFinished)
    assert finished.outcome == "failed"
    assert finished.reason.startswith(said)
