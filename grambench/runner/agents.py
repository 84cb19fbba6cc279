"""Starts trials that several ranks train: a torchrun agent, which starts and restarts the ranks together.

Agents of other nodes are started by `grambench join`, from the `RanksLaunched` event in the run's log.
"""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil

from grambench.config.ranks import Ranks
from grambench.events.types import RanksLaunched
from grambench.runner.starts import Spawned, Streams

LEADS = "GRAMBENCH_LEADS"
"""Environment variable that tells ranks whether their agent's first one leads (`worker/ranks.py`)."""
_MODULE = ["-P", "-m", "grambench.worker", "rank"]


def launched(trial: str, ranks: Ranks, attempt: int) -> RanksLaunched:
    """What agents need to know to start a trial's ranks; `attempt` makes the name of their meeting new."""
    name = f"{trial}-{os.getpid()}-{attempt}"
    return RanksLaunched(trial, ranks.nproc, ranks.nnodes, ranks.endpoint, name, ranks.restarts)


def command(run: Path, devices: str, how: RanksLaunched) -> list[str]:
    """The agent's command line."""
    meeting = ["--standalone"]
    if how.nnodes > 1:
        meeting = ["--nnodes", str(how.nnodes), "--rdzv-backend", "c10d", "--rdzv-endpoint", how.endpoint]
        meeting += ["--rdzv-id", how.rendezvous]
    sizes = ["--nproc-per-node", str(how.nproc), "--max-restarts", str(how.restarts)]
    rank = [sys.executable, *_MODULE, str(run), how.trial, devices]
    return [sys.executable, "-P", "-m", "torch.distributed.run", *meeting, *sizes, "--no-python", *rank]


def environment(before: dict[str, str], *, leads: bool) -> dict[str, str]:
    """The agent's environment variables, from those of workers."""
    threads = {"OMP_NUM_THREADS": "1"}  # torchrun's own default; ranks choose their threads themselves
    return {**threads, **before, LEADS: "1" if leads else "0"}


class AgentStart:
    """Starts the agent of a trial's ranks in place of a worker; see `starts.Start`."""

    def __init__(self, run: Path, devices: str, how: RanksLaunched, environment: dict[str, str]) -> None:
        self._run, self._devices, self._how, self._environment = run, devices, how, environment

    def __call__(self, _arguments: Sequence[str], streams: Streams) -> "Agent":
        """Start it. The ranks inherit standard input, which the first of them reads and writes."""
        process = subprocess.Popen(
            command(self._run, self._devices, self._how),
            stdin=streams.stdin,
            stdout=streams.log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env=environment(self._environment, leads=True),
        )
        return Agent(process, self._run, self._how.trial)


class Agent(Spawned):
    """A running torchrun agent; each of its ranks leads a process group of its own."""

    def __init__(self, process: "subprocess.Popen[bytes]", run: Path, trial: str) -> None:
        super().__init__(process)
        self._run, self._trial = run, trial

    def pids(self) -> list[int]:
        """The agent and its ranks."""
        with contextlib.suppress(psutil.Error):
            return [self.pid, *(rank.pid for rank in psutil.Process(self.pid).children())]
        return [self.pid]

    def kill(self) -> None:
        """Kill the agent and all ranks on this machine, stopped ones and orphans included."""
        super().kill()
        for rank in ranks_of(self._run, self._trial):
            with contextlib.suppress(psutil.Error):
                rank.kill()


def ranks_of(run: Path, trial: str) -> Iterator[psutil.Process]:
    """The processes on this machine that are ranks of a trial, by their command lines."""
    wanted = [*_MODULE, str(run), trial]
    for process in psutil.process_iter(["cmdline"]):
        if (process.info["cmdline"] or [])[1 : 1 + len(wanted)] == wanted:
            yield process
