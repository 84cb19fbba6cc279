import dataclasses
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grambench.errors import ExitCode
from grambench.events import types as ev
from grambench.events.codec import REGISTRY, Record, Stamp, encode
from grambench.events.energy import GAP_S
from grambench.events.fold import HANDLERS, LOG_KEPT, Fold, fold
from grambench.events.folding.trial import WINDOWS_KEPT
from grambench.events.reader import RunReader, read_run
from grambench.events.state import RunState, TrialState
from grambench.events.types import Event

E2E, GRAM = "e2e.s0", "gram-10s.s1"


def at(t_s: float, event: Event, boot: str = "b") -> Record:
    return Record(Stamp(0, round(t_s * 1e9), boot, f"wall {t_s}"), event)


def progress(step: int, train_s: float, **changes: Any) -> ev.Progress:
    fields: dict[str, Any] = {
        "epoch": 1,
        "step": step,
        "train_s": train_s,
        "encode_s": train_s / 2,
        "samples": 8 * step,
        "occurrences": 20 * step,
        "unique_items": 10 * step,
        "items_encoded": 10 * step,
        "tokens_encoded": 50 * step,
        "loss": 1.0 / (step + 1),
        "encoder_lr": 1e-4,
        "filter_lr": 1e-3,
    }
    return ev.Progress(**fields | changes)


def evaluated(epoch: int, auc: float | None, best: bool, part: Any = "validation") -> ev.Evaluated:
    return ev.Evaluated(part, epoch, 10 * epoch, 5.0 * epoch, {"auc": auc}, 9, 1, False, 0.1, best)


def started(trial: str, gpu_uuid: str | None = None) -> ev.WorkerStarted:
    return ev.WorkerStarted(trial, 7, "cuda:0" if gpu_uuid else "cpu", "x", gpu_uuid, {}, 1, "fp32")


def gpu(uuid: str = "GPU-a", **fields: Any) -> ev.GpuSample:
    return ev.GpuSample(uuid, 0, "H200", **fields)


def run_started(*trials: str) -> ev.RunStarted:
    return ev.RunStarted("r1", "demo", list(trials), 5, "model", "data", "sequential")


def folded(*events: tuple[str, float, Event]) -> RunState:
    return fold((source, at(t_s, event)) for source, t_s, event in events)


def a_trial(name: str, t_s: float) -> tuple[list[Record], list[Record]]:
    """Records of the supervisor and of the worker of one whole trial."""
    supervisor = [
        at(t_s, ev.WorkerSpawned(name, 7)),
        at(t_s, ev.TurnGranted(name, 1)),
        at(t_s + 3, ev.ProcessSample(name, 7, rss_bytes=100)),
        at(t_s + 9, ev.WorkerExited(name, 0)),
    ]
    worker = [
        at(t_s + 1, started(name)),
        at(t_s + 2, ev.PhaseEntered("train")),
        at(t_s + 3, progress(5, 2.5)),
        at(t_s + 4, ev.WindowClosed(1, 5, 5, 3, 9, 0.25, 0.5, 1.0)),
        at(t_s + 5, progress(10, 5.0)),
        at(t_s + 5, ev.EpochFinished(1, 10, 5.0, 80, 200, 100, 100, 500)),
        at(t_s + 6, evaluated(1, 0.6, True)),
        at(t_s + 7, ev.CheckpointSaved("best", 1, 10, 99, "00", 0.1)),
        at(t_s + 7, ev.Warned("code", "message")),
        at(t_s + 8, evaluated(1, 0.7, True, "test")),
        at(t_s + 8, ev.TrialFinished("early-stopped", "no better")),
    ]
    return supervisor, worker


# --- every event -------------------------------------------------------------------------------


def test_every_event_has_a_handler() -> None:
    assert set(HANDLERS) == set(REGISTRY.values())


def test_the_start_names_all_trials_in_order() -> None:
    state = folded(("", 1.0, run_started(GRAM, E2E)))
    assert (state.run, state.preset, state.pid) == ("r1", "demo", 5)
    assert (state.model_label, state.data_label, state.schedule) == ("model", "data", "sequential")
    assert list(state.trials) == [GRAM, E2E]
    trial = state.trials[GRAM]
    assert (trial.name, trial.strategy, trial.seed) == (GRAM, "gram-10s", 1)
    assert (trial.phase, trial.ended, trial.train_s) == (None, False, 0.0)
    assert state.started_wall == "wall 1.0"


def test_a_whole_trial_is_told() -> None:
    supervisor, worker = a_trial(GRAM, 10.0)
    records = sorted(supervisor + worker, key=lambda record: record.stamp.t_ns)
    state = fold([("", at(0, run_started(GRAM))), *((source_of(r, GRAM), r) for r in records)])
    trial = state.trials[GRAM]
    assert (trial.outcome, trial.reason, trial.exit_code) == ("early-stopped", "no better", 0)
    assert trial.phase == "train"
    assert trial.train_s == 5.0
    assert trial.rate == (80 - 40) / 2.5
    assert trial.loss_series.ys == [1 / 6, 1 / 11]
    assert trial.drift_series.ys == [0.25]
    assert trial.best is not None
    assert trial.best.metrics == {"auc": 0.6}
    assert trial.test is not None
    assert trial.test.metrics == {"auc": 0.7}
    assert [e.part for e in trial.evaluations] == ["validation"]
    assert trial.windows_closed == 1
    assert trial.checkpoint is not None
    assert trial.warnings == {"code": "message"}
    assert (trial.rss_bytes, trial.peak_rss_bytes) == (100, 100)
    assert state.active is None
    assert state.elapsed_s == 19.0


def test_a_run_whose_libraries_load_is_setting_up() -> None:
    begun = folded(("", 0, run_started(E2E)), ("", 0, ev.Preloading(7)))
    assert begun.setup.phase == "start"
    assert [line.text for line in begun.log] == ["process 7 loads the libraries for all workers"]
    loaded = folded(
        ("", 0, run_started(E2E)),
        ("", 1, ev.Preloading(7)),
        ("setup", 2, ev.PhaseEntered("prepare")),
        ("", 5, ev.Preloading(7, 4.25)),
    )
    assert loaded.setup.phase == "prepare"
    assert loaded.log[-1].text == "libraries loaded in 4.2 s"


def source_of(record: Record, name: str) -> str:
    mine = (ev.WorkerSpawned, ev.TurnGranted, ev.ProcessSample, ev.WorkerExited, ev.RunStarted)
    return "" if isinstance(record.event, mine) else name


def test_setup_is_kept_apart_from_the_trials() -> None:
    data = ev.DataPrepared("/d", "f" * 64, {"items": 3}, 1.5, True)
    audit = ev.AuditFinished(True, 1e-9, 16, 80, 40, 1e-12, 1e-11, 1e-12, 1e-11, 0.1)
    state = folded(
        ("", 0, run_started(E2E)),
        ("", 0, ev.WorkerSpawned("setup", 3)),
        ("", 0, ev.TurnGranted("setup", 0)),
        ("setup", 1, started("setup")),
        ("setup", 1, ev.PhaseEntered("prepare")),
        ("setup", 1, ev.PrepareProgress("texts", 1, 2)),
        ("setup", 2, data),
        ("setup", 3, ev.PhaseEntered("audit")),
        ("setup", 4, audit),
        ("", 4, ev.ProcessSample("setup", 3, rss_bytes=5)),
        ("setup", 4, ev.Warned("a", "m")),
        ("setup", 5, ev.TrialFinished("completed")),
        ("", 5, ev.WorkerExited("setup", 0)),
        ("", 6, ev.RunFinished(0, 6.0)),
    )
    assert list(state.trials) == [E2E]
    setup = state.setup
    assert (setup.data, setup.audit, setup.phase, setup.outcome) == (data, audit, "audit", "completed")
    assert setup.prepare == ev.PrepareProgress("texts", 1, 2)
    assert state.warnings == {"a": "m"}
    assert (state.finished, state.exit_code, state.seconds) == (True, 0, 6.0)


@pytest.mark.parametrize(("code", "cause"), [(-9, "signal 9"), (1, "exit code 1"), (0, "exit code 0")])
def test_a_worker_that_ends_without_a_word_has_failed(code: int, cause: str) -> None:
    state = folded(
        ("", 0, run_started(E2E)),
        ("", 0, ev.TurnGranted(E2E, 1)),
        (E2E, 1, ev.PhaseEntered("load")),
        ("", 2, ev.WorkerExited(E2E, code)),
    )
    trial = state.trials[E2E]
    assert (trial.outcome, trial.exit_code) == ("failed", code)
    assert trial.reason == f"the worker ended with {cause} in phase load"
    assert state.active is None


@pytest.mark.parametrize("trial", [E2E, "setup"])
def test_a_worker_that_the_runner_kills_after_a_stop_was_stopped(trial: str) -> None:
    state = folded(
        ("", 0, run_started(E2E)),
        (trial, 1, ev.PhaseEntered("evaluate")),
        ("", 2, ev.WorkerExited(trial, -9, "", stopped=True)),
    )
    ended = state.setup if trial == "setup" else state.trials[E2E]
    assert (ended.outcome, ended.exit_code) == ("stopped", -9)
    assert ended.reason == "the end of the run ended the worker in phase evaluate"
    assert state.log[-1].severity == "info"


def test_host_and_absent_gpu_are_kept() -> None:
    state = folded(("", 0, ev.HostSample(12.0, 3, 4)), ("", 0, ev.GpuAbsent("no driver")))
    assert (state.host.cpu_percent, state.host.memory_used_bytes) == (12.0, 3)
    assert state.gpu_absent == "no driver"


# --- numbers -----------------------------------------------------------------------------------


def test_the_rate_is_that_of_the_last_few_events() -> None:
    events = [(E2E, float(n), progress(n, float(n))) for n in range(20)]
    slow = [(E2E, 20.0 + n, progress(20 + n, 20.0 + 4 * n)) for n in range(20)]
    state = folded(*events, *slow)
    assert state.trials[E2E].rate == 8 / 4
    assert state.trials[E2E].rate_series.last == 2.0


def test_memory_of_a_cpu_trial_is_that_of_its_process_once_it_trains() -> None:
    state = folded(
        (E2E, 0, started(E2E)),
        ("", 1, ev.ProcessSample(E2E, 7, rss_bytes=100)),
        ("", 2, ev.ProcessSample(E2E, 7, rss_bytes=110)),
        (E2E, 3, progress(1, 1.0)),
        ("", 4, ev.ProcessSample(E2E, 7, rss_bytes=300)),
        ("", 5, ev.ProcessSample(E2E, 7, reasons={"rss_bytes": "gone", "gpu_memory_bytes": "why"})),
    )
    trial = state.trials[E2E]
    assert (trial.baseline_rss_bytes, trial.peak_rss_bytes, trial.rss_bytes) == (110, 300, 300)
    assert (trial.memory_series.xs, trial.memory_series.ys) == ([1.0], [300])
    assert (trial.peak_gpu_memory_bytes, trial.memory_reason) == (None, "why")


def on_gpu(*samples: tuple[float, ev.GpuSample]) -> Iterator[tuple[str, float, Event]]:
    yield "", 0, run_started(E2E, GRAM)
    yield "", 0, ev.TurnGranted(E2E, 1)
    yield E2E, 0, started(E2E, "GPU-a")
    yield GRAM, 0, started(GRAM, "GPU-a")
    for t_s, sample in samples:
        yield "", t_s, sample


def test_a_gpus_samples_are_credited_to_the_trial_that_trains_on_it() -> None:
    state = folded(
        *on_gpu((1, gpu(memory_used_bytes=10)), (2, gpu(memory_used_bytes=30)), (3, gpu("GPU-b"))),
        ("", 3, gpu("GPU-b", memory_used_bytes=99)),
        ("", 4, ev.TurnGranted(GRAM, 1)),
        ("", 5, gpu(memory_used_bytes=20)),
    )
    e2e, gram = state.trials[E2E], state.trials[GRAM]
    assert (e2e.baseline_device_used_bytes, e2e.peak_device_used_bytes) == (10, 30)
    assert (gram.baseline_device_used_bytes, gram.peak_device_used_bytes) == (20, 20)
    assert state.gpus["GPU-a"].memory_series.xs == [1.0, 2.0, 5.0]


def test_energy_is_the_trials_own_and_leaves_out_other_turns() -> None:
    def counted(t_s: float, joules: float) -> tuple[str, float, Event]:
        return "", t_s, gpu(energy_j=joules, power_w=10.0)

    state = folded(
        *on_gpu(),
        counted(1, 100.0),
        counted(2, 110.0),
        ("", 2, ev.TurnGranted(GRAM, 1)),
        counted(3, 150.0),
        counted(4, 170.0),
        ("", 4, ev.TurnGranted(E2E, 2)),
        counted(5, 200.0),
        counted(6, 207.0),
    )
    e2e, gram = state.trials[E2E], state.trials[GRAM]
    assert e2e.energy_start_j is not None
    assert e2e.energy_end_j is not None
    assert e2e.energy_end_j - e2e.energy_start_j == 10.0 + 7.0
    assert gram.energy_start_j is not None
    assert gram.energy_end_j is not None
    assert gram.energy_end_j - gram.energy_start_j == 20.0
    assert e2e.integrated_energy_j == 10.0 + 10.0
    assert gram.integrated_energy_j == 10.0


def test_energy_leaves_out_the_time_in_which_nobody_watched() -> None:
    state = folded(
        *on_gpu(
            (1, gpu(energy_j=10.0, power_w=50.0)),
            (2, gpu(energy_j=60.0, power_w=50.0)),
            (2 + GAP_S + 1, gpu(energy_j=960.0, power_w=50.0)),
            (2 + GAP_S + 2, gpu(energy_j=1000.0, power_w=50.0)),
        )
    )
    trial = state.trials[E2E]
    assert trial.energy_start_j is not None
    assert trial.energy_end_j is not None
    assert trial.energy_end_j - trial.energy_start_j == 50.0 + 40.0
    assert trial.integrated_energy_j == 100.0


def test_a_counter_that_starts_anew_takes_nothing_back() -> None:
    state = folded(*on_gpu((1, gpu(energy_j=900.0)), (2, gpu(energy_j=950.0)), (3, gpu(energy_j=4.0))))
    trial = state.trials[E2E]
    assert trial.energy_start_j is not None
    assert trial.energy_end_j is not None
    assert trial.energy_end_j - trial.energy_start_j == 50.0


def test_integrated_energy_stays_right_when_the_series_is_thinned() -> None:
    samples = ((0.4 * n, gpu(power_w=100.0)) for n in range(5000))
    trial = folded(*on_gpu(*samples)).trials[E2E]
    assert trial.integrated_energy_j == pytest.approx(100.0 * 0.4 * 4999)


def test_what_a_sample_lacks_is_shown_as_lacking() -> None:
    state = folded(("", 0, gpu(power_w=5.0)), ("", 1, gpu(reasons={"power_w": "GPU is lost"})))
    shown = state.gpus["GPU-a"]
    assert (shown.last.power_w, shown.last.reasons) == (None, {"power_w": "GPU is lost"})
    assert shown.power_series.ys == [5.0]


def test_a_reading_that_a_sample_leaves_out_stands_and_so_does_the_reason_for_its_lack() -> None:
    first = gpu(energy_j=9.0, sm_clock_mhz=1980, throttle=["heat"], reasons={"memory_clock_mhz": "no"})
    state = folded(("", 0, first), ("", 1, gpu(power_w=5.0, reasons={"temperature_c": "lost"})))
    shown = state.gpus["GPU-a"]
    assert (shown.last.energy_j, shown.last.sm_clock_mhz, shown.last.throttle) == (9.0, 1980, ["heat"])
    assert shown.last.reasons == {"memory_clock_mhz": "no", "temperature_c": "lost"}
    state = folded(("", 0, first), ("", 1, gpu(memory_clock_mhz=7, reasons={"sm_clock_mhz": "GPU is lost"})))
    shown = state.gpus["GPU-a"]
    assert (shown.last.sm_clock_mhz, shown.last.memory_clock_mhz) == (None, 7)
    assert shown.last.reasons == {"sm_clock_mhz": "GPU is lost"}


def seldom(*samples: tuple[float, float | None, float]) -> Iterator[tuple[str, float, Event]]:
    """Samples every half a second, of which few carry the counter: (seconds, joules, watts)."""
    for t_s, joules, watts in samples:
        yield "", t_s, gpu(energy_j=joules, power_w=watts)


def own_energy(trial: TrialState) -> float:
    assert trial.energy_start_j is not None
    assert trial.energy_end_j is not None
    return trial.energy_end_j - trial.energy_start_j


def test_a_counter_that_is_seldom_read_gives_the_energy_of_a_counter_that_is_always_read() -> None:
    times = [0.5 * n for n in range(61)]
    always = folded(*on_gpu(), *seldom(*((t, 1000.0 + 300 * t, 310.0) for t in times)))
    few = folded(*on_gpu(), *seldom(*((t, None if t % 15 else 1000.0 + 300 * t, 310.0) for t in times)))
    assert own_energy(always.trials[E2E]) == own_energy(few.trials[E2E]) == 300.0 * 30
    assert few.trials[E2E].integrated_energy_j == always.trials[E2E].integrated_energy_j == 310.0 * 30


def test_between_readings_the_curve_goes_on_by_power_and_never_falls() -> None:
    def events() -> Iterator[tuple[str, float, Event]]:
        yield from on_gpu()
        for n in range(41):
            yield E2E, 0.5 * n, progress(n + 1, 0.5 * n)
            yield from seldom((0.5 * n, None if n % 30 else 150.0 * n, 330.0))  # the counter says 300 W

    series = folded(*events()).trials[E2E].energy_series
    assert series.xs == [0.5 * n for n in range(41)]
    assert series.ys == sorted(series.ys)
    assert series.ys[29] == pytest.approx(330.0 * 14.5)
    assert series.ys[31] == pytest.approx(330.0 * 14.5)  # waits until the counter has caught up
    assert series.ys[40] == pytest.approx(300.0 * 15 + 330.0 * 5)


def test_an_edge_closes_one_turn_and_opens_the_next() -> None:
    state = folded(
        *on_gpu(),
        ("", 1, gpu(energy_j=100.0, power_w=10.0)),
        ("", 1.5, gpu(power_w=10.0)),
        (E2E, 2, ev.TurnEnded(1, 1.0, 0.0)),
        ("", 2, ev.TurnGranted(GRAM, 2)),
        ("", 2, gpu(energy_j=110.0, power_w=10.0, edge=True)),
        ("", 2.5, gpu(power_w=50.0)),
        (GRAM, 3, ev.TurnEnded(2, 1.0, 0.0)),
        ("", 3, gpu(energy_j=160.0, power_w=50.0, edge=True)),
        ("", 4, gpu(energy_j=999.0, power_w=50.0)),
    )
    assert own_energy(state.trials[E2E]) == 10.0
    assert own_energy(state.trials[GRAM]) == 50.0
    assert state.trials[E2E].integrated_energy_j == 10.0
    assert state.trials[GRAM].integrated_energy_j == 15.0 + 25.0


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2), (1, 2, 0)])
def test_an_edge_is_right_wherever_its_sample_falls_among_the_events_of_the_turns(
    order: tuple[int, ...],
) -> None:
    """The sampler's thread and the worker write beside the supervisor."""
    edge = gpu(energy_j=110.0, power_w=10.0, edge=True)
    between = [("", 2, edge), (E2E, 2, ev.TurnEnded(1, 1.0, 0.0)), ("", 2, ev.TurnGranted(GRAM, 2))]
    state = folded(
        *on_gpu(),
        ("", 1, gpu(energy_j=100.0, power_w=10.0)),
        *(between[place] for place in order),
        ("", 2, gpu(energy_j=110.0, power_w=10.0, edge=True)),
        ("", 3, gpu(energy_j=150.0, power_w=40.0, edge=True)),
    )
    assert own_energy(state.trials[E2E]) == 10.0
    assert own_energy(state.trials[GRAM]) == 40.0


def test_the_late_end_of_a_turn_does_not_take_the_next_one_away() -> None:
    """The last racer is granted turn after turn, and gives the old one back before it writes so."""
    state = folded(
        *on_gpu((1, gpu(energy_j=0.0, power_w=10.0))),
        ("", 2, ev.TurnGranted(E2E, 2)),
        (E2E, 2.001, ev.TurnEnded(1, 1.0, 0.0)),
        ("", 3, gpu(energy_j=20.0, power_w=10.0)),
    )
    assert (state.active, state.holders) == (E2E, [E2E])
    assert own_energy(state.trials[E2E]) == 20.0
    assert state.trials[E2E].turns == 1


def test_without_an_edge_the_counter_is_divided_by_power() -> None:
    state = folded(
        *on_gpu(),
        ("", 0, gpu(energy_j=0.0, power_w=100.0)),
        ("", 1, gpu(power_w=100.0)),
        ("", 1.5, ev.TurnGranted(GRAM, 2)),
        ("", 2, gpu(power_w=100.0)),
        ("", 3, gpu(power_w=300.0)),
        ("", 4, gpu(energy_j=1400.0, power_w=300.0)),
    )
    # by power 100 J, 100 J of nobody, and 500 J; the counter has counted twice as much
    assert own_energy(state.trials[E2E]) == pytest.approx(200.0)
    assert own_energy(state.trials[GRAM]) == pytest.approx(1000.0)


def test_a_counter_without_power_is_divided_by_time() -> None:
    state = folded(
        *on_gpu((0, gpu(energy_j=0.0)), (3, gpu())),
        ("", 3, ev.TurnGranted(GRAM, 2)),
        ("", 4, gpu(energy_j=40.0)),
    )
    assert own_energy(state.trials[E2E]) == pytest.approx(30.0)


def test_power_alone_is_credited_up_to_a_gap_or_to_another_supervisor() -> None:
    watched = ((0, gpu(energy_j=0.0, power_w=100.0)), (1, gpu(power_w=100.0)), (2, gpu(power_w=100.0)))
    later = (gpu(energy_j=9e6, power_w=100.0), gpu(energy_j=9e6 + 130, power_w=100.0))
    gap = folded(*on_gpu(*watched, (20, later[0]), (21, later[1])))
    assert own_energy(gap.trials[E2E]) == 200.0 + 130.0
    again = folded(
        *on_gpu(*watched),
        ("", 2.5, run_started(E2E, GRAM)),
        ("", 3, ev.TurnGranted(E2E, 1)),
        ("", 3, later[0]),
        ("", 4, later[1]),
    )
    assert own_energy(again.trials[E2E]) == 200.0 + 130.0
    assert again.trials[E2E].integrated_energy_j == 200.0 + 100.0


def test_a_new_driver_between_two_readings_takes_nothing_back() -> None:
    state = folded(
        *on_gpu(
            (0, gpu(energy_j=500.0, power_w=100.0)),
            (1, gpu(power_w=100.0)),
            (2, gpu(energy_j=4.0, power_w=100.0)),
            (3, gpu(energy_j=94.0, power_w=100.0)),
        )
    )
    assert own_energy(state.trials[E2E]) == 200.0 + 90.0


def test_a_reading_that_fails_leaves_the_counter_to_the_next_one() -> None:
    failed = gpu(power_w=100.0, reasons={"energy_j": "Unknown Error"})
    samples = ((0, gpu(energy_j=0.0, power_w=100.0)), (1, failed), (2, gpu(energy_j=180.0, power_w=100.0)))
    state = folded(*on_gpu(*samples))
    assert own_energy(state.trials[E2E]) == 180.0


def test_what_sampling_has_cost_is_summed_over_supervisors() -> None:
    one = ev.SamplerFinished(10.0, 20, 0.5, 100, 0.25, "nvmlDeviceGetPowerUsage", 0.125)
    other = ev.SamplerFinished(5.0, 10, 0.25, 50, 0.5, "nvmlDeviceGetTotalEnergyConsumption", 0.375)
    assert folded(("", 0, one)).sampling == one
    assert folded(("", 0, one), ("", 9, run_started(E2E)), ("", 9, other)).sampling == ev.SamplerFinished(
        15.0, 30, 0.75, 150, 0.75, "nvmlDeviceGetTotalEnergyConsumption", 0.375
    )
    assert folded(("", 0, run_started(E2E))).sampling is None


# --- bounds ------------------------------------------------------------------------------------


def test_rates_of_a_window_wait_for_its_end_because_the_encoders_share_is_still_owed() -> None:
    plan = ev.TrialPlanned("gram-10s", 0, 100, 100, 4, 10, 1, 1)
    closed = ev.WindowClosed(1, 10, 10, 30, 90, 0.2, 1.0, 0.5)
    name = "gram-10s.s0"
    begun = [("", 0.0, run_started(name)), (name, 1.0, plan), (name, 2.0, progress(4, 1.0))]
    assert folded(*begun).trials[name].settled is None
    at_close = [(name, 3.0, progress(10, 5.0)), (name, 3.1, closed), (name, 4.0, progress(13, 5.5))]
    trial = folded(*begun, *at_close).trials[name]
    assert trial.settled is not None
    assert (trial.settled.step, trial.settled.train_s) == (10, 5.0)


def test_rates_without_a_window_are_those_of_the_newest_step() -> None:
    plan = ev.TrialPlanned("e2e", 0, 100, 100, 4, 1, 1, 1)
    events = [("", 0.0, run_started("e2e.s0")), ("e2e.s0", 1.0, plan), ("e2e.s0", 2.0, progress(4, 1.0))]
    trial = folded(*events).trials["e2e.s0"]
    assert trial.settled == trial.progress


def test_windows_and_log_lines_are_bounded() -> None:
    window = ev.WindowClosed(1, 1, 1, 1, 1, None, None, 0.1)
    windows = [(GRAM, float(n), window) for n in range(WINDOWS_KEPT + 5)]
    lines = [("", 1000.0 + n, ev.Warned("c", f"m{n}")) for n in range(LOG_KEPT + 5)]
    state = folded(*windows, *lines)
    trial = state.trials[GRAM]
    assert (len(trial.windows), trial.windows_closed) == (WINDOWS_KEPT, WINDOWS_KEPT + 5)
    assert (len(state.log), state.log[-1].text) == (LOG_KEPT, f"m{LOG_KEPT + 4}")
    assert len(trial.drift_series) == 0


def test_the_log_reads_as_sentences_with_severity_and_trial() -> None:
    state = folded(
        ("setup", 0, ev.DataPrepared("/d", "f" * 64, {}, 1.5, False)),
        ("setup", 1, ev.EncoderChecked(True, 1e-3, 4, 2e-7)),
        ("setup", 1, ev.AuditFinished(False, 1e-9, 1, 1, 1, 1.0, 0.5, 1.0, 0.25, 0.1)),
        ("", 2, ev.WorkerSpawned(E2E, 7)),
        (E2E, 3, evaluated(1, 0.61234, True)),
        (E2E, 4, evaluated(2, None, False)),
        (E2E, 5, ev.TrialFinished("diverged", "not finite")),
        ("", 6, ev.WorkerExited(E2E, 1)),
        ("", 7, ev.RunFinished(5, 7.0)),
    )
    assert [(line.severity, line.trial, line.text) for line in state.log] == [
        ("info", "setup", "data prepared in 1.5 s (ffffffffffff)"),
        ("info", "setup", "encoder: vectors of 4 items are those of AutoModel (relative 2.0e-07)"),
        ("error", "setup", "audit: gram-1s and e2e are NOT equivalent (relative 5.0e-01)"),
        ("info", E2E, "worker 7 started"),
        ("info", E2E, "epoch 1: validation AUC 0.6123, the best so far"),
        ("info", E2E, "epoch 2: validation AUC –"),
        ("error", E2E, "diverged: not finite"),
        ("error", E2E, "worker ended with code 1"),
        ("info", "", "run finished in 7.0 s"),
    ]
    assert [line.elapsed_s for line in state.log] == [0, 1, 1, 2, 3, 4, 5, 6, 7]


@pytest.mark.parametrize(
    ("outcome", "reason", "severity", "text"),
    [
        ("skipped", "skipped after 12 steps", "info", "skipped after 12 steps"),
        ("interrupted", "interrupted before training", "info", "interrupted before training"),
        ("diverged", "loss is not finite", "error", "diverged: loss is not finite"),
        ("completed", "", "info", "completed"),
    ],
)
def test_a_trial_that_logged_its_end_is_named_once(
    outcome: ev.Outcome, reason: str, severity: str, text: str
) -> None:
    finished = (E2E, 1, ev.TrialFinished(outcome, reason, int(ExitCode.PARTIAL)))
    state = folded(finished, ("", 2, ev.WorkerExited(E2E, int(ExitCode.PARTIAL))))
    assert [(line.severity, line.text) for line in state.log] == [(severity, text)]


def test_the_log_names_the_step_of_a_validation_within_an_epoch() -> None:
    plan = ev.TrialPlanned("e2e", 0, steps_per_epoch=20, max_steps=50, batch_size=4, window_steps=1,
                           encoder_parameters=1, filter_parameters=1)  # fmt: skip
    steps = [(1, 10), (1, 20), (3, 50)]  # the last one ends training
    scored = [dataclasses.replace(evaluated(epoch, 0.7, False), step=step) for epoch, step in steps]
    test = dataclasses.replace(evaluated(1, 0.6, True, "test"), step=10)
    state = folded((E2E, 0, plan), *((E2E, 1 + i, event) for i, event in enumerate([*scored, test])))
    assert [line.text for line in state.log] == [
        "epoch 1, step 10: validation AUC 0.7000",
        "epoch 1: validation AUC 0.7000",
        "epoch 3: validation AUC 0.7000",
        "epoch 1, step 10: test AUC 0.6000",
    ]


def test_the_metric_that_selects_is_that_of_the_specification() -> None:
    started = dataclasses.replace(run_started(E2E), spec={"evaluation": {"select_by": "mrr"}})
    scored = dataclasses.replace(evaluated(1, 0.7, False), metrics={"auc": 0.7, "mrr": 0.25})
    state = folded(("", 0, started), (E2E, 1, scored))
    assert state.metric.title == "MRR"
    assert state.log[-1].text == "epoch 1: validation MRR 0.2500"
    assert folded(("", 0, run_started(E2E)), (E2E, 1, scored)).select_by == "auc"


@pytest.mark.parametrize("number", [math.nan, math.inf])
def test_numbers_that_are_not_finite_pass_through_the_log_as_null(tmp_path: Path, number: float) -> None:
    audit = ev.AuditFinished(False, 1e-9, 1, 1, 1, number, number, 0.0, 0.0, 0.1)
    log(tmp_path, "setup", at(0, audit))
    log(tmp_path, "", at(0, run_started(E2E)))
    log(tmp_path, E2E, at(1, progress(1, 1.0, loss=number)), at(2, evaluated(1, number, False)))
    log(tmp_path, E2E, at(3, ev.WindowClosed(1, 1, 1, 1, 1, number, number, 1.0)))
    state = read_run(tmp_path)
    assert "(relative not finite)" in state.log[0].text
    assert len(state.trials[E2E].loss_series) == len(state.trials[E2E].drift_series) == 0
    assert state.trials[E2E].evaluations[0].metrics == {"auc": None}


# --- order -------------------------------------------------------------------------------------


@settings(deadline=None)
@given(st.data())
def test_the_order_between_logs_does_not_change_the_results(data: st.DataObject) -> None:
    logs: dict[str, list[Record]] = {"": [at(0, run_started(E2E, GRAM))]}
    for name, t_s in ((E2E, 10.0), (GRAM, 30.0)):
        supervisor, logs[name] = a_trial(name, t_s)
        logs[""] += supervisor
    logs[""].append(at(50.0, ev.RunFinished(0, 50.0)))
    expected = outcome_of(fold(by_time(logs)))
    folding, left = Fold(), {name: list(records) for name, records in logs.items()}
    while any(left.values()):
        name = data.draw(st.sampled_from([name for name, records in left.items() if records]))
        folding.apply(name, left[name].pop(0))
    assert outcome_of(folding.state) == expected


def by_time(logs: dict[str, list[Record]]) -> list[tuple[str, Record]]:
    merged = [(name, record) for name, records in logs.items() for record in records]
    return sorted(merged, key=lambda item: item[1].stamp.t_ns)


def outcome_of(state: RunState) -> list[Any]:
    """What must not hang on the order in which the logs are read."""
    fields = (
        "outcome reason exit_code phase progress epochs evaluations best test windows checkpoint"
        " warnings rate peak_rss_bytes rate_series loss_series drift_series"
    )
    trials = {
        name: [getattr(trial, field) for field in fields.split()] for name, trial in state.trials.items()
    }
    return [state.run, state.finished, state.exit_code, state.seconds, state.active, trials]


# --- folders and resumed runs ------------------------------------------------------------------


def log(folder: Path, source: str, *records: Record) -> None:
    path = folder / source / "events.jsonl" if source else folder / "supervisor.jsonl"
    path.parent.mkdir(exist_ok=True)
    with path.open("ab") as file:
        for record in records:
            file.write(encode(record.event, record.stamp))


def test_a_folder_is_read_at_once_or_bit_by_bit(tmp_path: Path) -> None:
    reader = RunReader(tmp_path)
    assert reader.poll() == 0
    assert not reader.state.started_wall
    log(tmp_path, "", at(0, run_started(E2E)))
    assert reader.poll() == 1
    supervisor, worker = a_trial(E2E, 10.0)
    for record in supervisor + worker:
        log(tmp_path, source_of(record, E2E), record)
        assert reader.poll() == 1
    assert reader.poll() == 0
    assert outcome_of(reader.state) == outcome_of(read_run(tmp_path))
    assert read_run(tmp_path).trials[E2E].rate == 16.0


def test_a_run_resumed_after_a_reboot_is_told_in_order(tmp_path: Path) -> None:
    log(tmp_path, "", at(1000, run_started(E2E)), at(1000, ev.TurnGranted(E2E, 1)))
    log(tmp_path, E2E, at(1010, progress(5, 5.0)))
    log(tmp_path, "", at(3, run_started(E2E), "b2"), at(4, ev.RunFinished(0, 2.0), "b2"))
    log(tmp_path, E2E, at(3.5, progress(9, 9.0), "b2"))
    state = read_run(tmp_path)
    assert state.finished
    trial = state.trials[E2E]
    assert trial.train_s == 9.0
    assert trial.loss_series.xs == [5.0, 9.0]
    assert state.elapsed_s == 10.0 + 1.0
    assert state.started_wall == "wall 1000"


@pytest.mark.parametrize(("step", "train_s", "charged"), [(10, 5.0, 2.0), (0, 3.0, 3.0)])
def test_a_resumed_trial_keeps_what_its_states_have_cost(step: int, train_s: float, charged: float) -> None:
    """Computed again in 3 s, they stay at the 2 s on its clock, unless that starts over."""
    cached = ev.StatesCached(60, 600, 8, 9600, "float16", True, seconds=2.0, built=True)
    state = folded(
        (E2E, 0, cached),
        (E2E, 1, progress(10, 5.0)),
        (E2E, 2, dataclasses.replace(cached, seconds=3.0, on_device=False, built=False)),
        (E2E, 3, ev.TrialResumed(step, train_s, 0)),
    )
    found = state.trials[E2E].states
    assert found == dataclasses.replace(cached, seconds=charged, on_device=False)


def test_a_resumed_trial_repeats_what_its_checkpoint_does_not_hold() -> None:
    epoch = ev.EpochFinished(1, 10, 5.0, 80, 200, 100, 100, 500)
    later = ev.EpochFinished(2, 10, 6.0, 80, 200, 100, 100, 500)
    state = folded(
        ("", 0, run_started(E2E)),
        ("", 0, ev.WorkerSpawned(E2E, 7)),
        (E2E, 1, progress(10, 5.0)),
        (E2E, 1, epoch),
        (E2E, 1, evaluated(1, 0.6, True)),
        (E2E, 2, progress(15, 7.5)),
        ("", 3, ev.WorkerExited(E2E, -9)),
        ("", 4, ev.RunFinished(5, 4.0)),
        ("", 10, run_started(E2E)),
        ("", 10, ev.WorkerSpawned(E2E, 8)),
    )
    trial = state.trials[E2E]
    assert (trial.outcome, trial.reason, trial.exit_code) == (None, "", None)
    assert (state.finished, state.exit_code, state.seconds) == (False, None, None)
    state = folded(
        (E2E, 1, progress(10, 5.0)),
        (E2E, 1, epoch),
        (E2E, 1, evaluated(1, 0.6, True)),
        (E2E, 1, later),
        (E2E, 2, progress(15, 7.5)),
        (E2E, 3, progress(10, 5.0)),
        (E2E, 4, evaluated(1, 0.6, True)),
        (E2E, 4, progress(20, 10.0)),
        (E2E, 5, later),
        (E2E, 5, evaluated(2, 0.7, True)),
    )
    trial = state.trials[E2E]
    assert trial.epochs == [epoch, later]
    assert [e.metrics["auc"] for e in trial.evaluations] == [0.6, 0.7]
    assert trial.loss_series.xs == [5.0, 5.0, 10.0]
