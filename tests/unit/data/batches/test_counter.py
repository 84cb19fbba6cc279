"""The counter-based generator: SplitMix64 word for word, and draws that depend on nothing else."""

import itertools
from random import Random

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from grambench.data.batches import counter

MASK = (1 << 64) - 1
GOLDEN = 0x9E3779B97F4A7C15
CPU = torch.device("cpu")

keys = st.integers(-(2**63), 2**63 - 1)


def mix(z: int) -> int:
    """SplitMix64's finaliser in Python's unbounded integers."""
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


def test_reference_is_splitmix64() -> None:
    """The first words of seed 1234567, from the reference C code (rosettacode.org, SplitMix64)."""
    state, words = 1234567, []
    for _ in range(5):
        state = (state + GOLDEN) & MASK
        words.append(mix(state))
    assert words == [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]


@given(keys, st.lists(st.integers(-(2**40), 2**62), min_size=1, max_size=20))
def test_bits_are_the_upper_half_of_splitmix64(draw_key: int, counters: list[int]) -> None:
    wanted = [mix((draw_key + c * GOLDEN) & MASK) >> 32 for c in counters]
    assert counter.bits32(draw_key, torch.tensor(counters)).tolist() == wanted


@given(st.lists(st.integers(0, 2**63 - 1), max_size=4))
def test_key_folds_its_parts_through_splitmix64(parts: list[int]) -> None:
    state = 0
    for part in parts:
        state = mix(((state ^ part) + GOLDEN) & MASK)
    assert counter.key(*parts) % (1 << 64) == state
    assert -(2**63) <= counter.key(*parts) < 2**63


def test_key_tells_order_and_number_of_parts_apart() -> None:
    found = [counter.key(*parts) for parts in ((0,), (0, 0), (1, 2), (2, 1), (1, 2, 0), (12,))]
    assert len(set(found)) == len(found)


PARTS = {
    "SHUFFLE": 3,
    "NEGATIVES": 3,
    "ANSWER_WINDOWS": 3,
    "WINDOW_END": 4,
    "SAMPLE": 1,
    "EPOCH_END": 4,
    "CACHE": 3,
    "MASKS": 3,
    "STALENESS": 2,
}
"""Purpose -> parts of its keys, the seed first unless the purpose stands alone."""


def test_purposes_never_share_a_key() -> None:
    numbers = {name: int(purpose) for name, purpose in counter.Purpose.__members__.items()}
    assert numbers == dict(zip(PARTS, (1, 2, 3, 3, 4, 4, 5, 6, 7), strict=True))  # for ever
    found = []
    for name, parts in PARTS.items():
        number = numbers[name]
        if parts == 1:
            found.append(counter.key(number))
            continue
        for seed, *places in itertools.product(range(6), *[range(6)] * (parts - 2)):
            found.append(counter.key(seed, number, *places))
    assert len(set(found)) == len(found)


@given(st.lists(keys, min_size=1, max_size=3), st.integers(1, 4), st.integers(1, 3), st.integers(1, 9))
def test_dropout_masks_are_lanes_of_splitmix64(
    row_keys: list[int], positions: int, layers: int, width: int
) -> None:
    def factor(row_key: int, position: int, layer: int, feature: int) -> float:
        word = (position * layers + layer) * -(-width // 4) + feature // 4
        lane = mix((row_key + word * GOLDEN) & MASK) >> 16 * (feature % 4) & 0xFFFF
        signed = lane - 0x10000 if lane & 0x8000 else lane
        return 2.0 if signed >= 0 else 0.0

    found = counter.dropout_masks(torch.tensor(row_keys), positions, layers, width, 0.5, torch.float64)
    for place in itertools.product(*map(range, found.shape)):
        assert float(found[place]) == factor(row_keys[place[0]], *place[1:])


@pytest.mark.parametrize("dropout", [0.1, 0.2, 0.5, 0.9])
def test_dropout_keeps_its_share_of_everything_and_the_mean(dropout: float) -> None:
    numbers = counter.bits64(counter.key(0, counter.Purpose.MASKS, 0), torch.arange(64))
    masks = counter.dropout_masks(numbers, 20, 2, 64, dropout, torch.float64)
    dropped = round(dropout * 65536) / 65536
    assert masks.unique().tolist() == pytest.approx([0, 1 / (1 - dropped)], rel=1e-12)
    for dims in ((1, 2, 3), (0, 2, 3), (0, 1, 3), (0, 1, 2), (0, 1, 2, 3)):  # user, position, layer, feature
        kept = (masks > 0).double().mean(dim=dims)
        error = (dropped * (1 - dropped) / (masks.numel() / kept.numel())) ** 0.5
        assert float((kept - (1 - dropped)).abs().max()) < 4.5 * error
    kept = (masks > 0).double() - (1 - dropped)
    for one, other in zip(
        (kept[1:], kept[:, 1:], kept[:, :, 1:], kept[..., 1:]), (kept, *[kept] * 3), strict=True
    ):
        pairs = one * other[tuple(slice(size) for size in one.shape)]
        assert float(pairs.mean().abs()) < 4.5 * dropped * (1 - dropped) / pairs.numel() ** 0.5


def test_dropout_near_1_keeps_something() -> None:
    masks = counter.dropout_masks(torch.arange(64), 64, 2, 64, 0.9999999, torch.float32)
    assert masks.unique().tolist() == [0, 65536]


def test_dropout_masks_depend_on_the_row_alone() -> None:
    row_keys = torch.arange(5) * 7919
    whole = counter.dropout_masks(row_keys, 6, 2, 10, 0.3, torch.float32)
    assert torch.equal(counter.dropout_masks(row_keys[2:4], 4, 2, 10, 0.3, torch.float32), whole[2:4, :4])


@given(keys, st.integers(1, 200), st.randoms(use_true_random=False))
def test_draws_do_not_depend_on_the_order_of_calls(draw_key: int, count: int, random: Random) -> None:
    numbers = torch.arange(count)
    whole = counter.bits32(draw_key, numbers)
    order = torch.tensor(random.sample(range(count), count))
    counter.bits32(draw_key + 1, numbers)  # somebody else draws in between
    one_by_one = torch.cat([counter.bits32(draw_key, number[None]) for number in order])
    assert torch.equal(one_by_one, whole[order])


def test_global_generator_is_left_alone() -> None:
    before = torch.get_rng_state()
    counter.permutation(counter.key(1), 100, CPU)
    counter.integers(counter.key(1), torch.arange(10), torch.tensor(7))
    assert torch.equal(torch.get_rng_state(), before)


@given(keys, st.integers(0, 500))
def test_permutation_is_one(draw_key: int, count: int) -> None:
    found = counter.permutation(draw_key, count, CPU)
    assert found.sort().values.tolist() == list(range(count))


def test_permutations_of_two_keys_differ() -> None:
    first, second = (counter.permutation(counter.key(0, epoch), 1000, CPU) for epoch in (0, 1))
    assert (first == second).float().mean() < 0.05


@given(keys, st.lists(st.integers(1, 2**31 - 1), min_size=1, max_size=20))
def test_integers_lie_below_their_bounds(draw_key: int, bounds: list[int]) -> None:
    found = counter.integers(draw_key, torch.arange(len(bounds)), torch.tensor(bounds)).tolist()
    for i, (value, bound) in enumerate(zip(found, bounds, strict=True)):
        assert value == (mix((draw_key + i * GOLDEN) & MASK) >> 32) * bound >> 32
        assert 0 <= value < bound


@pytest.mark.parametrize("bound", [2, 7, 100])
def test_integers_are_uniform(bound: int) -> None:
    """Chi-square of 100,000 draws under consecutive counters, below its 99.9 % quantile."""
    draws = 100_000
    found = counter.integers(counter.key(5, 2), torch.arange(draws), torch.tensor(bound))
    expected = draws / bound
    chi_square = float(((torch.bincount(found, minlength=bound) - expected) ** 2 / expected).sum())
    assert chi_square < {2: 10.83, 7: 22.46, 100: 148.23}[bound]


def test_neighbouring_draws_are_independent() -> None:
    """Chi-square over pairs of consecutive counters, 48 degrees of freedom, below its 99.9 % quantile."""
    found = counter.integers(counter.key(9), torch.arange(100_000), torch.tensor(7)).view(-1, 2)
    pairs = torch.bincount(found[:, 0] * 7 + found[:, 1], minlength=49).double()
    expected = len(found) / 49
    assert float(((pairs - expected) ** 2 / expected).sum()) < 84.04
