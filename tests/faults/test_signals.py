"""Signals in every phase, and a terminal that goes away."""

import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from crashes import LONGER, OFTEN, numbers_of, reported
from live_runs import (
    ENDLESS,
    Bench,
    Command,
    assert_nothing_is_left,
    finished,
    supervisor_process,
    trained,
    until,
)

from grambench.events.reader import read_run
from grambench.runner.starts import CHOICE

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

STRATEGIES = ("--strategies", "gram-1s,gram-1e", *OFTEN, *LONGER)
PHASES = [
    ("setup", "prepare", signal.SIGINT),
    ("gram-1s.s0", "train", signal.SIGTERM),
    ("gram-1s.s0", "evaluate", signal.SIGTERM),
    ("gram-1s.s0", "save", signal.SIGINT),
    ("gram-1e.s0", "test", signal.SIGINT),
]
if os.environ.get(CHOICE):  # `make faults` has the time
    PHASES[1:1] = [("gram-1s.s0", "load", signal.SIGTERM)]
    PHASES[-1:-1] = [("gram-1e.s0", "train", signal.SIGINT)]


@pytest.fixture(scope="module")
def whole(bench: Bench) -> Path:
    """A run that nothing has disturbed."""
    command = bench.run("--plain", *STRATEGIES)
    ended = command.wait()
    assert ended.code == 0, ended.err
    return command.run


def lines(run: Path, worker: str, phase: str) -> int:
    """How often a worker has entered a phase."""
    try:
        return (run / worker / "events.jsonl").read_bytes().count(f'"phase":"{phase}"'.encode())
    except OSError:
        return 0


def test_a_signal_in_any_phase_leaves_a_run_that_goes_on(bench: Bench, whole: Path) -> None:
    """One run, interrupted in one phase after the other."""
    run: Path | None = None
    for worker, phase, number in PHASES:
        before = 0 if run is None else lines(run, worker, phase)
        if run is None:
            command = bench.run("--plain", *STRATEGIES)
            run = command.run
        else:
            command = bench.start("run", "--plain", "--resume", run)
        deadline = time.monotonic() + 240
        while lines(run, worker, phase) == before and command.process.poll() is None:
            assert time.monotonic() < deadline, f"{worker} never entered {phase}"
            time.sleep(0.002)
        if number == signal.SIGTERM:
            supervisor_process(run).send_signal(number)
        else:
            command.interrupt()
        ended = command.wait()
        assert ended.code == 75, (phase, ended.err)
        assert "Traceback" not in ended.err + ended.out
        assert ended.err.endswith(f"resume it with `grambench run --resume {run}`.\n")
        assert_nothing_is_left(run)
        report = reported(run)
        assert report["partial"] or phase == "test"  # which may have been over
        assert bool(report["missing"]) == report["partial"]
    assert run is not None
    ended = bench.start("run", "--plain", "--resume", run).wait()
    assert ended.code == 0, ended.err
    assert numbers_of(run) == numbers_of(whole)


def test_a_closed_terminal_leaves_training_alone(bench: Bench, whole: Path) -> None:
    with bench.terminal("run", "--preset", bench.preset, *STRATEGIES) as terminal:
        run = terminal.run
        until(lambda: trained(run, "gram-1s.s0", 2), "training")
        terminal.close()
    until(lambda: finished(run), "the run to end by itself")
    assert_nothing_is_left(run)
    assert numbers_of(run) == numbers_of(whole)


def test_a_hangup_of_the_supervisor_is_ignored(bench: Bench) -> None:
    command = bench.run("--plain", "--strategies", "gram-1s", *LONGER)
    command.training("gram-1s.s0")
    supervisor_process(command.run).send_signal(signal.SIGHUP)
    assert command.wait().code == 0


def test_in_the_foreground_the_run_ends_with_its_terminal(bench: Bench) -> None:
    command = bench.run("--foreground", "--plain", "--strategies", "gram-1s", *OFTEN, *LONGER)
    until(lambda: "gram-1s: epoch" in command.err, "a line about training")
    command.process.send_signal(signal.SIGHUP)
    ended = command.wait()
    assert ended.code == 75
    assert "gram-1s: epoch" in ended.err
    assert_nothing_is_left(command.run)
    assert read_run(command.run).trials["gram-1s.s0"].outcome == "interrupted"


def test_a_detached_run_goes_on_alone(bench: Bench, whole: Path) -> None:
    command = bench.run("--detach", *STRATEGIES)
    ended = command.wait()
    assert ended.code == 0
    assert f"{command.run.name} keeps running" in ended.err
    watchers = [bench.start("watch", command.run, "--plain") for _ in range(2)]
    until(lambda: all("setup: " in watcher.err for watcher in watchers), "the watchers to see it")
    os.kill(watchers[0].process.pid, signal.SIGKILL)
    assert watchers[1].wait().code == 0
    assert until(lambda: finished(command.run), "the end").exit_code == 0
    assert numbers_of(command.run) == numbers_of(whole)


@pytest.mark.parametrize("delay_s", [0.15, 0.3, 0.8])
def test_an_interrupt_before_anything_happens_shows_no_traceback(bench: Bench, delay_s: float) -> None:
    command: Command = bench.run("--plain", *ENDLESS)
    time.sleep(delay_s)
    while command.process.poll() is None:  # the first is ignored where Python has not started yet
        command.interrupt()
        with contextlib.suppress(subprocess.TimeoutExpired):
            command.process.wait(5)
    ended = command.wait()
    assert ended.code in (75, 130, -signal.SIGINT)
    assert "Traceback" not in ended.err + ended.out
