"""Packed rows: several items share a row of an encoder call, each attending only to itself.

Buckets pad every item to the longest in its call, and need one call per length. Packed, the items of a batch
fill rows of 128 positions under a block-diagonal mask, each with its own position ids, so that one call with
few different shapes encodes them all.
Legend: N items, G rows, R positions of a row, L positions of an item, D width.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from grambench.models.encoders.base import ItemVectors
from grambench.models.encoders.tokens import ItemTokens
from grambench.models.lengths import LENGTH_STEP
from grambench.models.ranks import ALONE, Ranks
from grambench.transfer import sent

ROW = 128
"""Positions per row, unless an item is longer."""
_SHORT = 64
"""If no item is longer, pooling reads a constant number of positions, so that calls have fewer shapes."""
_PROBE_ROWS = 16
_PADDING = -1


def row_length(longest: int) -> int:
    """The smallest of 128, 256, 512 … positions that fits the longest item."""
    row = ROW
    while row < longest:
        row *= 2
    return row


def best_fit(lengths_N: NDArray[np.int64], row: int) -> tuple[NDArray[np.int64], int]:
    """Best-fit decreasing bin packing: start of each item, counted over all rows, and the number of rows.

    Items of one length are interchangeable, so rows are filled one length at a time. Items are not split.

    Raises:
        ValueError: an item is longer than a row.
    """
    order_N = np.argsort(-lengths_N, kind="stable")
    falling_N = lengths_N[order_N]
    if len(falling_N) and falling_N[0] > row:
        raise ValueError(f"an item of {falling_N[0]} tokens does not fit a row of {row}")
    begins = np.empty(len(lengths_N), np.int64)
    free: list[list[int]] = [[] for _ in range(row + 1)]
    """Room left -> the rows with exactly that much."""
    rows, placed = 0, 0
    values, counts = np.unique(-falling_N, return_counts=True)
    for length, count in zip((-values).tolist(), counts.tolist(), strict=True):
        starts: list[int] = []
        for room in range(length, row):  # fullest rows with enough room first
            while free[room] and len(starts) < count:
                starts += _fill(free, free[room].pop(), room, length, count - len(starts), row)
        while len(starts) < count:
            starts += _fill(free, rows, row, length, count - len(starts), row)
            rows += 1
        begins[order_N[placed : placed + count]] = starts
        placed += count
    return begins, rows


def _fill(free: list[list[int]], number: int, room: int, length: int, most: int, row: int) -> list[int]:
    """Starts of up to `most` items of one length in row `number`, which has `room` positions left."""
    count = min(room // length, most)
    begin = number * row + row - room
    free[room - count * length].append(number)
    return [begin + k * length for k in range(count)]


def rounded_rows(rows: int) -> int:
    """`rows` rounded up to 1, 2, 3, 4, 6, 8, 12, 16, 24, 32 …, so that calls have few shapes."""
    octave = 1
    while octave < rows:
        octave *= 2
    return octave // 4 * 3 if rows <= octave // 4 * 3 else octave


@dataclass(frozen=True, slots=True)
class PackedCall:
    """One encoder call on the host: int32 arrays."""

    rows_3GR: NDArray[np.int32]
    """Token id, index of the item in the call (−1 at padding) and position within the item."""
    items_2N: NDArray[np.int32]
    """Start of each item, counted over all rows, and its length."""
    longest: int
    """Length of the longest item, rounded up to a multiple of 8."""

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Rows, positions per row, items, positions of the longest item: they determine all shapes."""
        return (*self.rows_3GR.shape[1:], self.items_2N.shape[1], self.longest)

    def on(self, device: torch.device) -> "PackedInput":
        """The call on the device; copies are queued without waiting."""
        rows, items = (sent(torch.from_numpy(array), device) for array in (self.rows_3GR, self.items_2N))
        return PackedInput(rows, items, self.longest)


@dataclass(frozen=True, slots=True)
class PackedInput:
    """A packed call on the device."""

    rows_3GR: Tensor
    items_2N: Tensor
    longest: int

    def ids_GR(self) -> Tensor:
        """Token ids; 0 at padding."""
        return self.rows_3GR[0]

    def positions_GR(self) -> Tensor:
        """Position of each token within its item."""
        return self.rows_3GR[2].long()

    def mask_G1RR(self) -> Tensor:
        """True where a position may attend to another: within its item (padding attends to padding)."""
        item_GR = self.rows_3GR[1]
        return (item_GR[:, :, None] == item_GR[:, None, :]).unsqueeze(1)

    def places_NL(self) -> tuple[Tensor, Tensor]:
        """Indices of each item's tokens in the flattened rows, 0 after its end; mask of real tokens."""
        begin_N, length_N = self.items_2N
        position_L = torch.arange(self.longest, dtype=torch.int32, device=begin_N.device)
        mask_NL = position_L < length_N[:, None]
        return (begin_N[:, None] + position_L).where(mask_NL, 0), mask_NL


class PackedRows:
    """The layout that packs items into rows (see the module docstring)."""

    name = "packed"

    def __init__(self, longest: int, call_tokens: int) -> None:
        """
        Args:
            longest: tokens of the catalogue's longest item.
            call_tokens: most token positions per encoder call, including padding.
        """
        self.row, self.bucket_tokens = row_length(longest), call_tokens
        self._longest = _rounded(longest) if longest <= _SHORT else None
        """Positions per item that the pooling reads; None: those of the call's longest item."""

    def vectors(
        self, encoder: ItemVectors, tokens: ItemTokens, items_N: NDArray[np.int64], ranks: Ranks = ALONE
    ) -> tuple[Tensor, int]:
        """Vectors [N, D] in the order of the ids, and the number of calls; ranks share the calls."""
        calls = list(self.calls(tokens, items_N))
        pieces = [encoder.packed(call.on(tokens.device)) for call, _ in calls[ranks.rank :: ranks.size]]
        if len(calls) == ranks.size == 1:  # in order
            return pieces[0], 1
        back_N = np.argsort(np.concatenate([rows for _, rows in calls]))
        joined_ND = ranks.join(pieces, len(calls), encoder.no_items())
        return joined_ND[sent(torch.from_numpy(back_N), tokens.device)], len(pieces)

    def positions(self, lengths_N: NDArray[np.int64]) -> int:
        """Token positions of the rows that items of these lengths fill."""
        _, rows = best_fit(lengths_N, self.row)
        return rows * self.row

    def probe_items(self, length: int) -> int:
        """Enough items to fill a few rows."""
        return _PROBE_ROWS * (self.row // length)

    def calls(
        self, tokens: ItemTokens, items_N: NDArray[np.int64]
    ) -> Iterator[tuple[PackedCall, NDArray[np.int64]]]:
        """The calls, each with the indices of its items; all but the last are as large as allowed.

        With up to 128 rows per call, this gives at most 14 different numbers of rows.
        """
        begins_N, rows = best_fit(tokens.lengths[items_N], self.row)
        most = max(1, self.bucket_tokens // self.row)
        for first in range(0, rows, most):
            count = min(most, rows - first)
            low, high = first * self.row, (first + count) * self.row
            inside_N = np.flatnonzero((begins_N >= low) & (begins_N < high))
            call = self._call(
                tokens, items_N[inside_N], begins_N[inside_N] - low, min(rounded_rows(count), most)
            )
            yield call, inside_N

    def _call(
        self, tokens: ItemTokens, items_N: NDArray[np.int64], begins_N: NDArray[np.int64], rows: int
    ) -> PackedCall:
        lengths_N = tokens.lengths[items_N]
        position = np.arange(lengths_N.sum()) - np.repeat(np.cumsum(lengths_N) - lengths_N, lengths_N)
        place = np.repeat(begins_N, lengths_N) + position
        flat = np.zeros((3, rows * self.row), np.int32)
        flat[1] = _PADDING
        flat[0, place] = tokens.flattened(items_N)
        flat[1, place] = np.repeat(np.arange(len(items_N)), lengths_N)
        flat[2, place] = position
        longest = self._longest or _rounded(int(lengths_N.max(initial=1)))
        items = np.stack((begins_N, lengths_N)).astype(np.int32)
        return PackedCall(flat.reshape(3, rows, self.row), items, longest)


def _rounded(length: int) -> int:
    return -(-length // LENGTH_STEP) * LENGTH_STEP
