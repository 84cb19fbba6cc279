"""Time to a target: read the same however often one validates, and honest about trials that never arrive."""

import itertools
import math

import numpy as np
import pytest

from grambench.analysis.time_to_target import Wait, arrival, compare_waits, isotonic, log_ratio_bounds


def test_isotonic_is_the_nearest_sequence_that_never_falls() -> None:
    """Against all ways to cut the values into blocks of their means."""
    rng = np.random.default_rng(0)
    for values in rng.normal(size=(20, 6)).tolist():
        fits = []
        for cuts in itertools.product([False, True], repeat=5):
            edges = [0, *(i + 1 for i, cut in enumerate(cuts) if cut), 6]
            fit = np.concatenate([np.full(b - a, np.mean(values[a:b])) for a, b in itertools.pairwise(edges)])
            if (np.diff(fit) >= 0).all():
                fits.append(fit)
        best = min(fits, key=lambda fit: float(((fit - values) ** 2).sum()))
        assert isotonic(values) == pytest.approx(best)


@pytest.mark.parametrize(
    ("scores", "target", "expected"),
    [
        ([0.6, 0.66, 0.68], 0.63, (15.0, 10.0)),
        ([0.6, 0.66, 0.68], 0.6, (10.0, 10.0)),
        ([0.6, 0.66, 0.68], 0.5, (10.0, 10.0)),
        ([0.6, 0.66, 0.68], 0.68, (30.0, 10.0)),
        ([0.6, 0.66, 0.68], 0.69, None),
        ([0.6, 0.66, 0.62, 0.68], 0.66, (35.0, 10.0)),
        ([0.6, 0.68, 0.5], 0.64, (15.0, 10.0)),
        ([0.7, 0.7, 0.7], 0.7, (10.0, 10.0)),
        ([], 0.5, None),
    ],
)
def test_the_target_is_passed_between_validations(
    scores: list[float], target: float, expected: tuple[float, float] | None
) -> None:
    seconds = [10.0 * (n + 1) for n in range(len(scores))]
    found = arrival(seconds, scores, target)
    assert found == (expected if expected is None else pytest.approx(expected))


def test_who_validates_more_often_does_not_arrive_earlier() -> None:
    """True ratio 8; the first validation at or above the target would flatter by a sixth."""
    rng, logs, first = np.random.default_rng(13), [], []
    target = 0.5 + 0.18 * (1 - math.exp(-3))
    for _ in range(300):
        seconds, naive = [], []
        for tau, count in ((1000.0, 5.5), (125.0, 44)):
            every = tau * 3 / count * rng.uniform(0.8, 1.25)
            times = every * np.arange(1, int(12 * tau / every))
            scores = 0.5 + 0.18 * (1 - np.exp(-times / tau)) + 0.003 * rng.normal(size=len(times))
            found = arrival(times.tolist(), scores.tolist(), target)
            assert found is not None
            seconds.append(found.seconds)
            naive.append(times[np.argmax(scores >= target)])
        logs.append(math.log(seconds[0] / seconds[1]))
        first.append(math.log(naive[0] / naive[1]))
    assert math.exp(np.median(logs)) == pytest.approx(8, rel=0.03)
    assert math.exp(np.median(first)) > 8 * 1.1


def test_a_wait_without_arrival_is_longer_than_its_budget() -> None:
    arrived, missed, never_ran = Wait(10, 100), Wait(None, 50), Wait(None, 0)
    assert log_ratio_bounds(arrived, Wait(80, 100)) == pytest.approx((math.log(8), math.log(8)))
    assert log_ratio_bounds(arrived, missed) == pytest.approx((math.log(5), math.inf))
    assert log_ratio_bounds(missed, arrived) == pytest.approx((-math.inf, math.log(0.2)))
    assert log_ratio_bounds(missed, missed) == (-math.inf, math.inf)
    assert (
        log_ratio_bounds(arrived, never_ran) == log_ratio_bounds(never_ran, arrived) == (-math.inf, math.inf)
    )


def test_all_arrivals_have_a_median_and_an_interval_from_six_seeds_on() -> None:
    own, reference = [Wait(10, 100)] * 6, [Wait(10.0 * n, 100) for n in range(4, 10)]
    found = compare_waits(own, reference)
    assert found is not None
    assert found.median_low == found.median_high == pytest.approx((math.log(6) + math.log(7)) / 2)
    assert found.interval is not None
    assert found.interval.as_ratio() == pytest.approx((4, 9))
    assert found.at_least is None
    assert (found.seeds, found.candidate_reached, found.reference_reached) == (6, 6, 6)
    few = compare_waits(own[:5], reference[:5])
    assert few is not None
    assert few.interval is None
    assert compare_waits([], []) is None


def test_a_reference_that_misses_bounds_the_ratio_from_below() -> None:
    own, reference = [Wait(10, 100)] * 6, [Wait(80, 100)] * 5 + [Wait(None, 90)]
    found = compare_waits(own, reference)
    assert found is not None
    assert found.interval is not None
    assert found.interval.as_ratio() == pytest.approx((8, math.inf))
    assert found.at_least is not None
    assert 7.5 < math.exp(found.at_least) < math.exp(np.mean([math.log(8)] * 5 + [math.log(9)]))
    assert (found.candidate_reached, found.reference_reached) == (6, 5)


@pytest.mark.parametrize("share_censored", [0.0, 0.2, 0.5])
def test_censored_seeds_do_not_bias_the_interval(share_censored: float) -> None:
    """Leaving them out would cover .77 where half are censored."""
    rng = np.random.default_rng(14)
    own = np.exp(math.log(400) + 0.3 * rng.normal(size=(400, 6)))
    reference = np.exp(math.log(3200) + 0.3 * rng.normal(size=(400, 6)))
    budget = float(np.quantile(reference, 1 - share_censored))
    held, bounded = 0, 0
    for ours, theirs in zip(own.tolist(), reference.tolist(), strict=True):
        waits = [Wait(seconds if seconds <= budget else None, budget) for seconds in theirs]
        found = compare_waits([Wait(seconds, 10_000) for seconds in ours], waits)
        assert found is not None
        assert found.interval is not None
        held += found.interval.low <= math.log(8) <= found.interval.high
        bounded += found.at_least is None or found.at_least <= math.log(8)
    assert held / 400 >= 0.95
    assert bounded / 400 >= 0.95
