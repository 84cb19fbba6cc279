"""Samples of several steps, indexed together, so that the host synchronises once per block.

The number of distinct items in a step determines the shapes of its tensors, so the host has to wait for it.
A block reads the numbers of many steps at once. Legend: S samples of the block, X item positions of a
sample (history, then candidates), N occurrences of all samples, P steps.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from grambench.transfer import host_reads, read, sent

_STEP_BITS = 32
"""A key holds the item id in its low bits and the step above them, so that one sort serves all steps."""


@dataclass(frozen=True, slots=True)
class Indexed:
    """Items of some rows of a block, on device and host, and the index of each position into them."""

    items_N: Tensor
    host_items_N: NDArray[np.int64]
    index_BX: Tensor
    """Into `items_N`; 0 at padding."""


class Block:
    """Item ids of S samples [S, X] and the mask of those that are not padding."""

    def __init__(self, ids_SX: Tensor, mask_SX: Tensor, step_ends: Sequence[int], ranks: int = 1) -> None:
        """
        Args:
            ids_SX: item ids.
            mask_SX: False at padding.
            step_ends: end (exclusive) of each step's samples, ascending; the last is S.
            ranks: that share a step of training: each one's part of it is a step of the block.
        """
        self.ids_SX, self.mask_SX = ids_SX, mask_SX
        self.step_starts = [0, *step_ends[:-1]]
        self.step_ends = list(step_ends)
        self.ranks = ranks
        self._cuts: dict[int, Block] = {}

    def cut(self, ranks: int) -> "Block":
        """The same samples, each step cut into one part a rank, as equal as possible; some may be empty."""
        if ranks not in self._cuts:
            steps = zip(self.step_starts, self.step_ends, strict=True)
            parts = range(1, ranks + 1)
            ends = [start + part * (end - start) // ranks for start, end in steps for part in parts]
            self._cuts[ranks] = Block(self.ids_SX, self.mask_SX, ends, ranks)
        return self._cuts[ranks]

    def occurrences_of(self, rows: slice) -> Indexed:
        """Every occurrence in the samples of `rows` as a separate item."""
        items_N, host_N = self._occurrences
        start, stop = self._ends_S[rows.start], self._ends_S[rows.stop]
        index_BX = (self._number_SX[rows] - start).where(self.mask_SX[rows], 0)
        return Indexed(items_N[start:stop], host_N[start:stop], index_BX)

    def unique_of(self, step: int, rows: slice) -> Indexed:
        """The distinct items of a step of the block, ascending, indexed by the samples of `rows`."""
        items_K, host_K, starts_P, index_SX = self._unique
        start, stop = starts_P[step], starts_P[step + 1]
        return Indexed(items_K[start:stop], host_K[start:stop], index_SX[rows])

    def read_by_rank(self, step: int) -> list[NDArray[np.int64]]:
        """The distinct items of each rank's part of the step of training that `step` is a part of."""
        _, host_K, starts_P, _ = self._unique
        first = step - step % self.ranks
        return np.split(host_K[: starts_P[first + self.ranks]], starts_P[first : first + self.ranks])[1:]

    def counts(self, rows: slice) -> NDArray[np.int64]:
        """Occurrences in each sample of `rows`, on the host."""
        counts_B: NDArray[np.int64] = np.diff(self._ends_S[rows.start : rows.stop + 1])
        return counts_B

    @cached_property
    def _real(self) -> Tensor:
        """Positions of the occurrences in the flattened block [N]."""
        with host_reads():
            return self.mask_SX.flatten().nonzero().squeeze(1)

    @cached_property
    def _ends_S(self) -> NDArray[np.int64]:
        """Cumulative occurrences [S + 1]: before each sample, then the total; on the host."""
        return np.concatenate(([0], np.cumsum(read(self.mask_SX.sum(dim=1)))))

    @cached_property
    def _number_SX(self) -> Tensor:
        """Running number of each occurrence within the block; arbitrary at padding."""
        return self.mask_SX.flatten().cumsum(0).sub(1).view_as(self.ids_SX)

    @cached_property
    def _occurrences(self) -> tuple[Tensor, NDArray[np.int64]]:
        items_N = self.ids_SX.flatten()[self._real]
        return items_N, read(items_N)

    @cached_property
    def _unique(self) -> tuple[Tensor, NDArray[np.int64], NDArray[np.int64], Tensor]:
        """Distinct items of all steps, on device and host; start of each step; the index [S, X]."""
        device = self.ids_SX.device
        steps = len(self.step_ends)
        ends_P = sent(torch.tensor(self.step_ends), device)
        step_S = torch.searchsorted(ends_P, torch.arange(len(self.ids_SX), device=device), right=True)
        keys_SX = self.ids_SX + (step_S << _STEP_BITS)[:, None]
        with host_reads():
            keys_K, inverse_N = keys_SX.flatten()[self._real].unique(return_inverse=True)
        host_keys_K = read(keys_K)
        starts_P = np.searchsorted(host_keys_K >> _STEP_BITS, np.arange(steps + 1))
        starts_S = torch.searchsorted(keys_K, step_S << _STEP_BITS)
        index_SX = torch.zeros_like(self.ids_SX)
        index_SX.view(-1)[self._real] = inverse_N
        index_SX = (index_SX - starts_S[:, None]).where(self.mask_SX, 0)
        low = (1 << _STEP_BITS) - 1
        return keys_K & low, host_keys_K & low, starts_P, index_SX


@dataclass(frozen=True, slots=True)
class Place:
    """Position of a batch in its block: the step, and the batch's rows of the block."""

    block: Block
    step: int
    rows: slice

    def whole(self) -> slice:
        """The rows of the step of training, of which this may be one rank's part."""
        first = self.step - self.step % self.block.ranks
        return slice(self.block.step_starts[first], self.block.step_ends[first + self.block.ranks - 1])

    def is_whole_step(self) -> bool:
        """False for a micro-batch."""
        block = self.block
        return self.rows == slice(block.step_starts[self.step], block.step_ends[self.step])
