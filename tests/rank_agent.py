"""An agent as torchrun's, which forks the ranks of a trial from a process that has loaded the libraries.

That process is multiprocessing's fork server: it has no threads, which a fork of pytest's process would lose.
"""

import contextlib
import multiprocessing
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

import torch.distributed as dist

from grambench.events.control import Grant, Message, encode
from grambench.events.journal import Follower
from grambench.worker import ranks
from grambench.worker.main import main as worker
from grambench.worker.preload import load_libraries

load_libraries()

SIZE = 3
TRIAL = "gram-3s.s0"
Prepare = Callable[[int], None]
"""Called with its number by each rank before it works."""
_server = multiprocessing.get_context("forkserver")
_server.set_forkserver_preload([__name__])


def nothing(rank: int) -> None:
    """No preparation."""


class Ranks:
    """The ranks of a trial; when one has failed, all are forked again."""

    def __init__(self, run: Path, prepare: Prepare = nothing) -> None:
        self.run, self.attempt, self.prepare = run, 0, prepare
        self.ours, self.theirs = socket.socketpair()
        ours, theirs = _server.Pipe()
        self.store = _started(_serve_store, theirs)
        self.port = ours.recv()
        self.processes = self._forked()
        self.tell(Grant(1))

    @property
    def pids(self) -> list[int]:
        return [process.pid or 0 for process in self.processes]

    def tell(self, *messages: Message) -> None:
        self.ours.sendall(b"".join(map(encode, messages)))

    def events(self, kind: type) -> list[object]:
        log = Follower(self.run / TRIAL / "events.jsonl")
        return [record.event for record in log.read() if isinstance(record.event, kind)]

    def until_over(self) -> None:
        """Until all have ended with 0."""
        while any(process.exitcode is None for process in self.processes):
            if any(process.exitcode for process in self.processes):
                self._kill()
                self.attempt += 1
                assert self.attempt < 5
                self.processes = self._forked()
                self.tell(Grant(self.attempt + 1))
            time.sleep(0.01)

    def close(self) -> None:
        self._kill()
        self.store.kill()
        self.ours.close()
        self.theirs.close()

    def _forked(self) -> list[BaseProcess]:
        numbers = range(SIZE)
        return [_started(_rank, self.run, rank, self.port, self.theirs, self.prepare) for rank in numbers]

    def _kill(self) -> None:
        for process in self.processes:
            process.kill()
            process.join()


def set_up(run: Path, cache: Path) -> None:
    """The run's setup, from start to end."""
    _start_server()
    ours, theirs = socket.socketpair()
    process = _started(_set_up, run, cache, theirs)
    process.join()
    ours.close()
    assert process.exitcode == 0


def _start_server() -> None:
    """Start the fork server, which imports what it preloads only from its own path."""
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = str(Path(__file__).parent)
    forkserver.ensure_running()
    os.environ.pop("PYTHONPATH")
    if before is not None:
        os.environ["PYTHONPATH"] = before


def _started(target: Callable[..., None], *arguments: object) -> BaseProcess:
    process = _server.Process(target=target, args=arguments, daemon=True)
    process.start()
    return process


def _serve_store(said: Connection) -> None:
    store = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)  # type: ignore[attr-defined]
    said.send(store.port)
    signal.pause()


def _set_up(run: Path, cache: Path, stdin: socket.socket) -> None:
    os.environ["GRAMBENCH_CACHE"] = str(cache)
    os.dup2(stdin.fileno(), 0)
    sys.stdin = os.fdopen(0)
    os._exit(worker(["setup", str(run)]))


def _rank(run: Path, rank: int, port: int, control: socket.socket, prepare: Prepare) -> None:
    code = 99
    with contextlib.suppress(BaseException):
        os.setsid()
        os.dup2(control.fileno(), 0)
        control.close()
        numbers = {
            "RANK": rank,
            "LOCAL_RANK": rank,
            "WORLD_SIZE": SIZE,
            "LOCAL_WORLD_SIZE": SIZE,
            "GROUP_WORLD_SIZE": 1,
            "MASTER_PORT": port,
            ranks.LEADS: 1,
        }
        os.environ |= {name: str(number) for name, number in numbers.items()} | {
            "MASTER_ADDR": "127.0.0.1",
            "TORCHELASTIC_RUN_ID": "test",
        }
        prepare(rank)
        code = ranks.main([str(run), TRIAL, "cpu"])
    os._exit(code)
