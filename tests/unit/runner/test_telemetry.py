import os
import time
from collections.abc import Callable

from fake_nvml import FakeGpu, FakeNvml, error, process

from grambench.events.types import (
    Event,
    GpuAbsent,
    GpuSample,
    HostSample,
    ProcessSample,
    SamplerFinished,
    Warned,
)
from grambench.runner.gpu import GpuSampler
from grambench.runner.host import HostSampler
from grambench.runner.telemetry import SamplerThread

WAIT_S = 20.0


class Events(list[Event]):
    """Collects events; waits for a count of one kind."""

    def of(self, kind: type[Event]) -> list[Event]:
        return [event for event in self if isinstance(event, kind)]

    def wait(self, kind: type[Event], count: int) -> None:
        until(lambda: len(self.of(kind)) >= count)


def until(holds: Callable[[], bool]) -> None:
    end_s = time.monotonic() + WAIT_S
    while not holds():
        assert time.monotonic() < end_s
        time.sleep(0.002)


def no_gpu() -> GpuSampler:
    nvml = FakeNvml()
    nvml.init = error("DRIVER_NOT_LOADED")
    return GpuSampler(nvml)


def test_gpu_host_and_watched_workers_are_sampled() -> None:
    events, gpu = Events(), FakeGpu("GPU-a")
    gpu.compute = [process(os.getpid(), 77), process(1, 5)]
    thread = SamplerThread(events.append, 0.01, GpuSampler(FakeNvml(gpu)))
    thread.watch("e2e.s0", os.getpid())
    thread.start()
    events.wait(HostSample, 3)
    thread.stop()
    assert not thread.is_alive()
    assert len(events.of(GpuSample)) >= 3
    samples = events.of(ProcessSample)
    assert all(isinstance(s, ProcessSample) and s.gpu_memory_bytes == 77 for s in samples)
    assert all(isinstance(s, ProcessSample) and s.trial == "e2e.s0" for s in samples)
    assert not events.of(Warned)


def test_a_machine_without_a_gpu_says_so_once_and_in_each_process_sample() -> None:
    events = Events()
    thread = SamplerThread(events.append, 0.01, no_gpu())
    thread.watch("e2e.s0", os.getpid())
    thread.start()
    events.wait(ProcessSample, 3)
    thread.stop()
    assert events.of(GpuAbsent) == [GpuAbsent("Driver Not Loaded")]
    assert not events.of(GpuSample)
    last = events.of(ProcessSample)[-1]
    assert isinstance(last, ProcessSample)
    assert last.rss_bytes is not None
    assert last.reasons == {"gpu_memory_bytes": "Driver Not Loaded"}


def test_only_watched_workers_are_sampled() -> None:
    events, host = Events(), HostSampler()
    thread = SamplerThread(events.append, 0.01, no_gpu(), host)
    thread.start()
    events.wait(HostSample, 2)
    assert not events.of(ProcessSample)
    thread.watch("e2e.s0", os.getpid())
    events.wait(ProcessSample, 2)
    thread.unwatch("e2e.s0")
    thread.unwatch("unknown")
    until(lambda: not host.known())
    seen = len(events.of(ProcessSample))
    hosts = len(events.of(HostSample))
    events.wait(HostSample, hosts + 3)
    thread.stop()
    assert len(events.of(ProcessSample)) == seen


def test_a_failing_sampler_warns_once_per_cause_and_is_tried_again() -> None:
    class Failing(HostSampler):
        calls = 0

        def sample(self) -> HostSample:
            self.calls += 1
            if self.calls <= 6:
                raise ValueError("cause A" if self.calls % 2 else "cause B")
            return super().sample()

    events = Events()
    thread = SamplerThread(events.append, 0.005, no_gpu(), Failing())
    thread.start()
    events.wait(HostSample, 2)
    thread.stop()
    assert events.of(Warned) == [
        Warned("host-sampling-failed", "host sampling failed: ValueError: cause A"),
        Warned("host-sampling-failed", "host sampling failed: ValueError: cause B"),
    ]


def test_ever_new_causes_do_not_flood_the_log() -> None:
    class Failing(HostSampler):
        calls = 0

        def sample(self) -> HostSample:
            self.calls += 1
            raise ValueError(str(self.calls))

    events, host = Events(), Failing()
    thread = SamplerThread(events.append, 0.001, no_gpu(), host)
    thread.start()
    until(lambda: host.calls > 50)
    thread.stop()
    assert len(events.of(Warned)) == 32


def test_a_log_that_cannot_be_written_does_not_end_the_sampling() -> None:
    calls: list[Event] = []

    def full(event: Event) -> None:
        calls.append(event)
        raise OSError("no space left")

    thread = SamplerThread(full, 0.005, no_gpu())
    thread.start()
    until(lambda: len(calls) > 5)
    assert thread.is_alive()
    thread.stop()
    assert not thread.is_alive()


def test_stop_does_not_wait_for_the_period_and_closes_nvml() -> None:
    events, nvml = Events(), FakeNvml(FakeGpu("GPU-a"))
    thread = SamplerThread(events.append, 3600.0, GpuSampler(nvml))
    thread.start()
    events.wait(GpuSample, 1)
    thread.stop()
    assert not thread.is_alive()
    assert nvml.shutdowns == 1
    assert len(events.of(GpuSample)) == 1


def test_stop_before_start_is_harmless() -> None:
    SamplerThread(Events().append, 0.01, no_gpu()).stop()


def test_ticks_missed_by_a_slow_sample_are_skipped_not_made_up_for() -> None:
    class Slow(HostSampler):
        calls = 0

        def sample(self) -> HostSample:
            self.calls += 1
            if self.calls == 1:
                time.sleep(0.5)
            return super().sample()

    events, host = Events(), Slow()
    thread = SamplerThread(events.append, 0.05, no_gpu(), host)
    begin_s = time.monotonic()
    thread.start()
    events.wait(HostSample, 4)
    thread.stop()
    ticks_left = (time.monotonic() - begin_s - 0.5) / 0.05
    assert host.calls <= ticks_left + 3


def test_memory_of_a_family_is_unknown_when_a_part_of_it_is() -> None:
    events, gpu = Events(), FakeGpu("GPU-a")

    class Family(HostSampler):
        def family(self, pid: int) -> list[int]:
            return [pid, 4_000_001, 4_000_002]

    gpu.compute = [process(os.getpid(), 70), process(4_000_001, 7)]
    thread = SamplerThread(events.append, 0.01, GpuSampler(FakeNvml(gpu)), Family())
    thread.watch("e2e.s0", os.getpid())
    thread.start()
    events.wait(ProcessSample, 1)
    first = events.of(ProcessSample)[0]
    gpu.compute = [process(os.getpid(), 70), process(4_000_001, None)]
    until(lambda: any(getattr(e, "gpu_memory_bytes", 0) is None for e in list(events)))
    thread.stop()
    assert isinstance(first, ProcessSample)
    assert first.gpu_memory_bytes == 77


def test_an_edge_is_sampled_without_waiting_for_the_tick() -> None:
    events = Events()
    thread = SamplerThread(events.append, 3600.0, GpuSampler(FakeNvml(FakeGpu("GPU-a"))))
    thread.start()
    events.wait(GpuSample, 1)
    thread.edge()
    events.wait(GpuSample, 2)
    thread.watch("e2e.s0", os.getpid())
    events.wait(GpuSample, 3)
    thread.unwatch("e2e.s0")
    events.wait(GpuSample, 4)
    thread.stop()
    edges = [getattr(event, "edge", None) for event in events.of(GpuSample)]
    assert edges == [False, True, True, True]
    assert all(getattr(event, "energy_j", None) for event in events.of(GpuSample))


def test_an_edge_just_before_the_end_is_still_sampled() -> None:
    events = Events()
    thread = SamplerThread(events.append, 3600.0, GpuSampler(FakeNvml(FakeGpu("GPU-a"))))
    thread.start()
    events.wait(GpuSample, 1)
    thread.edge()
    thread.stop()
    assert [getattr(event, "edge", None) for event in events.of(GpuSample)] == [False, True]


def test_settling_waits_for_the_samples_of_a_whole_tick() -> None:
    events, gpu = Events(), FakeGpu("GPU-a")
    gpu.compute = [process(os.getpid(), 77)]
    thread = SamplerThread(events.append, 0.2, GpuSampler(FakeNvml(gpu)))
    thread.watch("e2e.s0", os.getpid())
    thread.start()
    events.wait(ProcessSample, 1)
    gpu.compute = [process(os.getpid(), 99)]
    thread.edge()
    thread.settle(WAIT_S)
    last = events.of(ProcessSample)[-1]
    thread.stop()
    assert isinstance(last, ProcessSample)
    assert last.gpu_memory_bytes == 99


def test_settling_waits_for_no_thread_that_does_not_run() -> None:
    thread = SamplerThread(Events().append, 0.01, no_gpu())
    thread.settle(3600.0)
    thread.start()
    thread.stop()
    thread.settle(3600.0)


def test_the_last_event_tells_the_cost() -> None:
    events = Events()
    thread = SamplerThread(events.append, 0.01, GpuSampler(FakeNvml(FakeGpu("GPU-a"))))
    thread.start()
    events.wait(GpuSample, 3)
    thread.stop()
    cost = events[-1]
    assert isinstance(cost, SamplerFinished)
    assert len(events.of(SamplerFinished)) == 1
    assert cost.rounds == len(events.of(GpuSample))
    assert cost.nvml_calls >= 4 * cost.rounds
    assert 0 < cost.cpu_s < 60
    assert 0 < cost.nvml_s < cost.seconds
