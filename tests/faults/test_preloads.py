"""The process that workers are forked from: killed, interrupted, and never missed."""

import json
from pathlib import Path

import psutil
import pytest
from crashes import LONGER, OFTEN, numbers_of, reported
from live_runs import Bench, assert_nothing_is_left, processes_of, supervisor_process, until, worker_of

from grambench.runner.starts import CHOICE

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

RUN = ("--plain", "--strategies", "gram-1s,gram-1e", *OFTEN, *LONGER)


@pytest.fixture(autouse=True)
def fork(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the environment chooses."""
    monkeypatch.setenv(CHOICE, "fork")


def preload_process(run: Path) -> psutil.Process:
    return next(process for process in processes_of(run) if "preload" in process.cmdline())


def logged(run: Path, kind: str) -> list[dict[str, object]]:
    """The supervisor's events of one type, as far as it has written them."""
    try:
        lines = (run / "supervisor.jsonl").read_bytes().splitlines(keepends=True)
    except FileNotFoundError:
        return []
    found = [json.loads(line) for line in lines if line.endswith(b"\n")]
    return [event for event in found if event["type"] == kind]


def _has_loaded_torch(process: psutil.Process) -> bool:
    return "libtorch" in Path(f"/proc/{process.pid}/maps").read_text()


def test_killed_while_a_trial_trains_it_is_not_missed(bench: Bench) -> None:
    command = bench.run(*RUN)
    command.training("gram-1s.s0")
    worker, preload = worker_of(command.run, "gram-1s.s0"), preload_process(command.run)
    supervisor = supervisor_process(command.run)
    assert worker.ppid() == preload.ppid() == supervisor.pid
    assert _has_loaded_torch(worker)
    assert not _has_loaded_torch(supervisor)
    preload.kill()
    second = until(lambda: logged(command.run, "worker_spawned")[2:], "the next trial")
    ended = command.wait()
    assert ended.code == 0, ended.err
    assert [event["trial"] for event in second] == ["gram-1e.s0"]
    (warned,) = logged(command.run, "warned")
    assert warned["code"] == "preload-failed"
    assert "it ended with signal 9" in str(warned["message"])
    assert_nothing_is_left(command.run)


@pytest.mark.heavy
def test_forked_workers_train_as_those_that_start_by_themselves(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    forked = bench.run(*RUN)
    assert forked.wait().code == 0
    monkeypatch.setenv(CHOICE, "spawn")
    plain = bench.run(*RUN)
    assert plain.wait().code == 0
    assert logged(plain.run, "preloading") == []
    assert numbers_of(forked.run) == numbers_of(plain.run)


def test_a_signal_while_the_libraries_load_starts_no_worker(bench: Bench) -> None:
    command = bench.run(*RUN)
    until(lambda: logged(command.run, "preloading"), "the preload process")
    command.interrupt()
    ended = command.wait()
    assert ended.code == 75, ended.err
    assert "Traceback" not in ended.err
    assert_nothing_is_left(command.run)
    if not logged(command.run, "worker_spawned"):  # a fast machine may have loaded them
        assert reported(command.run)["missing"]
    again = bench.start("run", "--plain", "--resume", command.run).wait()
    assert again.code == 0, again.err
