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
import time
from collections.abc import Callable, Iterator

import psutil
import pytest
import torch
from live_runs import PRESET, until
from rank_agent import SIZE, TRIAL, Prepare, Ranks, set_up

from grambench.config.presets import load_preset
from grambench.events.control import Grant, Hold
from grambench.events.types import GroupFormed, TrialFinished, TrialResumed
from grambench.fs import sha256_file
from grambench.runner.rundir import create_run
from grambench.training.strategies.multi_step import MultiStep
from grambench.worker import device

_SETTINGS = ('training.strategies=["gram-3s"]', "training.epochs=6", "training.patience=99")
_OFTEN = ("training.checkpoint_s=0.02", f"ranks.nproc={SIZE}", "hang_s=60")
Begin = Callable[..., Ranks]


@pytest.fixture(scope="module")
def begin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Begin]:
    """Starts the trial in a run of its own, whose setup is done."""
    folder = tmp_path_factory.mktemp("ranks")
    (folder / "tiny.toml").write_text(PRESET)
    spec = load_preset(str(folder / "tiny.toml"), [*_SETTINGS, *_OFTEN])
    whole = create_run(spec, spec.name, folder / "runs", ["grambench"])
    set_up(whole, folder / "cache")
    made: list[Ranks] = []

    def start(*prepare: Prepare) -> Ranks:
        run = folder / f"run-{len(made)}"
        shutil.copytree(whole, run)
        made.append(Ranks(run, *prepare))
        return made[-1]

    yield start
    for each in made:
        each.close()


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


def test_one_ranks_signal_ends_all_and_ranks_without_a_log_go_on(begin: Begin, undisturbed: str) -> None:
    """As where a trial is resumed by more ranks than it had."""
    trial = begin()
    until(lambda: (trial.run / TRIAL / "checkpoints").is_dir(), "a checkpoint")
    os.kill(trial.pids[2], signal.SIGTERM)
    trial.until_over()
    (finished,) = trial.events(TrialFinished)
    assert isinstance(finished, TrialFinished)
    assert finished.outcome in ("interrupted", "completed")
    shutil.rmtree(trial.run / TRIAL / "ranks")
    with contextlib.closing(Ranks(trial.run)) as again:
        again.until_over()
        assert again.attempt == 0
    assert weights(trial) == undisturbed


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
def test_what_would_only_fail_again_ends_the_trial(prepare: Prepare, said: str, begin: Begin) -> None:
    trial = begin(prepare)
    trial.until_over()
    assert trial.attempt == 0
    (finished,) = trial.events(TrialFinished)
    assert isinstance(finished, TrialFinished)
    assert finished.outcome == "failed"
    assert finished.reason.startswith(said)
