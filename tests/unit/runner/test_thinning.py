"""Samples that say nothing new are not in the log, and what the log tells stays the same."""

import dataclasses
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from grambench.events import types as ev
from grambench.events.codec import Record, Stamp
from grambench.events.fold import Fold
from grambench.events.journal import Journal
from grambench.events.state import TrialState
from grambench.runner.gpu import GpuSampler
from grambench.runner.host import HostSampler
from grambench.runner.rounds import Rounds
from grambench.runner.thinning import Thinning

E2E, GIB = "e2e.s0", 2**30
HOST = ev.HostSample(
    50.0, 8 * GIB, 16 * GIB, 90 * GIB, 99 * GIB, 8, 2.1, pressure_percent=2.0, swap_bytes_per_s=0.0
)
OWN = ev.ProcessSample(E2E, 7, GIB, cpu_percent=200.0, waiting_percent=0.5, major_faults_per_s=0.0)


def told(before: Any, now: Any, seconds: float = 0.5) -> bool:
    events: list[ev.Event] = []
    thinning = Thinning(events.append)
    thinning.emit("it", before, 0.0, 2.75)
    thinning.emit("it", now, seconds, 2.75)
    return len(events) == 2


@pytest.mark.parametrize(
    ("sample", "field", "same", "new"),
    [
        (HOST, "cpu_percent", 50.9, 51.0),
        (HOST, "memory_used_bytes", 8.009 * GIB, 8.02 * GIB),
        (HOST, "disk_free_bytes", 89.95 * GIB, 89.8 * GIB),
        (HOST, "busy_cpus", 2.14, 2.16),
        (HOST, "pressure_percent", 9.9, 10.0),
        (HOST, "throttled_percent", None, 3.0),
        (HOST, "cpus", 8, 7),
        (OWN, "rss_bytes", int(0.991 * GIB), int(0.98 * GIB)),
        (OWN, "cpu_percent", 196.0, 195.0),
        (OWN, "waiting_percent", 9.9, 11.0),
        (OWN, "gpu_memory_bytes", None, 0),
        (OWN, "gpu_uuids", [], ["GPU-a"]),
        (OWN, "reasons", {}, {"rss_bytes": "gone"}),
        (OWN, "pid", 7, 8),
    ],
)
def test_a_sample_is_told_when_it_differs_by_what_is_shown(
    sample: Any, field: str, same: Any, new: Any
) -> None:
    assert not told(sample, dataclasses.replace(sample, **{field: same}))
    assert told(sample, dataclasses.replace(sample, **{field: new}))


def test_a_sample_that_says_nothing_new_is_told_now_and_then() -> None:
    assert not told(OWN, OWN, 2.5)
    assert told(OWN, OWN, 3.0)


def test_small_changes_add_up() -> None:
    events: list[Any] = []
    thinning = Thinning(events.append)
    for step in range(10):
        thinning.emit("", dataclasses.replace(HOST, cpu_percent=50.0 + 0.4 * step), step / 2, 1e9)
    assert [event.cpu_percent for event in events] == pytest.approx([50.0, 51.2, 52.4, 53.6])


def test_a_sample_that_could_not_be_written_is_tried_again() -> None:
    events: list[ev.Event] = []

    def emit(event: ev.Event) -> None:
        events.append(event)
        if len(events) == 1:
            raise OSError("no space left")

    thinning = Thinning(emit)
    with pytest.raises(OSError, match="no space"):
        thinning.emit("", HOST, 0.0, 1e9)
    thinning.emit("", HOST, 0.5, 1e9)
    assert events == [HOST, HOST]


class Replayed(HostSampler):
    """Reads what a test gives it."""

    def __init__(self) -> None:
        self.host, self.own, self.pids = HOST, OWN, {OWN.pid}

    def sample(self) -> ev.HostSample:
        return self.host

    def process_sample(self, trial: str, pid: int) -> ev.ProcessSample:
        return self.own

    def family(self, pid: int) -> list[int]:
        return [pid]

    def known(self) -> set[int]:
        return self.pids

    def forget(self, pid: int) -> None:
        self.pids.discard(pid)


class Machine:
    """Rounds of half a second on a machine without a GPU, and the worker's log beside them."""

    def __init__(self, folder: Path) -> None:
        self.host, self.now_s, self.lines = Replayed(), 0.0, []
        (folder / E2E).mkdir()
        self.journal = Journal(folder / E2E / "events.jsonl")
        gpu = GpuSampler(None)
        self.rounds = Rounds(lambda e: self.tell("", e), lambda: {E2E: 7}, gpu, self.host, folder=folder)
        self.rounds._absent = ev.GpuAbsent("none")
        self.tell("", ev.RunStarted("r", "demo", [E2E], 1))
        self.tell("", ev.TurnGranted(E2E, 1))
        self.worker(ev.WorkerStarted(E2E, 7, "cpu", "x", None, {}, 2, "fp32"))

    def tell(self, source: str, event: ev.Event) -> None:
        self.lines.append((source, Record(Stamp(0, round(self.now_s * 1e9), "b", ""), event)))

    def worker(self, *events: ev.Event) -> None:
        for event in events:
            self.journal.append(event)
            self.tell(E2E, event)

    def ticks(self, count: int) -> None:
        for _ in range(count):
            self.now_s += 0.5
            self.rounds.tick(self.now_s)

    def of(self, kind: type[ev.Event]) -> list[Any]:
        return [record.event for _, record in self.lines if isinstance(record.event, kind)]

    def trial(self) -> TrialState:
        folding = Fold()
        for source, record in self.lines:
            folding.apply(source, record)
        return folding.state.trials[E2E]


def test_a_quiet_machine_takes_few_lines_and_the_runs_clock_goes_on(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    machine.ticks(121)
    assert len(machine.of(ev.ProcessSample)) <= 121 / 6 + 2
    assert len(machine.of(ev.HostSample)) <= 121 / 2 + 2
    times = [record.stamp.t_ns / 1e9 for _, record in machine.lines]
    assert max(later - earlier for earlier, later in pairwise(times)) <= 1.0


@pytest.mark.parametrize("thinned", [True, False])
def test_seconds_of_a_disturbance_are_counted_as_if_every_sample_were_there(
    tmp_path: Path, thinned: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not thinned:
        monkeypatch.setattr(Thinning, "emit", lambda self, _, sample, *__: self._emit(sample))
    machine = Machine(tmp_path)
    progress = ev.Progress(1, 1, 1.0, 0.5, 8, 8, 8, 8, 8, 1.0, 0.1, 0.1)
    machine.ticks(5)
    machine.worker(ev.PhaseEntered("train"), progress)
    machine.ticks(16)
    machine.host.host = dataclasses.replace(HOST, busy_cpus=4.5)
    machine.ticks(9)
    machine.host.host = HOST
    machine.ticks(10)
    machine.worker(ev.PhaseEntered("evaluate"))
    machine.ticks(8)
    trial = machine.trial()
    assert trial.watched_s == pytest.approx(17.0)
    assert trial.disturbed_s == {"busy-cpu": pytest.approx(4.5)}
    assert trial.foreign_cpu_s == pytest.approx(4.5 * 2.5)


def test_a_log_of_a_version_that_told_every_sample_is_read_as_before() -> None:
    folding = Fold()
    lines: list[tuple[str, float, ev.Event]] = [
        ("", 0, ev.RunStarted("r", "demo", [E2E], 1)),
        ("", 0, ev.TurnGranted(E2E, 1)),
        (E2E, 0, ev.WorkerStarted(E2E, 7, "cpu", "x", None, {}, 2, "fp32")),
        (E2E, 0, ev.PhaseEntered("train")),
        (E2E, 0, ev.Progress(1, 1, 1.0, 0.5, 8, 8, 8, 8, 8, 1.0, 0.1, 0.1)),
    ]
    for t_s, busy in ((1.0, 2.1), (3.0, 4.5), (5.0, 2.1)):
        lines += [("", t_s, dataclasses.replace(HOST, busy_cpus=busy)), ("", t_s, OWN)]
    for source, t_s, event in lines:
        folding.apply(source, Record(Stamp(0, round(t_s * 1e9), "b", ""), event))
    trial = folding.state.trials[E2E]
    assert (trial.watched_s, trial.disturbed_s) == (4.0, {"busy-cpu": 2.0})
