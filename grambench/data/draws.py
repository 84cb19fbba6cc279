"""Reproducible draws for generated data: the same seed gives the same numbers with any NumPy.

Raw words of Philox are turned into uniform numbers here, and weights are rounded to integers before
they are summed, so that neither NumPy's distributions nor a sum's order can move a result.
"""

import hashlib
from typing import Any

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

_WEIGHT_ONE = 1 << 20


class Stream:
    """Uniform numbers of one purpose: Philox's raw words, keyed by seed and name."""

    def __init__(self, seed: int, name: str) -> None:
        digest = hashlib.sha256(f"grambench synthetic 1/{seed}/{name}".encode()).digest()
        self._bits = np.random.Philox(key=int.from_bytes(digest[:16], "big"))

    def uniform(self, count: int) -> Floats:
        """`count` numbers in [0, 1), multiples of 2^-53."""
        words: Any = self._bits.random_raw(count)
        return np.asarray((words >> np.uint64(11)) * 2.0**-53, dtype=np.float64)


class Wheel:
    """Draws from slices of one long list of weights; a weight of 0 is never drawn."""

    def __init__(self, weights: npt.ArrayLike) -> None:
        """Take weights in [0, 1], rounded to multiples of 2^-20."""
        units = np.rint(np.asarray(weights, dtype=np.float64) * _WEIGHT_ONE).astype(np.int64)
        self._edges = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(units)])

    def spin(self, uniform: Floats) -> Ints:
        """One index of the whole list per uniform number."""
        whole = np.zeros(1, dtype=np.int64)
        return self.spin_slice(uniform, whole, whole + len(self._edges) - 1)

    def spin_slice(self, uniform: Floats, first: Ints, last: Ints) -> Ints:
        """One index of [first, last) per uniform number."""
        start = self._edges[first]
        return self._at(start + (uniform * (self._edges[last] - start)).astype(np.int64))

    def spin_other(self, uniform: Floats, first: Ints, last: Ints, taken: Ints) -> Ints:
        """As `spin_slice`, never the index `taken`; the slice must hold another positive weight."""
        start, begin, width = self._edges[first], self._edges[taken], np.diff(self._edges)[taken]
        target = start + (uniform * (self._edges[last] - start - width)).astype(np.int64)
        return self._at(target + np.where(target >= begin, width, 0))

    def _at(self, target: Ints) -> Ints:
        return np.asarray(np.searchsorted(self._edges, target, side="right") - 1, dtype=np.int64)


def starts(lengths: Ints) -> Ints:
    return np.asarray(np.cumsum(lengths) - lengths, dtype=np.int64)


def first_distinct(rows: Ints, values: Ints, wanted: Ints, top: int) -> tuple[Ints, Ints]:
    """The first `wanted[r]` distinct values of each row r: flat values, and the length of each row."""
    _, first = np.unique(rows * top + values, return_index=True)
    first.sort()
    rows, values = rows[first], values[first]
    held = np.bincount(rows, minlength=len(wanted))
    kept = np.arange(len(rows)) - starts(held)[rows] < wanted[rows]
    return values[kept], np.minimum(held, wanted)
