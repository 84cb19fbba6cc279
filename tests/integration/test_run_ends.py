"""Signals and kills: what a run that does not reach its end leaves behind."""

import dis
import json
import re
import signal
from collections.abc import Callable

import pytest
from live_runs import (
    ENDLESS,
    Bench,
    Command,
    assert_nothing_is_left,
    complaint,
    report_of,
    supervisor_process,
    trained,
    until,
    worker_of,
)

from grambench.cli.follow import Follow

TRIAL = "gram-1s.s0"
SAID = "interrupted: stopping after the current step; Ctrl+C again stops at once"


@pytest.fixture
def endless(bench: Bench) -> Command:
    """A run that only a signal ends."""
    return bench.run("--plain", "--strategies", "gram-1s,gram-1e", *ENDLESS)


def test_an_interrupt_while_it_starts_ends_the_run(bench: Bench) -> None:
    command = bench.run("--plain")
    run = command.run
    command.interrupt()
    ended = command.wait()
    assert ended.code == 75
    assert "Traceback" not in ended.err
    assert_nothing_is_left(run)


def test_an_interrupt_stops_after_the_step_with_a_report(endless: Command) -> None:
    endless.training(TRIAL)
    endless.interrupt()
    ended = endless.wait()
    assert ended.code == 75
    assert SAID in ended.err
    assert ended.err.endswith(
        f"grambench: Interrupted; resume it with `grambench run --resume {endless.run}`.\n"
    )
    assert_nothing_is_left(endless.run)
    report = report_of(endless.run)
    first, second = report["trials"]
    assert (report["run"]["exit_code"], report["partial"]) == (75, True)
    assert (first["outcome"], second["outcome"], second["phase"]) == ("interrupted", None, None)
    assert "gram-1e.s0 has not begun." in report["missing"]
    lines = ended.err.replace(f"\n{SAID}\n", "").splitlines()[:-1]
    assert all(re.match(r"\[ *[\d:]+\] \S", line) for line in lines), ended.err
    assert "\x1b" not in ended.err + ended.out
    assert ended.out.endswith(f"report: {endless.run / 'report.json'}\n")
    assert not re.search(r"^\[", ended.out, re.MULTILINE)


@pytest.mark.slow
def test_a_second_interrupt_does_not_wait_for_the_step(endless: Command) -> None:
    endless.training(TRIAL)
    worker = worker_of(endless.run, TRIAL)
    worker.suspend()  # a step that takes for ever
    endless.interrupt()
    until(lambda: SAID in endless.err, "the first interrupt")
    assert worker.is_running()
    endless.interrupt()
    ended = endless.wait()
    assert ended.code == 130
    assert "Traceback" not in ended.err
    assert_nothing_is_left(endless.run)
    report = report_of(endless.run)
    assert report["run"]["exit_code"] == 130
    assert report["trials"][0]["outcome"] == "stopped"
    assert report["trials"][0]["outcome_reason"].startswith("the end of the run ended the worker in phase ")


def test_a_terminated_command_leaves_a_run_that_can_be_watched_and_stopped(
    bench: Bench, endless: Command
) -> None:
    seen = endless.training(TRIAL).progress
    endless.process.terminate()
    ended = endless.wait()
    run = endless.run
    assert ended.code == -signal.SIGTERM
    goes_on = f"{run.name} keeps running: `grambench watch {run}` shows it, `grambench stop {run}` ends it"
    assert ended.err.endswith(f"\n{goes_on}\n")
    assert seen is not None
    until(lambda: trained(run, TRIAL, seen.step + 20), "the run to go on")
    rows = json.loads(bench.call("runs", "--json", "--out", run.parent).out)
    assert [(row["state"], row["trials_done"], row["trials"]) for row in rows] == [("running", 0, 2)]
    watch = bench.start("watch", run.name, "--out", run.parent, "--plain")
    until(lambda: re.search(r"gram-1s: epoch \d+/100000, step", watch.err), "a line of progress")
    left = bench.start("watch", run.name[:-3], "--out", run.parent, "--plain")
    until(lambda: left.err, "a line")
    left.process.send_signal(signal.SIGHUP)
    assert left.wait().code == -signal.SIGHUP
    assert goes_on in left.err
    stop = bench.call("stop", "last", "--out", run.parent)
    assert (stop.code, stop.out, stop.err) == (0, "", f"{run.name} ends after the current step.\n")
    assert watch.wait().code == 0
    assert_nothing_is_left(run)
    assert report_of(run)["run"]["exit_code"] == 130
    assert report_of(run)["trials"][0]["outcome"] == "stopped"


def test_a_terminated_supervisor_interrupts_its_run(bench: Bench) -> None:
    command = bench.run("--plain")
    until(lambda: "setup: " in command.err, "the setup to begin")
    supervisor_process(command.run).send_signal(signal.SIGTERM)
    assert command.wait().code == 75
    assert_nothing_is_left(command.run)
    assert report_of(command.run)["run"]["exit_code"] == 75


def test_a_killed_worker_fails_alone(bench: Bench) -> None:
    command = bench.run(
        "--plain",
        "--strategies",
        "gram-1s,gram-1e",
        "--set",
        "training.epochs=40",
        "--set",
        "training.patience=40",
    )
    command.training(TRIAL)
    worker_of(command.run, TRIAL).kill()
    ended = command.wait()
    assert ended.code == 5
    assert "gram-1s.s0 failed: the worker ended with signal 9" in complaint(ended.err)
    report = report_of(command.run)
    assert [trial["outcome"] for trial in report["trials"]] == ["failed", "completed"]
    assert (report["partial"], report["run"]["exit_code"]) == (True, 5)
    assert [s for s in report["missing"] if s.startswith("gram-1s.s0 failed: ")] == report["missing"]
    assert report["trials"][0]["test"] is None
    assert report["trials"][0]["reasons"]["test"]


@pytest.mark.slow
def test_workers_end_when_their_supervisor_is_killed(bench: Bench, endless: Command) -> None:
    endless.training(TRIAL)
    run = endless.run
    supervisor_process(run).kill()
    ended = endless.wait()
    assert ended.code == 1
    assert "The supervisor ended before the run did" in complaint(ended.err)
    assert_nothing_is_left(run)
    assert json.loads(bench.call("runs", "--json", "--out", run.parent).out)[0]["state"] == "interrupted"
    answer = bench.call("report", run)
    report = json.loads(answer.out)
    assert answer.code == 0
    assert report["missing"][0] == "The run has not finished, or was cut off."
    assert report["run"]["exit_code"] is None
    assert report["trials"][0]["outcome"] == "interrupted"
    assert "gram-1e.s0 has not begun." in report["missing"]


@pytest.mark.slow
def test_preparation_ends_when_its_supervisor_is_killed(bench: Bench) -> None:
    command = bench.run("--plain")
    until(lambda: "setup: worker" in command.err, "the setup to begin")
    run = command.run
    supervisor_process(run).kill()
    command.wait()
    assert_nothing_is_left(run)


@pytest.mark.parametrize("method", [Follow._interrupted, Follow._leave, Follow._stop, Follow._alive])
def test_a_signal_handler_imports_nothing(method: Callable[..., object]) -> None:
    """A second signal during an import would find the module half initialized."""
    assert "IMPORT_NAME" not in {each.opname for each in dis.get_instructions(method)}
