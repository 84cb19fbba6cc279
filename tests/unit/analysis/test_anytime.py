"""What a race may say while it runs: whole windows only, and intervals that hold at every look."""

import math

import numpy as np
import pytest
from scipy import stats

from grambench.analysis.anytime import (
    anytime_factor,
    anytime_interval,
    anytime_median,
    anytime_rank,
    batched_error,
    block_log_ratios,
    drifts,
)

DRAWS = 250


def cumulated(rows: list[tuple[float, float]]) -> list[tuple[float, float]]:
    return [(float(seconds), float(samples)) for seconds, samples in np.cumsum(rows, 0)]


STEADY = cumulated([(4.0, 10.0)] * 12)
TWICE_AS_FAST = cumulated([(2.0, 10.0)] * 12)


@pytest.mark.parametrize(("units", "alpha"), [(8, 0.05), (15, 0.05), (60, 0.05), (30, 0.01)])
def test_the_evidence_at_the_ends_is_one_over_alpha(units: int, alpha: float) -> None:
    """The mixture of noncentral t densities over effect sizes N(0, v), integrated numerically."""
    v = (-2 * math.log(alpha) + math.log(-2 * math.log(alpha)) + 1) / 15
    effects = np.linspace(-8, 8, 1601) * math.sqrt(v)
    t = anytime_factor(units, alpha)
    densities = stats.nct.pdf(t, units - 1, effects * math.sqrt(units)) / stats.t.pdf(t, units - 1)
    weights = stats.norm.pdf(effects, scale=math.sqrt(v))
    evidence = np.sum(np.nan_to_num(densities) * weights) * (effects[1] - effects[0])
    assert evidence == pytest.approx(1 / alpha, rel=1e-4)


def test_the_price_of_watching_falls_from_eight_blocks_on() -> None:
    assert [round(anytime_factor(n), 1) for n in (8, 15, 30, 60)] == [4.6, 3.5, 3.3, 3.2]
    assert anytime_factor(1) == math.inf
    assert anytime_interval([0.1 * n for n in range(7)]) is None
    assert anytime_interval([0.1 * n for n in range(8)]) is not None


def test_ranks_of_the_median_reject_one_half_with_their_evidence() -> None:
    assert [anytime_rank(n) for n in (8, 9, 20)] == [0, 1, 4]
    for units in (9, 20, 60):
        rank = anytime_rank(units)
        beta = stats.betabinom.pmf([rank - 1, rank], units, 2, 2)
        evidence = beta / stats.binom.pmf([rank - 1, rank], units, 0.5)
        assert evidence[0] >= 20 > evidence[1]
    interval = anytime_median(range(20))
    assert interval is not None
    assert (interval.low, interval.high) == (3, 16)
    assert anytime_median(range(8)) is None


@pytest.mark.parametrize("noise", ["independent", "the machine wanders", "heavy tails"])
def test_intervals_hold_at_every_look(noise: str) -> None:
    """A t interval that is looked at after each round holds in .59 to .78 of the races."""
    rng, held = np.random.default_rng(1), np.zeros(2)
    for _ in range(DRAWS):
        costs = 0.02 * rng.standard_t(2.5, 240) if noise == "heavy tails" else 0.01 * rng.normal(size=240)
        if noise == "the machine wanders":
            costs = costs + np.cumsum(0.02 * rng.normal(size=240))
        blocks = (costs[0::2] - costs[1::2]).reshape(-1, 4).mean(1).tolist()
        looks = [(anytime_interval(blocks[:n]), anytime_median(blocks[:n])) for n in range(9, 31)]
        held += [
            all(i is not None and i.low <= 0 <= i.high for i in each) for each in zip(*looks, strict=True)
        ]
    assert (held / DRAWS >= 0.95).all(), held / DRAWS


def test_long_batches_tell_that_neighbours_are_alike() -> None:
    alternating = [1.0, -1.0] * 16
    assert batched_error(alternating) == pytest.approx(math.sqrt(32 / 31 / 32))
    slow = [1.0] * 8 + [-1.0] * 8 + [1.0] * 8 + [-1.0] * 8
    assert batched_error(slow) == pytest.approx(math.sqrt(4 / 3 / 4))
    assert batched_error([1.0, 2.0, 3.0]) == math.inf


def test_halves_that_disagree_are_flagged() -> None:
    noise = [0.01 * value for value in np.random.default_rng(2).normal(size=20)]
    assert not drifts(noise)
    assert drifts([value + 0.1 * (n >= 10) for n, value in enumerate(noise)])
    assert not drifts([0.0, 0.0, 0.0, 1.0, 1.0, 1.0])


def test_lumps_of_multi_step_gram_give_the_ratio_of_whole_windows() -> None:
    """Windows of 6 s opening, 30 s of steps, 14 s closing in turns of 10 s: means over turns say 9.33."""
    rng, means = np.random.default_rng(3), []
    for _ in range(40):
        speed = np.exp(0.02 * rng.normal(size=(60, 2)))
        seconds = 10 * np.cumsum(speed, 0)
        last_closed = [5 * ((i + 1) // 5) for i in range(60)]
        own = [(float(seconds[end - 1, 0]) if end else 0.0, 200.0 * end) for end in last_closed]
        reference = [(float(seconds[i, 1]), 25.0 * (i + 1)) for i in range(60)]
        means.append(np.mean(block_log_ratios(own, reference)))
    assert math.exp(np.mean(means)) == pytest.approx(8.0, abs=0.05)


def test_a_block_has_four_rounds_or_one_window() -> None:
    assert block_log_ratios(TWICE_AS_FAST, STEADY) == pytest.approx([math.log(2)] * 3)
    window = [(2.0 * n, 10.0 * n) for n in (0, 0, 0, 0, 5, 5, 5, 5, 5, 10, 10, 10)]
    assert block_log_ratios(window, STEADY) == pytest.approx([math.log(2)] * 2)
    assert block_log_ratios(TWICE_AS_FAST[:3], STEADY[:3]) == []
    assert block_log_ratios([], []) == []


def test_disturbed_rounds_are_left_out_alone_where_each_closes_a_window() -> None:
    slow = cumulated([(20.0 if n == 5 else 2.0, 10.0) for n in range(12)])
    assert block_log_ratios(slow, STEADY)[1] != pytest.approx(math.log(2))
    assert block_log_ratios(slow, STEADY, left_out=[5]) == pytest.approx([math.log(2)] * 2)


@pytest.mark.parametrize("disturbed", [5, 8])
def test_a_disturbed_round_takes_the_whole_window_with_it(disturbed: int) -> None:
    """Its own of rounds 5 to 9, even where the reference closes one meanwhile."""
    closed = [0, 0, 0, 0, 5, 5, 5, 5, 5, 10, 10, 10, 10, 10, 15]
    own = [(2.0 * n + 18.0 * (n >= 10), 10.0 * n) for n in closed]
    reference = cumulated([(4.0, 10.0)] * 15)
    assert block_log_ratios(own, reference, left_out=[disturbed]) == pytest.approx([math.log(2)] * 2)


def test_a_window_that_began_before_the_stretch_goes_with_the_disturbance_in_it() -> None:
    own = [(2.0 * n, 10.0 * n) for n in (0, 0, 3, 3, 3, 6, 6, 6, 9, 9, 9, 12)]
    reference = [(4.0 * n, 10.0 * n) for n in (0, 0, 0, 0, 5, 5, 5, 5, 5, 10, 10, 10)]
    assert len(block_log_ratios(own, reference)) == 2
    assert len(block_log_ratios(own, reference, left_out=[3])) == 0


def test_seconds_that_no_clock_has_measured_make_no_block() -> None:
    assert block_log_ratios([(0.0, 10.0 * n) for n in range(1, 9)], STEADY[:8]) == []


def test_intervals_of_what_is_not_finite_are_refused() -> None:
    for function in (anytime_interval, anytime_median, drifts):
        with pytest.raises(ValueError, match="not finite"):
            function([0.0] * 9 + [math.inf])
