"""Worker processes, with a small script in the place of `python`."""

import ast
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from grambench.config.presets import load_preset
from grambench.events.control import Alive, Message, TurnOver, encode
from grambench.runner.starts import PlainStart, worker_environment
from grambench.runner.workers import Worker

Start = Callable[..., Worker]


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Start a worker whose process runs the given Python instead."""
    made: list[Worker] = []

    def begin(script: str, trial: str = "e2e.s0") -> Worker:
        fake = tmp_path / "python"
        fake.write_text(f"#!{REAL}\n{script}\n")
        fake.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(fake))
        made.append(Worker(tmp_path, trial, start=PlainStart(worker_environment(load_preset("demo")))))
        return made[-1]

    yield begin
    for worker in made:
        worker.terminate()
        worker.wait(5)
        worker.close()


REAL = sys.executable


def test_a_worker_is_told_its_role_run_and_trial(start: Start, tmp_path: Path) -> None:
    worker = start("import sys; print(sys.argv[1:])")
    assert worker.wait(10) == 0
    *role, heartbeat = ast.literal_eval(worker.log_tail())
    assert role == ["-P", "-m", "grambench.worker", "trial", str(tmp_path), "e2e.s0"]
    assert heartbeat.isdecimal()
    setup = start("import sys; print(sys.argv[4:])", "setup")
    assert setup.wait(10) == 0
    assert ast.literal_eval(setup.log_tail())[:-1] == ["setup", str(tmp_path)]


def test_what_a_worker_says_is_heard(start: Start) -> None:
    said = encode(Alive()) + encode(TurnOver(7, 1.5))
    worker = start(f"import os, sys, time; os.write(int(sys.argv[-1]), {said + b'half'!r}); time.sleep(60)")
    heard: list[Message] = []
    while len(heard) < 2:
        assert worker.wait(0.02) is None
        heard += worker.messages()
    assert heard == [Alive(), TurnOver(7, 1.5)]
    worker.close()
    assert worker.messages() == []


def test_messages_arrive_as_lines_and_the_end_of_the_pipe_is_seen(start: Start) -> None:
    worker = start("import sys; print(sys.stdin.read(), end=''); print('end')")
    worker.grant(1)
    worker.hold()
    worker.grant(2)
    worker.stop("stopped")
    assert worker.wait(0.1) is None
    worker.close()
    assert worker.wait(10) == 0
    *lines, last = worker.log_tail().splitlines()
    assert [json.loads(line)["type"] for line in lines] == ["grant", "hold", "grant", "stop"]
    assert last == "end"


def test_a_message_to_an_ended_worker_is_harmless(start: Start) -> None:
    worker = start("import sys; sys.exit(3)")
    assert worker.wait(10) == 3
    for _ in range(3):
        worker.grant(1)
        worker.stop("interrupted")
    worker.terminate()
    worker.close()
    worker.close()


def test_terminate_ends_a_worker_with_its_children(start: Start) -> None:
    child = (
        "import subprocess, sys, time; p = subprocess.Popen(['sleep', '60']); print(p.pid); time.sleep(60)"
    )
    worker = start(child)
    while not worker.log_tail().endswith("\n"):
        assert worker.wait(0.02) is None
    sleeper = psutil.Process(int(worker.log_tail()))
    assert os.getsid(worker.pid) == worker.pid
    worker.terminate()
    assert worker.wait(300) == -9
    while sleeper.is_running() and sleeper.status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.01)


def test_the_tail_of_a_log_is_short_and_never_fails(start: Start, tmp_path: Path) -> None:
    worker = start("print('x' * 10000); import sys; sys.stdout.flush(); sys.stdout.buffer.write(b'\\xff!')")
    assert worker.wait(10) == 0
    assert len(worker.log_tail()) <= 4096
    assert worker.log_tail().endswith("\N{REPLACEMENT CHARACTER}!")
    (tmp_path / "e2e.s0" / "worker.log").unlink()
    assert worker.log_tail() == ""
