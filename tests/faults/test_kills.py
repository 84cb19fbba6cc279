"""Workers and supervisors that are killed: what is left can be read, reported and gone on with."""

import json
import random
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from crashes import (
    LONGER,
    OFTEN,
    fresh_copy,
    numbers_of,
    reported,
    start_worker,
    trial_of,
    wait_for,
)
from live_runs import (
    ENDLESS,
    Bench,
    Command,
    assert_nothing_is_left,
    processes_of,
    report_of,
    supervisor_process,
    trained,
    until,
)

from grambench.config.changes import spec_digest
from grambench.events import types as ev
from grambench.events.codec import Record
from grambench.events.journal import Follower
from grambench.runner.rundir import read_spec
from grambench.runner.starts import CHOICE, WorkerStarts
from grambench.training.checkpoint import NUMBERS, WEIGHTS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

STRATEGIES = ("gram-1s", "gram-1e")
KILLS = 20


@pytest.fixture(scope="module")
def whole(bench: Bench) -> Path:
    """A run that nothing has disturbed."""
    command = bench.run("--plain", "--strategies", ",".join(STRATEGIES), *OFTEN, *LONGER)
    ended = command.wait()
    assert ended.code == 0, ended.err
    return command.run


@pytest.fixture
def starts(whole: Path, tmp_path: Path) -> Iterator[WorkerStarts]:
    """Forks workers, whatever runs choose."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(CHOICE, "fork")
        made = WorkerStarts(tmp_path, read_spec(whole)[1], lambda _: None)
    until(lambda: made.are_ready(0.05), "the libraries")
    yield made
    made.close()


def test_workers_killed_at_random_moments_go_on_to_the_same_numbers(
    whole: Path, tmp_path: Path, starts: WorkerStarts
) -> None:
    """Without a supervisor, and forked, so that a kill costs next to nothing."""
    run = fresh_copy(whole, tmp_path / "run")
    rng = random.Random(0)
    kills, names = 0, [f"{name}.s0" for name in STRATEGIES]
    while kills < KILLS:
        workers = {name: start_worker(run, name, starts) for name in names}
        for name, worker in workers.items():
            until(lambda name=name, worker=worker: _moves(run, name) or worker.wait(0) is not None, "a step")
            time.sleep(rng.random() * 0.4)
            worker.terminate()
            code = wait_for(worker)
            kills += code == -9
            if code == 0:  # it was done before: once more from the start
                shutil.rmtree(run / name)
        assert reported(run)["partial"]
    for name in names:
        assert wait_for(start_worker(run, name, starts)) == 0
    reported(run)
    wanted = numbers_of(whole)
    assert numbers_of(run) == wanted
    assert_nothing_is_left(run)


def _moves(run: Path, name: str) -> bool:
    """The newest worker of a trial has trained."""
    log = run / name / "events.jsonl"
    return log.exists() and b'"type":"progress"' in log.read_bytes().rpartition(b'"type":"worker_started"')[2]


def begun(bench: Bench, *settings: str) -> Command:
    return bench.run("--plain", "--strategies", ",".join(STRATEGIES), *OFTEN, *LONGER, *settings)


def resumed(bench: Bench, run: Path) -> None:
    again = bench.start("run", "--plain", "--resume", run).wait()
    assert again.code == 0, again.err
    assert "Traceback" not in again.err
    assert_nothing_is_left(run)


def test_a_killed_supervisor_takes_its_workers_along_and_the_run_goes_on(bench: Bench, whole: Path) -> None:
    command = begun(bench)
    command.training("gram-1s.s0")
    supervisor_process(command.run).kill()
    ended = command.wait()
    assert ended.code == 1
    assert_nothing_is_left(command.run)
    trial = trial_of(command.run, "gram-1s.s0")
    assert trial.outcome == "interrupted"
    assert trial.resumable is not None
    assert "has not begun" in " ".join(reported(command.run)["missing"])
    resumed(bench, command.run)
    assert numbers_of(command.run) == numbers_of(whole)


def test_a_killed_worker_fails_alone_and_goes_on_later(bench: Bench, whole: Path) -> None:
    command = begun(bench)
    command.training("gram-1s.s0")
    worker = next(p for p in processes_of(command.run) if "gram-1s.s0" in p.cmdline())
    worker.kill()
    ended = command.wait()
    assert ended.code == 5
    assert [trial["outcome"] for trial in report_of(command.run)["trials"]] == ["failed", "completed"]
    resumed(bench, command.run)
    assert numbers_of(command.run) == numbers_of(whole)


class HangingBench(Bench):
    """Its Python processes hang in a call that never returns once they are sent SIGUSR1."""

    @property
    def environment(self) -> dict[str, str]:
        hooks = self.folder / "hooks"
        hooks.mkdir(exist_ok=True)
        (hooks / "sitecustomize.py").write_text(_HANG)
        return {**super().environment, "PYTHONPATH": str(hooks)}


_HANG = "import signal, time\nsignal.signal(signal.SIGUSR1, lambda *_: time.sleep(1e6))\n"


def test_a_hung_worker_is_killed_and_the_next_strategy_runs(tmp_path: Path) -> None:
    hanging = HangingBench(tmp_path)
    command = begun(hanging, "--set", "hang_s=5")
    command.training("gram-1s.s0")
    worker = next(p for p in processes_of(command.run) if "gram-1s.s0" in p.cmdline())
    worker.send_signal(signal.SIGUSR1)
    ended = command.wait()
    assert ended.code == 5
    first, second = report_of(command.run)["trials"]
    assert "no heartbeat for" in first["outcome_reason"]
    assert (first["outcome"], second["outcome"]) == ("failed", "completed")
    assert first["times"]["train_s"] > 0
    assert_nothing_is_left(command.run)


def test_a_stopped_worker_s_seconds_are_not_training(
    whole: Path, tmp_path: Path, starts: WorkerStarts
) -> None:
    """Epochs of some 300 steps, so that training is what is stopped."""
    run, name = fresh_copy(whole, tmp_path / "run"), "gram-1s.s0"
    content = json.loads((run / "run.json").read_bytes())
    content["spec"]["training"] |= {"batch_size": 1, "epochs": 1000, "patience": 1000, "checkpoint_s": 300.0}
    content["spec_sha256"] = spec_digest(content["spec"])
    (run / "run.json").write_text(json.dumps(content))
    log, records = Follower(run / name / "events.jsonl"), list[Record]()
    worker = start_worker(run, name, starts)
    until(lambda: _reports(log, records), "training")
    process = psutil.Process(worker.pid)
    process.suspend()
    until(lambda: process.status() == psutil.STATUS_STOPPED, "the stop")
    began = time.monotonic()
    time.sleep(1.5)
    stopped_s = time.monotonic() - began
    process.resume()
    until(lambda: _reports(log, records), "training after the stop")
    worker.stop("stopped")
    assert wait_for(worker) == 130
    records += log.read()

    (stop,) = [record.event for record in records if isinstance(record.event, ev.ProcessStopped)]
    assert stop.seconds == pytest.approx(stopped_s, abs=0.3)
    assert stop.training_s == pytest.approx(stop.seconds, abs=0.3)
    at = next(n for n, record in enumerate(records) if isinstance(record.event, ev.ProcessStopped))
    before = next(r for r in reversed(records[:at]) if isinstance(r.event, ev.Progress))
    after = next(r for r in records[at:] if isinstance(r.event, ev.Progress))
    passed_s = (after.stamp.t_ns - before.stamp.t_ns) / 1e9
    assert passed_s > stopped_s
    assert isinstance(before.event, ev.Progress)
    assert isinstance(after.event, ev.Progress)
    trained_s = after.event.train_s - before.event.train_s
    assert trained_s == pytest.approx(passed_s - stopped_s, abs=0.3)
    trial = trial_of(run, name)
    assert trial.stopped_training_s == stop.training_s
    (caution,) = [c for c in reported(run)["trials"][0]["warnings"] if c["code"] == "stopped"]
    assert f"its process was stopped for {stop.seconds:,.1f} s" in caution["message"]


def _reports(log: Follower, records: list[Record]) -> bool:
    """True where the newest of the records, to which the log's new ones are added, is of mid-epoch."""
    new = list(log.read())
    records.extend(new)
    steps = next((r.event.steps_per_epoch for r in records if isinstance(r.event, ev.TrialPlanned)), 1)
    return bool(new) and isinstance(new[-1].event, ev.Progress) and new[-1].event.step % steps != 0


@pytest.mark.parametrize(
    "damage", ["flipped", *(pytest.param(name, marks=pytest.mark.heavy) for name in ("cut", "all"))]
)
def test_damaged_checkpoints_give_way_to_older_ones(
    damage: str, bench: Bench, whole: Path, tmp_path: Path
) -> None:
    run = fresh_copy(whole, tmp_path / "run")
    worker = start_worker(run, "gram-1e.s0")
    folder = run / "gram-1e.s0" / "checkpoints"
    until(lambda: trained(run, "gram-1e.s0", 8) and len(list(folder.glob("step-*"))) > 1, "two checkpoints")
    worker.terminate()
    wait_for(worker)
    places = sorted(folder.glob("step-*"))
    assert places
    for place in places if damage == "all" else places[-1:]:
        file = place / (NUMBERS if damage == "cut" else WEIGHTS)
        data = bytearray(file.read_bytes())
        if damage == "flipped":
            data[len(data) // 2] ^= 16
        file.write_bytes(data if damage == "flipped" else data[: len(data) // 2])
    assert wait_for(start_worker(run, "gram-1e.s0")) == 0
    trial = trial_of(run, "gram-1e.s0")
    assert "is damaged" in trial.warnings["damaged-checkpoint"]
    assert (trial.resumed_steps == [0]) == (damage == "all" or len(places) == 1)
    shutil.rmtree(run / "gram-1s.s0", ignore_errors=True)
    reported(run)
    assert numbers_of(run)["gram-1e.s0"] == numbers_of(whole)["gram-1e.s0"]


def test_what_has_changed_is_refused_with_a_list(bench: Bench, whole: Path) -> None:
    ended = bench.call("run", "--resume", whole, "--set", "training.batch_size=16")
    assert ended.code == 2
    assert "has different settings: " in ended.err
    assert "training.batch_size: 32, now 16" in ended.err
    going_on = begun(bench, *ENDLESS)
    going_on.training("gram-1s.s0")
    ended = bench.call("run", "--resume", going_on.run)
    assert ended.code == 4
    assert "is already running" in ended.err
    going_on.interrupt()
    assert going_on.wait().code == 75
    document = going_on.run / "run.json"
    document.write_text(document.read_text().replace('"batch_size": 32', '"batch_size": 16'))
    ended = bench.call("run", "--resume", going_on.run)
    assert ended.code == 2
    assert "was edited since the run began: training.batch_size: 32, now 16." in ended.err


def test_a_run_that_is_done_has_nothing_to_go_on_with(bench: Bench, whole: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(whole, run)
    before = numbers_of(run)
    resumed(bench, run)
    assert numbers_of(run) == before
