"""Intervals of speed-ups: Welch's on the log ratio, widened by what a null test shows."""

import math
import random

import pytest

from grambench.analysis.intervals import noise_floor, ratio_interval, seconds_per_sample, speedup_interval
from grambench.events import types as ev
from grambench.events.state import RunState, TrialState


def trial(name: str, *epochs_s: float, seed: int = 0) -> TrialState:
    made = TrialState(f"{name}.s{seed}", name, seed)
    made.epochs = [ev.EpochFinished(n + 1, 1, s, 100, 1, 1, 1, 1) for n, s in enumerate(epochs_s)]
    return made


def state(*trials: TrialState) -> RunState:
    return RunState(trials={trial.name: trial for trial in trials})


def test_the_interval_is_welchs_worked_out_by_hand() -> None:
    # means 2 and 1, variances 1 and .01, n = 3: relative variances of the means 1/12 and 1/300
    found = ratio_interval([1.0, 2.0, 3.0], [0.9, 1.0, 1.1])
    freedom = (1 / 12 + 1 / 300) ** 2 / ((1 / 12) ** 2 / 2 + (1 / 300) ** 2 / 2)
    assert 2 < freedom < 3
    half = 4.303 * math.sqrt(1 / 12 + 1 / 300)
    assert found.low == pytest.approx(2 * math.exp(-half))
    assert found.high == pytest.approx(2 * math.exp(half))


def test_numbers_without_spread_have_an_interval_of_the_floor_alone() -> None:
    found = ratio_interval([2.0, 2.0], [1.0, 1.0], floor=math.log(1.1))
    assert (found.low, found.high) == (pytest.approx(2 / 1.1), pytest.approx(2 * 1.1))


def test_nineteen_of_twenty_intervals_hold_the_truth() -> None:
    rng = random.Random(7)
    hits = 0
    for _ in range(2000):
        above = [rng.gauss(3.0, 0.15) for _ in range(6)]
        below = [rng.gauss(1.0, 0.02) for _ in range(4)]
        found = ratio_interval(above, below)
        hits += found.low <= 3.0 <= found.high
    assert 0.94 <= hits / 2000 <= 0.99


def test_a_trial_needs_two_epochs_and_another_trial() -> None:
    e2e, gram = trial("e2e", 5.0, 5.2), trial("gram-1e", 1.0)
    assert speedup_interval(state(e2e, gram), gram, e2e) is None
    assert speedup_interval(state(e2e), e2e, e2e) is None


def test_a_null_test_widens_the_intervals_of_its_seed() -> None:
    e2e, gram = trial("e2e", 5.0, 5.2), trial("gram-1e", 1.0, 1.01)
    null = trial("null-e2e", 4.6, 4.5)
    alone, tested = state(e2e, gram), state(e2e, null, gram)
    narrow, wide = speedup_interval(alone, gram, e2e), speedup_interval(tested, gram, e2e)
    assert wide.low < narrow.low < 5 < narrow.high < wide.high
    floor = noise_floor(tested, 0)
    assert floor == pytest.approx(math.log(5.1 / 4.55))
    assert noise_floor(tested, 1) is None
    assert noise_floor(alone, 0) is None
    half = math.log(wide.high / wide.low) / 2
    assert half == pytest.approx(math.hypot(math.log(narrow.high / narrow.low) / 2, floor))
    own = speedup_interval(tested, null, e2e)
    assert own == ratio_interval(seconds_per_sample(e2e), seconds_per_sample(null))
