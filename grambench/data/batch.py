"""A batch of users and its two views: every occurrence, or every unique item, encoded once.

Legend: B users, H history positions, C candidates, N items to encode.
"""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor


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

    @property
    def users(self) -> int:
        """B."""
        return len(self.candidates_BC)

    def occurrence_ids(self) -> Tensor:
        """Ids of all appearances, padding excluded: histories, then candidates."""
        return torch.cat((self.history_BH[self.mask_BH], self.candidates_BC.flatten()))

    def occurrences(self) -> "IndexedNews":
        """The view of E2E: each appearance is an item of its own."""
        ids_N = self.occurrence_ids()
        return self._indexed(ids_N, torch.arange(len(ids_N), device=ids_N.device), len(ids_N))

    def unique(self) -> "IndexedNews":
        """The view of GRAM: each distinct item once."""
        ids_N = self.occurrence_ids()
        unique_N, index_N = ids_N.unique(return_inverse=True)
        return self._indexed(unique_N, index_N, len(ids_N))

    def within(self, slots_I: Tensor) -> "IndexedNews":
        """The view of a window: indices into the window's table by `slots_I` (item id -> row)."""
        ids_N = self.occurrence_ids()
        unique_N, index_N = ids_N.unique(return_inverse=True)
        return self._indexed(slots_I[unique_N], index_N, len(ids_N))

    def repeated(self) -> "NewsBatch":
        """The same users twice, so that every item appears again."""
        return dataclasses.replace(
            self,
            history_BH=self.history_BH.repeat(2, 1),
            mask_BH=self.mask_BH.repeat(2, 1),
            candidates_BC=self.candidates_BC.repeat(2, 1),
        )

    def split(self, users: int) -> Iterator["NewsBatch"]:
        """Micro-batches of at most `users` users."""
        for start in range(0, self.users, users):
            rows = slice(start, start + users)
            yield dataclasses.replace(
                self,
                history_BH=self.history_BH[rows],
                mask_BH=self.mask_BH[rows],
                candidates_BC=self.candidates_BC[rows],
            )

    def _indexed(self, items_N: Tensor, index: Tensor, occurrences: int) -> "IndexedNews":
        clicks = len(index) - self.candidates_BC.numel()
        history_BH = torch.zeros_like(self.history_BH)
        history_BH[self.mask_BH] = index[:clicks]
        candidates_BC = index[clicks:].view_as(self.candidates_BC)
        return IndexedNews(items_N, occurrences, history_BH, self.mask_BH, candidates_BC)


@dataclass(frozen=True, slots=True)
class IndexedNews:
    """A batch over item vectors: `history_BH` and `candidates_BC` index the vectors of `items_N`."""

    items_N: Tensor
    """Item ids to encode (or rows of a window's table)."""
    occurrences: int
    history_BH: Tensor
    mask_BH: Tensor
    candidates_BC: Tensor
