"""Intervals over pairs of processes: exact against brute force, and they cover what they promise."""

import itertools
import statistics
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from grambench.analysis.confidence import ConfidenceInterval, t_quantile, to_ratio
from grambench.analysis.paired import (
    REPEATED_LEVELS,
    order_statistics_interval,
    repeated_interval,
    seed_interval,
    sign_flip_interval,
    sign_flip_p,
    t_interval,
)
from grambench.analysis.processes import (
    null_pair_interval,
    outliers,
    pooled_interval,
)
from grambench.analysis.tuning import expected_best

DRAWS = 600
"""A share of .95 has a simulation error of .009; an interval of 90 % fails."""


def covers(interval: ConfidenceInterval | None, truth: float = 0.0) -> bool:
    assert interval is not None
    return interval.low <= truth <= interval.high


@pytest.mark.parametrize("freedom", [*range(1, 12), 99, 100, 101, 102, 1_000, 99_999])
def test_quantiles_are_those_of_students_t(freedom: int) -> None:
    for p in (0.005, 0.3, 0.5, 0.9, 0.975, 0.995):
        assert t_quantile(p, freedom) == pytest.approx(stats.t.ppf(p, freedom), rel=1e-8, abs=1e-12)


@pytest.mark.parametrize(("p", "freedom"), [(0.0, 5), (1.0, 5), (0.975, 0)])
def test_a_quantile_that_does_not_exist_is_refused(p: float, freedom: int) -> None:
    with pytest.raises(ValueError, match="no quantile"):
        t_quantile(p, freedom)


def test_the_t_interval_is_scipys() -> None:
    values = [0.3, -1.2, 2.0, 0.7]
    ours = t_interval(values)
    theirs = stats.t.interval(0.95, 3, np.mean(values), stats.sem(values))
    assert ours is not None
    assert (ours.low, ours.high) == pytest.approx(theirs)
    assert t_interval([1.0]) is None


@pytest.mark.parametrize("count", [2, 6, 9])
def test_sign_flip_p_is_that_of_a_permutation_test(count: int) -> None:
    rng = np.random.default_rng(count)
    for _ in range(5):
        values = rng.normal(0.3, 1.0, count)
        test = stats.permutation_test((values,), np.sum, permutation_type="samples", n_resamples=10**6)
        assert sign_flip_p(values) == pytest.approx(test.pvalue)


def test_the_sign_flip_interval_holds_the_centres_that_its_test_does_not_reject() -> None:
    values = [0.4, -1.3, 0.9, 2.2, 0.1, 1.7, -0.2]
    interval = sign_flip_interval(values)
    assert interval is not None
    assert interval.level == pytest.approx(1 - 2 * 3 / 128)
    for end, inwards in ((interval.low, 1), (interval.high, -1)):
        assert sign_flip_p(values, end + inwards * 1e-9) > 1 - interval.level
        assert sign_flip_p(values, end - inwards * 1e-9) <= 1 - interval.level


def test_its_ends_are_means_of_subsets() -> None:
    values = [0.4, -1.3, 0.9, 2.2, 0.1, 1.7, -0.2, 0.65]
    subsets = itertools.chain.from_iterable(itertools.combinations(values, k) for k in range(1, 9))
    means = sorted(statistics.fmean(subset) for subset in subsets)
    interval = sign_flip_interval(values)
    assert interval is not None
    assert (interval.low, interval.high) == pytest.approx((means[5], means[-6]))


def test_with_many_seeds_drawn_patterns_agree_with_t() -> None:
    values = list(np.random.default_rng(3).normal(0.5, 1, 24))
    flips, t = sign_flip_interval(values), t_interval(values)
    assert flips is not None
    assert t is not None
    assert (flips.low, flips.high) == pytest.approx((t.low, t.high), abs=0.08)
    assert flips == sign_flip_interval(values)
    p = stats.ttest_1samp(values, 0.0).pvalue
    assert sign_flip_p(values) == pytest.approx(p, abs=0.01)


def test_below_six_seeds_there_is_t_and_below_three_nothing() -> None:
    values = [0.1, 0.4, -0.2, 0.3, 0.2, 0.7]
    methods = [(found := seed_interval(values[:n])) and found.method for n in range(7)]
    assert methods == [None, None, None, "t", "t", "t", "sign-flip"]
    six = seed_interval(values)
    assert six is not None
    assert (six.low, six.high, six.level) == (-0.2, 0.7, 1 - 2 / 64)
    assert sign_flip_interval(values[:5]) is None


def test_order_statistics_have_the_level_of_the_sign_test() -> None:
    interval = order_statistics_interval(range(10))
    assert interval is not None
    assert (interval.low, interval.high) == (1, 8)
    assert interval.level == pytest.approx(1 - 2 * stats.binom.cdf(1, 10, 0.5))
    assert order_statistics_interval(range(5)) is None
    assert order_statistics_interval([]) is None


def test_bounds_of_censored_values_widen_order_statistics() -> None:
    interval = order_statistics_interval([1, 2, 3, 4, 5, 6], [1, 2, 3, 4, 5, float("inf")])
    assert interval is not None
    assert (interval.low, interval.high) == (1, float("inf"))
    assert interval.as_ratio() == (pytest.approx(np.e), float("inf"))


def test_a_ratio_never_overflows() -> None:
    assert to_ratio(800.0) == float("inf")


@pytest.mark.parametrize("function", [seed_interval, t_interval, sign_flip_p, sign_flip_interval])
def test_what_is_not_finite_is_refused(function: object) -> None:
    with pytest.raises(ValueError, match="not finite"):
        function([0.1, float("nan"), 0.2, 0.3, 0.4, 0.5])  # type: ignore[operator]


def test_repeated_looks_are_wider_and_refuse_what_was_not_planned() -> None:
    values = list(np.random.default_rng(1).normal(size=8))
    look, once = repeated_interval(values, 20), t_interval(values, REPEATED_LEVELS[20])
    assert look is not None
    assert once is not None
    assert (look.low, look.high, look.level) == (once.low, once.high, 0.95)
    assert repeated_interval(values, 13) == replace(
        repeated_interval(values, 16), method="repeated t, 13 seeds at most"
    )
    assert repeated_interval(values[:5], 20) is None
    for most, count in ((5, 5), (31, 8), (7, 8)):
        with pytest.raises(ValueError, match=r"seeds"):
            repeated_interval(values[:count], most)


def test_all_looks_together_hold_with_their_level() -> None:
    rng, held = np.random.default_rng(15), 0
    for row in rng.normal(size=(DRAWS, 12)):
        held += all(covers(repeated_interval(row[:n], 12)) for n in range(6, 13))
    assert held / DRAWS == pytest.approx(0.95, abs=0.027)


@pytest.mark.parametrize("offset", [0.003, 0.01, 0.03])
def test_intervals_over_processes_cover_though_processes_differ(offset: float) -> None:
    """Epochs of one process as units (Welch) would cover .85, .47 and .17 at these offsets."""
    rng, hits = np.random.default_rng(4), np.zeros(4)

    def processes(*shape: int) -> np.ndarray:
        return offset * rng.normal(size=shape) + 0.01 * rng.normal(size=(*shape, 10)).mean(-1)

    for _ in range(DRAWS):
        costs, null = processes(4, 6), float(processes() - processes())
        differences = costs[1] - costs[0]
        own, reference, *others = costs[:, :3]
        hits += (
            covers(t_interval(differences[:3])),
            covers(sign_flip_interval(differences)),
            covers(pooled_interval(own, reference, others)),
            covers(null_pair_interval(float(differences[0]), [null])),
        )
    t, flips, pooled, null_pairs = hits / DRAWS
    assert (t, pooled, null_pairs) == pytest.approx((0.95, 0.95, 0.95), abs=0.027)
    assert flips >= 0.969 - 0.02


def test_heavy_tails_and_skew_stay_near_what_is_published() -> None:
    rng = np.random.default_rng(10)
    tails = np.mean([covers(seed_interval(row)) for row in rng.standard_t(3, (DRAWS, 8))])
    skewed = np.mean([covers(seed_interval(row)) for row in rng.exponential(size=(DRAWS, 8)) - 1])
    assert tails >= 0.953 - 0.02
    assert skewed == pytest.approx(0.911, abs=0.035)


def test_pooling_is_that_of_one_spread_for_all() -> None:
    own, reference, other = [0.0, 0.2], [2.0, 2.1, 2.3], [5.0, 5.2]
    pooled = pooled_interval(own, reference, [other])
    variance = (0.02 + 0.14 / 3 + 0.02) / 4
    half = stats.t.ppf(0.975, 4) * np.sqrt(variance * (1 / 2 + 1 / 3))
    assert pooled is not None
    centre = 6.4 / 3 - 0.1
    assert (pooled.low, pooled.high) == pytest.approx((centre - half, centre + half))
    assert (pooled.units, pooled.method) == (2, "pooled t, 4 degrees of freedom")
    assert pooled_interval([1.0], [2.0]) is None
    assert pooled_interval([], [2.0, 2.1]) is None
    assert pooled_interval([1.0], [2.0], [[3.0, 3.1]]) is not None


def test_one_null_pair_is_worth_twelve_times_its_difference() -> None:
    interval = null_pair_interval(1.0, [0.01])
    assert interval is not None
    assert interval.high - 1 == pytest.approx(0.12706, abs=1e-5)
    assert null_pair_interval(1.0, []) is None


def test_the_expected_best_is_that_of_all_subsets() -> None:
    scores = [0.61, 0.64, 0.6, 0.66, 0.63]
    for trials in range(1, 6):
        best = [max(subset) for subset in itertools.combinations(scores, trials)]
        assert expected_best(scores, trials) == pytest.approx(statistics.fmean(best))
    with pytest.raises(ValueError, match="best of 6"):
        expected_best(scores, 6)


@pytest.mark.parametrize(
    ("values", "far"),
    [
        ([1.0, 1.1, 0.9, 1.05, 9.0], [4]),
        ([-9.0, 1.0, 1.1, 0.9, 1.05], [0]),
        ([1.0, 1.1, 0.9, 1.05, 1.2], []),
        ([1.0, 1.0, 1.0, 1.0, 9.0], []),  # no spread to hold it against
        ([1.0, 1.1, 0.9, 9.0], []),
    ],
)
def test_values_far_from_the_others_are_flagged(values: list[float], far: list[int]) -> None:
    assert outliers(values) == far
