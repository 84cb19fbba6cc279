"""How often NVML is asked, by a fake module and a fake clock, and what each sample then carries."""

from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fake_nvml import MIB, FakeGpu, FakeNvml, process

from grambench.events import types as ev
from grambench.events.journal import Journal
from grambench.runner.gpu import GpuSampler
from grambench.runner.host import HostSampler
from grambench.runner.rounds import Rounds

FIVE = {f"trial-{number}.s0": 100 + number for number in range(5)}
LISTS = "nvmlDeviceGetComputeRunningProcesses"
ENERGY = "nvmlDeviceGetTotalEnergyConsumption"


class CountingNvml(FakeNvml):
    """Counts its calls by name, apart from the sampler's own count; a call takes `call_s`."""

    def __init__(self, *gpus: FakeGpu) -> None:
        super().__init__(*gpus)
        self.calls: Counter[str] = Counter()
        self.now_s, self.call_s = 1000.0, {}

    def __getattribute__(self, name: str) -> Any:
        found = super().__getattribute__(name)
        if not name.startswith("nvml") or not callable(found):
            return found

        def counted(*arguments: Any, **options: Any) -> Any:
            self.calls[name] += 1
            self.now_s += self.call_s.get(name, 0.0)
            return found(*arguments, **options)

        return counted


class FakeHost(HostSampler):
    """No process is looked at."""

    def __init__(self) -> None:
        self.pids: set[int] = set()

    def sample(self) -> ev.HostSample:
        return ev.HostSample(1.0, 1, 2)

    def process_sample(self, trial: str, pid: int) -> ev.ProcessSample:
        self.pids.add(pid)
        return ev.ProcessSample(trial, pid, rss_bytes=7, cpu_percent=1.0)

    def family(self, pid: int) -> list[int]:
        return [pid]

    def known(self) -> set[int]:
        return set(self.pids)

    def forget(self, pid: int) -> None:
        self.pids.discard(pid)


class Machine:
    """One GPU, watched workers, and rounds whose clock the test moves."""

    def __init__(self, folder: Path | None = None) -> None:
        self.gpu, self.watched, self.events = FakeGpu("GPU-a"), dict(FIVE), []
        self.gpu.compute = [process(pid, 10 * MIB) for pid in FIVE.values()]
        self.nvml = CountingNvml(self.gpu)
        sampler = GpuSampler(self.nvml, clock=lambda: self.nvml.now_s)
        self.rounds = Rounds(
            self.events.append, lambda: dict(self.watched), sampler, FakeHost(), folder=folder
        )
        self.rounds.open()
        self.ticks(1, edge=True)

    def ticks(self, count: int, edge: bool = False) -> Counter[str]:
        """So many rounds, half a second apart; the calls in them."""
        self.nvml.calls.clear()
        for _ in range(count):
            self.nvml.now_s += 0.5
            self.rounds.tick(self.nvml.now_s, edge)
        return Counter(self.nvml.calls)

    def last(self, kind: type[ev.Event]) -> Any:
        return next(event for event in reversed(self.events) if isinstance(event, kind))


def test_five_trials_cost_at_most_700_calls_a_minute() -> None:
    calls = Machine().ticks(120)
    assert calls == {
        "nvmlDeviceGetMemoryInfo": 120,
        "nvmlDeviceGetUtilizationRates": 120,
        "nvmlDeviceGetPowerUsage": 120,
        "nvmlDeviceGetTemperatureV": 120,
        "nvmlDeviceGetClockInfo": 120,
        "nvmlDeviceGetCurrentClocksEventReasons": 60,
        ENERGY: 4,
        LISTS: 12,
        "nvmlDeviceGetGraphicsRunningProcesses": 12,
    }
    assert calls.total() <= 700


def test_more_trials_cost_no_call_more() -> None:
    one, five = Machine(), Machine()
    one.watched = {"e2e.s0": 100}
    one.ticks(1)
    assert one.ticks(60) == five.ticks(60)


def test_between_its_readings_a_sample_leaves_clocks_and_energy_out_without_a_reason() -> None:
    machine = Machine()
    assert (machine.last(ev.GpuSample).energy_j, machine.last(ev.GpuSample).sm_clock_mhz) == (9000.5, 1980)
    machine.ticks(1)
    sample = machine.last(ev.GpuSample)
    assert (sample.energy_j, sample.sm_clock_mhz, sample.memory_clock_mhz, sample.throttle) == (None,) * 4
    assert sample.reasons == {}
    assert (sample.power_w, sample.temperature_c) == (123.456, 55.0)
    machine.ticks(1)
    assert machine.last(ev.GpuSample).sm_clock_mhz == 1980


def test_an_edge_reads_energy_and_lists_at_once_and_once_for_all() -> None:
    machine = Machine()
    machine.ticks(1)
    machine.nvml.calls.clear()
    machine.rounds.edge(machine.nvml.now_s + 0.1)
    assert (machine.nvml.calls[ENERGY], machine.nvml.calls[LISTS]) == (1, 1)
    sample = machine.last(ev.GpuSample)
    assert sample.edge
    assert sample.energy_j == 9000.5
    machine.ticks(1)
    assert not machine.last(ev.GpuSample).edge


def test_others_that_compute_on_a_gpu_are_counted_when_processes_are_listed() -> None:
    machine = Machine()
    machine.ticks(1)
    assert machine.last(ev.GpuSample).foreign_processes == 0
    machine.gpu.compute += [process(4711, MIB), process(4712, MIB)]
    machine.ticks(11)
    told = [e.foreign_processes for e in machine.events if isinstance(e, ev.GpuSample)]
    assert [count for count in told if count] == [2]
    assert machine.last(ev.GpuSample).foreign_processes is None  # between two readings of the lists


def test_workers_are_told_of_when_a_gpu_begins_to_be_shared_or_slowed() -> None:
    machine = Machine()
    machine.ticks(2)
    machine.events.clear()
    machine.gpu.compute.append(process(4711, MIB))
    machine.ticks(12)
    kinds = [type(event) for event in machine.events]
    shared = next(place for place, e in enumerate(machine.events) if getattr(e, "foreign_processes", 0))
    assert kinds[shared : shared + 7] == [ev.GpuSample, ev.HostSample, *[ev.ProcessSample] * 5]
    machine.ticks(3)
    machine.events.clear()
    machine.gpu.throttle = 0x20  # heat
    machine.ticks(2)
    assert [e.throttle for e in machine.events if isinstance(e, ev.GpuSample) and e.throttle] == [["heat"]]
    assert sum(isinstance(event, ev.ProcessSample) for event in machine.events) == 5


def test_a_list_without_our_workers_says_nothing_about_others() -> None:
    machine = Machine()
    machine.gpu.compute = [process(4711, MIB)]  # perhaps a container's own worker, by the host's number
    machine.events.clear()
    machine.ticks(12)
    told = {e.foreign_processes for e in machine.events if isinstance(e, ev.GpuSample)}
    assert told <= {None, 0}


def test_the_first_sample_closes_nothing() -> None:
    assert not Machine().last(ev.GpuSample).edge


def test_a_phase_in_a_workers_log_is_an_edge_of_no_turn(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    machine.ticks(1)
    (tmp_path / "trial-3.s0").mkdir()
    with Journal(tmp_path / "trial-3.s0" / "events.jsonl") as journal:
        journal.append(ev.PhaseEntered("train"))
    calls = machine.ticks(1)
    assert (calls[ENERGY], calls[LISTS]) == (1, 1)
    assert not machine.last(ev.GpuSample).edge


def test_between_two_listings_a_process_keeps_its_last_memory() -> None:
    machine = Machine()
    machine.gpu.compute = [process(pid, 50 * MIB) for pid in FIVE.values()]
    machine.ticks(1)
    assert machine.last(ev.ProcessSample).gpu_memory_bytes == 10 * MIB
    machine.ticks(9)
    assert machine.last(ev.ProcessSample).gpu_memory_bytes == 50 * MIB


def test_a_new_worker_is_listed_at_its_first_sample() -> None:
    machine = Machine()
    machine.gpu.compute.append(process(200, 3 * MIB))
    machine.watched["late.s0"] = 200
    assert machine.ticks(1)[LISTS] == 1
    assert machine.last(ev.ProcessSample).gpu_memory_bytes == 3 * MIB
    assert machine.ticks(1)[LISTS] == 0


def test_memory_that_grows_is_listed_before_its_turn() -> None:
    machine = Machine()
    machine.gpu.memory = (5_000 * MIB, 80_000 * MIB)
    machine.gpu.compute = [process(pid, 999 * MIB) for pid in FIVE.values()]
    assert machine.ticks(1)[LISTS] == 1
    assert machine.last(ev.ProcessSample).gpu_memory_bytes == 999 * MIB
    assert machine.ticks(5)[LISTS] == 0


def test_lists_that_cannot_be_read_are_not_asked_for_more_often() -> None:
    machine = Machine()
    machine.gpu.compute = OSError("no lists")
    calls = machine.ticks(120)
    assert calls[LISTS] == 12
    assert machine.last(ev.ProcessSample).reasons == {"gpu_memory_bytes": "GPU 0: no lists"}


def test_the_end_tells_what_sampling_has_cost(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine()
    machine.nvml.call_s = {ENERGY: 0.032, "nvmlDeviceGetPowerUsage": 0.25e-3}
    calls = machine.ticks(30)
    monkeypatch.setattr("grambench.runner.rounds.time", SimpleNamespace(thread_time=lambda: 0.5))
    machine.rounds.close(15.5)
    cost = machine.last(ev.SamplerFinished)
    first = 4 + 3 + 1 + 2  # the calls of the round before
    assert (cost.seconds, cost.rounds, cost.cpu_s) == (15.5, 31, 0.5)
    assert cost.nvml_calls == calls.total() + first
    assert cost.nvml_s == pytest.approx(0.032 * calls[ENERGY] + 30 * 0.25e-3)
    assert (cost.nvml_slowest, cost.nvml_slowest_s) == (ENERGY, pytest.approx(0.032))


def test_a_call_that_fails_has_cost_its_time_too() -> None:
    machine = Machine()
    machine.gpu.power = OSError("no power")
    calls = machine.ticks(1)
    machine.rounds.close(1.0)
    assert machine.last(ev.SamplerFinished).nvml_calls == 10 + calls.total() == 10 + 4


def test_without_a_driver_there_was_no_call() -> None:
    events: list[ev.Event] = []
    rounds = Rounds(events.append, dict, GpuSampler(FakeNvml()), FakeHost())
    rounds.open()
    rounds.tick(1.0)
    rounds.close(1.0)
    absent, cost = events
    assert isinstance(absent, ev.GpuAbsent)
    assert isinstance(cost, ev.SamplerFinished)
    assert (cost.nvml_calls, cost.nvml_slowest) == (0, "")
