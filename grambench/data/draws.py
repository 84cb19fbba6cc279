"""Reproducible draws for generated data: the same seed gives the same numbers with any version of NumPy.

Philox's raw words are converted to uniform numbers here, and weights are rounded to integers before they
are summed, so that results depend neither on NumPy's distributions nor on summation order.
"""

import hashlib
from typing import Any

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

_WEIGHT_ONE = 1 << 20


class Stream:
    """A stream of uniform numbers: Philox's raw words, keyed by seed and name."""

    def __init__(self, seed: int, name: str) -> None:
        digest = hashlib.sha256(f"grambench synthetic 1/{seed}/{name}".encode()).digest()
        self._bits = np.random.Philox(key=int.from_bytes(digest[:16], "big"))

    def uniform(self, count: int) -> Floats:
        """`count` numbers in [0, 1), multiples of 2^-53."""
        words: Any = self._bits.random_raw(count)
        return np.asarray((words >> np.uint64(11)) * 2.0**-53, dtype=np.float64)


class WeightedIndex:
    """Draws indices by weight from a list of weights or slices of it; a weight of 0 is never drawn."""

    def __init__(self, weights: npt.ArrayLike) -> None:
        """`weights`: in [0, 1]; rounded to multiples of 2^-20."""
        units = np.rint(np.asarray(weights, dtype=np.float64) * _WEIGHT_ONE).astype(np.int64)
        self._edges = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(units)])

    def draw(self, uniform: Floats) -> Ints:
        """One index of the whole list per uniform number."""
        zero = np.zeros(1, dtype=np.int64)
        return self.draw_slice(uniform, zero, zero + len(self._edges) - 1)

    def draw_slice(self, uniform: Floats, first: Ints, last: Ints) -> Ints:
        """One index of [first, last) per uniform number."""
        start = self._edges[first]
        return self._at(start + (uniform * (self._edges[last] - start)).astype(np.int64))

    def draw_other(self, uniform: Floats, first: Ints, last: Ints, taken: Ints) -> Ints:
        """As `draw_slice`, but never the index `taken`; the slice must hold another positive weight."""
        start, begin, width = self._edges[first], self._edges[taken], np.diff(self._edges)[taken]
        target = start + (uniform * (self._edges[last] - start - width)).astype(np.int64)
        return self._at(target + np.where(target >= begin, width, 0))

    def _at(self, target: Ints) -> Ints:
        return np.asarray(np.searchsorted(self._edges, target, side="right") - 1, dtype=np.int64)


def starts(lengths: Ints) -> Ints:
    return np.asarray(np.cumsum(lengths) - lengths, dtype=np.int64)


def first_distinct(rows: Ints, values: Ints, wanted: Ints, top: int) -> tuple[Ints, Ints]:
    """The first `wanted[r]` distinct values of each row r: flat values, and each row's length."""
    _, first = np.unique(rows * top + values, return_index=True)
    first.sort()
    rows, values = rows[first], values[first]
    held = np.bincount(rows, minlength=len(wanted))
    kept = np.arange(len(rows)) - starts(held)[rows] < wanted[rows]
    return values[kept], np.minimum(held, wanted)
