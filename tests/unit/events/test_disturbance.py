"""What counts as a disturbance of a trial's training, sample by sample."""

import dataclasses
from typing import Any

import pytest

from grambench.events import types as ev
from grambench.events.codec import Record, Stamp
from grambench.events.disturbance import disturbances
from grambench.events.fold import Fold
from grambench.events.state import TrialState

E2E, OTHER, UUID = "e2e.s0", "gram-1s.s0", "GPU-a"
HOST = ev.HostSample(50.0, 1, 2, cpus=8, busy_cpus=2.1, pressure_percent=0.5, swap_bytes_per_s=0.0)
OWN = ev.ProcessSample(E2E, 7, 1, cpu_percent=200.0, waiting_percent=0.5, major_faults_per_s=0.0)
GPU = ev.GpuSample(UUID, 0, "H100", throttle=["power cap", "fixed clocks"], foreign_processes=0)
OLD_HOST, OLD_OWN = ev.HostSample(99.0, 1, 2), ev.ProcessSample(E2E, 7, 1, cpu_percent=60.0)


class Run:
    """One trial that trains on two threads and holds the turn; half a second a sample."""

    def __init__(self, gpu_uuid: str | None = None) -> None:
        self.fold, self.now = Fold(), 0.0
        self.tell("", ev.RunStarted("r", "demo", [E2E, OTHER], 1), ev.TurnGranted(E2E, 1))
        self.tell(
            E2E, ev.WorkerStarted(E2E, 7, "cpu", "x", gpu_uuid, {}, 2, "fp32"), ev.PhaseEntered("train")
        )
        self.tell(E2E, ev.Progress(1, 1, 1.0, 0.5, 8, 8, 8, 8, 8, 1.0, 0.1, 0.1))

    def tell(self, source: str, *events: ev.Event) -> None:
        for event in events:
            self.fold.apply(source, Record(Stamp(0, round(self.now * 1e9), "b", ""), event))

    def sample(self, times: int, *events: ev.Event) -> TrialState:
        for _ in range(times):
            self.tell("", *events)
            self.now += 0.5
        return self.fold.state.trials[E2E]


def codes(trial: TrialState) -> list[str]:
    return [found.code for found in disturbances(trial)]


def changed(event: Any, **fields: Any) -> Any:
    return dataclasses.replace(event, **fields)


def test_a_quiet_machine_disturbs_nobody() -> None:
    trial = Run(UUID).sample(21, GPU, HOST, OWN)
    assert (trial.watched_s, trial.disturbed_s, codes(trial)) == (10.0, {}, [])


@pytest.mark.parametrize(
    ("code", "gpu_uuid", "events"),
    [
        ("busy-cpu", None, (changed(HOST, busy_cpus=2.4), changed(OWN, waiting_percent=12.0))),
        ("busy-cpu", UUID, (changed(HOST, busy_cpus=2.4), changed(OWN, waiting_percent=12.0))),
        ("busy-cpu", None, (changed(HOST, busy_cpus=4.1), OWN)),
        (
            "busy-cpu",
            None,
            (changed(HOST, busy_cpus=2.4, pressure_percent=30.0), changed(OWN, waiting_percent=None)),
        ),
        ("busy-cpu", None, (OLD_HOST, OLD_OWN)),
        ("cpu-quota", None, (changed(HOST, throttled_percent=40.0), OWN)),
        ("swapping", None, (changed(HOST, swap_bytes_per_s=5e6), changed(OWN, major_faults_per_s=90.0))),
        ("shared-gpu", UUID, (changed(GPU, foreign_processes=1), HOST, OWN)),
        ("slowed-gpu", UUID, (changed(GPU, throttle=["heat"]), HOST, OWN)),
    ],
)
def test_each_kind_is_counted(code: str, gpu_uuid: str | None, events: tuple[ev.Event, ...]) -> None:
    trial = Run(gpu_uuid).sample(21, *events)
    assert trial.disturbed_s == {code: 10.0}
    (found,) = disturbances(trial)
    assert found.code == code
    assert "during 100% of its training (10 s)" in found.message
    assert len(found.label) <= 15


@pytest.mark.parametrize(
    ("gpu_uuid", "events"),
    [
        pytest.param(None, (HOST, changed(OWN, waiting_percent=60.0)), id="it waits for its own threads"),
        pytest.param(UUID, (changed(HOST, busy_cpus=5.0), OWN), id="others on other CPUs, and it on a GPU"),
        pytest.param(None, (OLD_HOST, changed(OLD_OWN, cpu_percent=190.0)), id="it is the load itself"),
        pytest.param(None, (changed(OLD_HOST, cpu_percent=60.0), OLD_OWN), id="there are idle CPUs"),
        pytest.param(UUID, (OLD_HOST, OLD_OWN), id="an older log does not say it of a GPU's host"),
        pytest.param(None, (changed(HOST, swap_bytes_per_s=5e6), OWN), id="others are swapped out"),
        pytest.param(None, (changed(GPU, foreign_processes=3), HOST, OWN), id="it trains on the CPU"),
    ],
)
def test_what_disturbs_nobody(gpu_uuid: str | None, events: tuple[ev.Event, ...]) -> None:
    assert Run(gpu_uuid).sample(21, *events).disturbed_s == {}


def test_the_run_s_other_workers_are_not_foreign() -> None:
    run = Run()
    other = ev.ProcessSample(OTHER, 8, 1, cpu_percent=400.0)
    busy = changed(HOST, busy_cpus=6.1)
    assert run.sample(11, busy, other, OWN).disturbed_s == {}
    run.tell("", ev.WorkerExited(OTHER, 0))
    run.tell(OTHER, ev.TrialFinished("completed"))
    assert run.sample(11, busy, OWN).disturbed_s == {"busy-cpu": 5.5}


def test_only_training_with_a_turn_is_disturbed() -> None:
    busy = changed(HOST, busy_cpus=8.0), OWN
    run = Run()
    run.tell(E2E, ev.PhaseEntered("evaluate"))
    assert run.sample(9, *busy).watched_s == 0.0
    run.tell(E2E, ev.PhaseEntered("train"), ev.TurnEnded(1, 1.0, 0.0))
    assert run.sample(9, *busy).watched_s == 0.0
    run.tell("", ev.TurnGranted(E2E, 2))
    assert run.sample(9, *busy).watched_s == 4.0
    run.now += 60.0  # nobody sampled
    assert run.sample(1, *busy).watched_s == 4.0


def test_a_hiccup_is_no_warning_and_a_share_is_told() -> None:
    run = Run()
    busy = changed(HOST, busy_cpus=8.0), OWN
    run.sample(1, HOST, OWN)
    assert codes(run.sample(3, *busy)) == []  # 1.5 s
    (found,) = disturbances(run.sample(1, *busy))
    assert found.message == (
        "other processes kept the CPUs busy during 100% of its training (2 s): they used 6.0 of 8 on average"
    )
    assert codes(run.sample(75, HOST, OWN)) == ["busy-cpu"]
    assert codes(run.sample(2, HOST, OWN)) == []  # 2 s are less than 5 % now


def means(trial: TrialState) -> dict[str, tuple[float, float]]:
    return {name: (weighed.mean, weighed.seconds) for name, weighed in trial.load.items()}


def test_load_is_a_mean_over_training_weighted_by_time() -> None:
    run = Run(UUID)
    run.sample(5, changed(GPU, utilization_percent=80.0, power_w=500.0, sm_clock_mhz=1900), HOST, OWN)
    run.now += 0.5
    busy = changed(HOST, busy_cpus=5.0)
    trial = run.sample(1, changed(GPU, utilization_percent=20.0, power_w=200.0), busy, OWN)
    assert means(trial) == {  # four samples of .5 s, then one of 1 s; the clock of before stands
        "utilization_percent": (60.0, 3.0),
        "power_w": (400.0, 3.0),
        "sm_clock_mhz": (1900.0, 3.0),
        "cpu_percent": (200.0, 3.0),
        "foreign_cpus": (pytest.approx((2 * 0.1 + 1 * 3.0) / 3), 3.0),
    }


def test_readings_outside_training_are_no_load() -> None:
    run, idle = Run(UUID), changed(GPU, utilization_percent=0.0)
    run.sample(3, changed(GPU, utilization_percent=90.0), HOST, OWN)
    run.tell(E2E, ev.PhaseEntered("evaluate"))
    run.sample(5, idle, HOST, OWN)
    run.tell(E2E, ev.PhaseEntered("train"))
    trial = run.sample(1, idle, HOST, OWN)
    assert means(trial)["utilization_percent"] == (90.0, 1.0)
    run.tell("", ev.TurnGranted(OTHER, 2))
    run.tell(E2E, ev.TurnEnded(1, 1.0, 0.0))
    trial = run.sample(1, changed(GPU, utilization_percent=70.0, edge=True), HOST, OWN)
    assert means(trial)["utilization_percent"] == (pytest.approx((90 + 35) / 1.5), 1.5)  # up to the edge
    run.now += 60.0
    assert means(run.sample(1, GPU, HOST, OWN))["utilization_percent"][1] == 1.5  # nobody sampled


def test_samples_that_were_omitted_count_like_the_line_before() -> None:
    run = Run()
    run.sample(1, HOST, changed(OWN, seconds=0.5))
    run.now += 2.5
    trial = run.sample(1, HOST, changed(OWN, cpu_percent=20.0, seconds=0.5))
    assert means(trial)["cpu_percent"] == (pytest.approx((2.5 * 200 + 0.5 * 20) / 3), 3.0)


def test_stops_are_added_up() -> None:
    run = Run()
    run.tell(E2E, ev.Warned("stopped", "x"), ev.ProcessStopped(2.0, 1.5), ev.ProcessStopped(3.0))
    (found,) = disturbances(run.fold.state.trials[E2E])
    assert (found.code, found.label) == ("stopped", "stopped 5 s")
    assert found.message == (
        "its process was stopped 2 times, 5.0 s in all (SIGSTOP, or a frozen container or job);"
        " 1.5 s of it are excluded from its training time"
    )
    run.tell("setup", ev.ProcessStopped(9.0))
    assert run.fold.state.trials[E2E].stopped_s == 5.0
