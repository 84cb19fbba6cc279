"""A batch of users and its views: every occurrence, or every unique item, encoded once.

Legend: B users, H history positions, C candidates, X = H + C, N items to encode.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from grambench.data.batches.block import Block, Indexed, Place


@dataclass(frozen=True, slots=True)
class NewsBatch:
    """Training samples of one step, as item ids of the catalogue."""

    epoch: int
    """From 0."""
    step: int
    """CF steps before this one, over all epochs."""
    ends_epoch: bool
    ends_training: bool
    history_BH: Tensor
    """Clicks, latest last; padding holds 0."""
    mask_BH: Tensor
    """True at real clicks."""
    candidates_BC: Tensor
    """The clicked candidate, then the negatives."""
    place: Place | None = field(default=None, repr=False, compare=False)
    """Left out: it becomes a block of its own."""

    def __post_init__(self) -> None:
        if self.place is None:
            block = Block.of(self.history_BH, self.mask_BH, self.candidates_BC, [self.users])
            object.__setattr__(self, "place", Place(block, 0, slice(0, self.users)))

    @property
    def at(self) -> Place:
        """Its place, which every batch has."""
        assert self.place is not None
        return self.place

    @property
    def users(self) -> int:
        """B."""
        return len(self.candidates_BC)

    def occurrences(self) -> "IndexedNews":
        """The view of E2E: each appearance is an item of its own."""
        return self._view(self.at.block.occurrences_of(self.at.rows))

    def unique(self) -> "IndexedNews":
        """The view of GRAM: each distinct item once, ascending."""
        if not self.at.is_whole_step():
            return dataclasses.replace(self, place=None).unique()
        return self._view(self.at.block.unique_of(self.at.step))

    def repeated(self) -> "NewsBatch":
        """The same users twice, so that every item appears again."""
        return dataclasses.replace(
            self,
            history_BH=self.history_BH.repeat(2, 1),
            mask_BH=self.mask_BH.repeat(2, 1),
            candidates_BC=self.candidates_BC.repeat(2, 1),
            place=None,
        )

    def split(self, users: int) -> Iterator["NewsBatch"]:
        """Micro-batches of at most `users` users."""
        first = self.at.rows.start
        for start in range(0, self.users, users):
            stop = min(start + users, self.users)
            yield dataclasses.replace(
                self,
                history_BH=self.history_BH[start:stop],
                mask_BH=self.mask_BH[start:stop],
                candidates_BC=self.candidates_BC[start:stop],
                place=dataclasses.replace(self.at, rows=slice(first + start, first + stop)),
            )

    @property
    def clicks_B(self) -> NDArray[np.int64]:
        """Real clicks of each history, on the host."""
        return self.at.block.counts(self.at.rows) - self.candidates_BC.shape[1]

    def _view(self, indexed: Indexed) -> "IndexedNews":
        history = self.history_BH.shape[1]
        clicks_B = self.clicks_B
        return IndexedNews(
            indexed.items_N,
            indexed.host_items_N,
            int(clicks_B.sum()) + self.candidates_BC.numel(),
            indexed.index_BX[:, :history],
            self.mask_BH,
            clicks_B,
            indexed.index_BX[:, history:],
        )


@dataclass(frozen=True, slots=True)
class IndexedNews:
    """A batch over item vectors: `history_BH` and `candidates_BC` index the vectors of `items_N`."""

    items_N: Tensor
    """Item ids to encode."""
    host_items_N: NDArray[np.int64]
    """The same on the host."""
    occurrences: int
    history_BH: Tensor
    mask_BH: Tensor
    clicks_B: NDArray[np.int64] | None
    """Real clicks of each history, on the host; None: they decide no shape, all histories share a call."""
    candidates_BC: Tensor

    def buffers(self) -> tuple[Tensor, ...]:
        """Tensors whose shapes follow from the number of users alone."""
        return self.history_BH, self.mask_BH, self.candidates_BC

    def over(self, items_N: Tensor, buffers: Sequence[Tensor]) -> "IndexedNews":
        """The view with other tensors in the shapes of `buffers`."""
        history_BH, mask_BH, candidates_BC = buffers
        return IndexedNews(
            items_N, self.host_items_N, self.occurrences, history_BH, mask_BH, None, candidates_BC
        )
