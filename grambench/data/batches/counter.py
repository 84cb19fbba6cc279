"""A counter-based generator: the same draw for the same (seed, purpose, counters), on any device.

SplitMix64's finaliser (Steele et al., 2014) over wrapping 64-bit integers; stateless, so that a draw does
not depend on the order of the calls or on other draws.
"""

from enum import IntEnum

import torch
from torch import Tensor

_GOLDEN = -7046029254386353131  # 0x9E3779B97F4A7C15 as a signed integer
_MIX_1 = -4658895280553007687  # 0xBF58476D1CE4E5B9
_MIX_2 = -7723592293110705685  # 0x94D049BB133111EB
_MASK = (1 << 64) - 1


class Purpose(IntEnum):
    """What a draw is for; part of its key. Numbers never change, so that resumed runs stay bit-equal.

    Two numbers each stand for two purposes, whose keys differ in their number of parts.
    """

    SHUFFLE = 1
    """The order of an epoch: seed, purpose, epoch."""
    NEGATIVES = 2
    """Unclicked candidates: seed, purpose, epoch."""
    ANSWER_WINDOWS = 3
    """Where a sequence begins within a student's answers: seed, purpose, epoch."""
    WINDOW_END = 3
    """The order of the items in the encoder update at the end of a window: seed, purpose, window, pass."""
    SAMPLE = 4
    """Which impressions or answers of a part are scored: purpose only."""
    EPOCH_END = 4
    """The order of the items in CRCF's encoder update at the end of an epoch: seed, purpose, epoch, pass."""
    CACHE = 5
    """Which cached vectors SpeedyFeed uses: seed, purpose, step."""
    MASKS = 6
    """The key of a user's dropout masks: seed, purpose, epoch."""
    STALENESS = 7
    """Whose cached vectors are compared with fresh ones: seed, purpose."""


def key(*parts: int) -> int:
    """One signed 64-bit key from several integers, for example key(seed, Purpose.SHUFFLE, epoch)."""
    state = 0
    for part in parts:
        state = _finalise((state ^ (part & _MASK)) + (_GOLDEN & _MASK))
    return state - (1 << 64) if state >> 63 else state


def bits64(draw_key: int | Tensor, counters: Tensor) -> Tensor:
    """Uniform 64-bit integers, one for each counter (int64); counters and a tensor of keys are broadcast."""
    state = counters * _GOLDEN + draw_key
    state = (state ^ _shift(state, 30)) * _MIX_1
    state = (state ^ _shift(state, 27)) * _MIX_2
    return state ^ _shift(state, 31)


def bits32(draw_key: int, counters: Tensor) -> Tensor:
    """Uniform integers in [0, 2**32) as int64, one for each counter (an int64 tensor of any shape)."""
    return _shift(bits64(draw_key, counters), 32)


def integers(draw_key: int, counters: Tensor, bound: Tensor) -> Tensor:
    """Integers in [0, bound), bound ≥ 1 and below 2**31; uniform to within bound / 2**32."""
    return bits32(draw_key, counters) * bound >> 32


def dropout_masks(
    keys_B: Tensor, positions: int, layers: int, width: int, dropout: float, dtype: torch.dtype
) -> Tensor:
    """Factors [B, positions, layers, width]: 0 where a number is dropped, else 1 / (1 - dropout).

    A row depends on its key alone, and more positions leave the first ones as they are. Each 64-bit word
    serves four features, so `dropout` is rounded to a multiple of 2**-16, in the factors too.
    """
    words = -(-width // 4)
    counters = torch.arange(positions * layers * words, device=keys_B.device)
    lanes = bits64(keys_B[:, None], counters).view(torch.int16)
    uniform = lanes.view(len(keys_B), positions, layers, 4 * words)
    dropped = min(round(dropout * 2**16), 2**16 - 1)
    return (uniform[..., :width] >= dropped - 2**15).to(dtype) * (2**16 / (2**16 - dropped))


def permutation(draw_key: int, count: int, device: torch.device) -> Tensor:
    """A permutation of range(count) by random keys (ties: the lower number first)."""
    numbers = torch.arange(count, device=device)
    return bits32(draw_key, numbers).argsort(stable=True)


def _shift(state: Tensor, bits: int) -> Tensor:
    """Logical right shift of a signed tensor."""
    return (state >> bits) & ((1 << (64 - bits)) - 1)


def _finalise(state: int) -> int:
    state &= _MASK
    state = (state ^ (state >> 30)) * (_MIX_1 & _MASK) & _MASK
    state = (state ^ (state >> 27)) * (_MIX_2 & _MASK) & _MASK
    return state ^ (state >> 31)
