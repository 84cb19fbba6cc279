from typing import Any

import pytest

from grambench.analysis import comparison
from grambench.analysis.pairs import seconds_to
from grambench.events import types as ev
from grambench.events.state import RunState, TrialState
from grambench.metrics.catalogue import metric

AUC = metric("auc")


def trial(strategy: str, seed: int = 0, **fields: Any) -> TrialState:
    return TrialState(f"{strategy}.s{seed}", strategy, seed, settled=fields.get("progress"), **fields)


def progress(step: int, train_s: float, samples: int = 0, **changes: Any) -> ev.Progress:
    fields: dict[str, Any] = {
        "epoch": 1,
        "step": step,
        "train_s": train_s,
        "encode_s": 0.0,
        "samples": samples,
        "occurrences": 300,
        "unique_items": 120,
        "items_encoded": 600,
        "tokens_encoded": 3000,
        "loss": None,
        "encoder_lr": 0.0,
        "filter_lr": 0.0,
    }
    return ev.Progress(**fields | changes)


def epoch(number: int, train_s: float) -> ev.EpochFinished:
    return ev.EpochFinished(number, 10, train_s, 1, 1, 1, 1, 1)


def validation(train_s: float, auc: float | None) -> ev.Evaluated:
    return ev.Evaluated("validation", 1, 1, train_s, {"auc": auc}, 1, 0, False, 0.1, True)


def plan(steps_per_epoch: int, max_steps: int) -> ev.TrialPlanned:
    return ev.TrialPlanned("e2e", 0, steps_per_epoch, max_steps, 4, 1, 1, 1)


def state_of(*trials: TrialState) -> RunState:
    return RunState(trials={trial.name: trial for trial in trials})


@pytest.mark.parametrize(
    "number",
    [
        comparison.reuse_ratio,
        comparison.seconds_per_epoch,
        comparison.samples_per_second,
        comparison.items_encoded_per_second,
        comparison.tokens_per_second,
        comparison.seconds_to_best,
        comparison.remaining_s,
    ],
)
def test_nothing_is_claimed_before_it_was_measured(number: Any) -> None:
    assert number(trial("e2e")) is None
    start = trial("e2e", progress=progress(0, 0.0, unique_items=0))
    assert number(start) is None


def test_rates_by_hand() -> None:
    running = trial("e2e", progress=progress(10, 4.0, samples=100))
    assert comparison.samples_per_second(running) == 25.0
    assert comparison.items_encoded_per_second(running) == 150.0
    assert comparison.tokens_per_second(running) == 750.0
    assert comparison.reuse_ratio(running) == 2.5


def test_seconds_per_epoch_are_the_median_and_before_that_an_estimate() -> None:
    finished = trial("e2e", epochs=[epoch(1, 9.0), epoch(2, 5.0), epoch(3, 6.0)])
    assert comparison.seconds_per_epoch(finished) == 6.0
    running = trial("e2e", progress=progress(5, 2.0), plan=plan(20, 100))
    assert comparison.seconds_per_epoch(running) == 8.0
    assert comparison.seconds_per_epoch(trial("e2e", progress=progress(5, 2.0))) is None


def test_seconds_to_a_target_are_read_between_validations() -> None:
    evaluations = [validation(1.0, None), validation(2.0, 0.6), validation(3.0, 0.7), validation(4.0, 0.65)]
    scored = trial("e2e", evaluations=evaluations, best=evaluations[2])
    assert seconds_to(scored, 0.6, AUC) == 2.0
    assert seconds_to(scored, 0.65, AUC) == pytest.approx(2.5)
    assert seconds_to(scored, 0.71, AUC) is None
    assert comparison.seconds_to_best(scored) == 3.0


def test_a_speed_up_is_over_the_reference_of_the_same_seed() -> None:
    slow = trial("e2e", 0, progress=progress(10, 10.0, samples=100))
    other = trial("e2e", 1, progress=progress(10, 5.0, samples=100))
    fast = trial("gram-1s", 1, progress=progress(10, 2.0, samples=100))
    state = state_of(slow, other, fast)
    assert comparison.reference_of(state, fast, "e2e") is other
    assert comparison.speedup(state, fast) == 2.5
    assert comparison.speedup(state, other) == 1.0
    assert comparison.speedup(state, fast, "e2e-unique") is None
    assert set(comparison.REFERENCES) == {"e2e", "e2e-unique"}


def test_a_repeat_is_compared_with_its_own_repeat() -> None:
    names = ("e2e.s0", "gram-1s.s0", "gram-1s.s0.r2", "e2e.s0.r2")
    trials = [TrialState(name, name.split(".")[0], 0, 1 + name.endswith("r2")) for name in names]
    state = state_of(*trials)
    assert comparison.reference_of(state, trials[2], "e2e") is trials[3]
    assert comparison.reference_of(state, trials[1], "e2e") is trials[0]
    assert comparison.repeated_by(state, trials[2]) is trials[2]


def test_a_speed_up_needs_both_to_be_measured() -> None:
    reference, fast = trial("e2e"), trial("gram-1s", progress=progress(10, 2.0, samples=100))
    state = state_of(reference, fast)
    assert comparison.speedup(state, fast) is None
    assert comparison.speedup(state, reference) is None


def test_a_ratio_that_no_clock_has_measured_is_none() -> None:
    fast, damaged = (trial("e2e", progress=progress(10, 2.0, samples=samples)) for samples in (100, -100))
    assert comparison.ratio_over(fast, damaged) is None


def test_what_remains_is_paced_by_what_was_done() -> None:
    running = trial("e2e", progress=progress(10, 4.0), plan=plan(20, 100))
    assert comparison.remaining_s(running) == 36.0
    running.outcome = "early-stopped"
    assert comparison.remaining_s(running) == 0.0


def test_what_frozen_states_have_cost_is_training_time_but_not_the_pace_of_a_step() -> None:
    cached = ev.StatesCached(60, 600, 8, 9600, "float16", True, seconds=3.0, built=True)
    running = trial("e2e", progress=progress(10, 4.0, samples=40), plan=plan(20, 100), states=cached)
    assert comparison.remaining_s(running) == pytest.approx(90 * 0.1)
    assert comparison.seconds_per_epoch(running) == pytest.approx(20 * 0.1)
    assert comparison.samples_per_second(running) == 10.0


def test_the_time_that_is_left_waits_for_the_first_window_and_goes_by_its_pace() -> None:
    begun = trial("gram-1e", progress=progress(1, 20.0), plan=plan(20, 100))
    begun.settled = None
    assert comparison.remaining_s(begun) is None
    begun.settled, begun.progress = progress(20, 30.0), progress(21, 49.0)
    assert comparison.remaining_s(begun) == pytest.approx(79 * 1.5)
