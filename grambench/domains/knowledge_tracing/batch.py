"""A batch of answer sequences and its views: every occurrence, or every unique item, encoded once.

Legend: B users, L positions of a sequence, N items to encode.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from grambench.data.batches.block import Block, Indexed, Place


@dataclass(frozen=True, slots=True)
class AnswerBatch:
    """Training sequences of one step, as item ids of the catalogue."""

    epoch: int
    """From 0."""
    step: int
    """CF steps before this one, over all epochs."""
    ends_epoch: bool
    ends_training: bool
    asked_BL: Tensor
    """Earliest answer first; the padding behind holds 0."""
    mask_BL: Tensor
    """True at real answers."""
    correct_BL: Tensor
    """1 right, 0 wrong; 0 at padding."""
    place: Place | None = field(default=None, repr=False, compare=False)
    """Left out: it becomes a block of its own."""

    def __post_init__(self) -> None:
        if self.place is None:
            block = Block(self.asked_BL, self.mask_BL, [self.users])
            object.__setattr__(self, "place", Place(block, 0, slice(0, self.users)))

    @property
    def at(self) -> Place:
        """Its place, which every batch has."""
        assert self.place is not None
        return self.place

    @property
    def users(self) -> int:
        """B."""
        return len(self.asked_BL)

    @property
    def answers_B(self) -> NDArray[np.int64]:
        """Real answers of each sequence, on the host."""
        return self.at.block.counts(self.at.rows)

    def occurrences(self) -> "IndexedAnswers":
        """The view of E2E: each appearance is an item of its own."""
        return self._view(self.at.block.occurrences_of(self.at.rows))

    def unique(self) -> "IndexedAnswers":
        """The view of GRAM: each distinct item once, ascending."""
        if not self.at.is_whole_step():
            return dataclasses.replace(self, place=None).unique()
        return self._view(self.at.block.unique_of(self.at.step))

    def repeated(self) -> "AnswerBatch":
        """The same users twice, so that every item appears again."""
        return dataclasses.replace(
            self,
            asked_BL=self.asked_BL.repeat(2, 1),
            mask_BL=self.mask_BL.repeat(2, 1),
            correct_BL=self.correct_BL.repeat(2, 1),
            place=None,
        )

    def split(self, users: int) -> Iterator["AnswerBatch"]:
        """Micro-batches of at most `users` users."""
        first = self.at.rows.start
        for start in range(0, self.users, users):
            stop = min(start + users, self.users)
            yield dataclasses.replace(
                self,
                asked_BL=self.asked_BL[start:stop],
                mask_BL=self.mask_BL[start:stop],
                correct_BL=self.correct_BL[start:stop],
                place=dataclasses.replace(self.at, rows=slice(first + start, first + stop)),
            )

    def _view(self, indexed: Indexed) -> "IndexedAnswers":
        answers_B = self.answers_B
        longest = int(answers_B.max(initial=1))
        whole = indexed.index_BX, self.mask_BL, self.correct_BL
        return IndexedAnswers(
            indexed.items_N,
            indexed.host_items_N,
            int(answers_B.sum()),
            indexed.index_BX[:, :longest],
            self.mask_BL[:, :longest],
            self.correct_BL[:, :longest],
            whole,
        )


@dataclass(frozen=True, slots=True)
class IndexedAnswers:
    """A batch over item vectors, cut to its longest sequence: `asked_BL` points into `items_N`."""

    items_N: Tensor
    """Item ids to encode."""
    host_items_N: NDArray[np.int64]
    """The same on the host."""
    occurrences: int
    asked_BL: Tensor
    mask_BL: Tensor
    correct_BL: Tensor
    whole: tuple[Tensor, Tensor, Tensor] = field(repr=False)
    """The three tensors before they were cut."""

    def buffers(self) -> tuple[Tensor, ...]:
        """Tensors whose shapes follow from the number of users alone."""
        return self.whole

    def over(self, items_N: Tensor, buffers: Sequence[Tensor]) -> "IndexedAnswers":
        """The view, uncut, with other tensors in the shapes of `buffers`."""
        asked_BL, mask_BL, correct_BL = buffers
        whole = asked_BL, mask_BL, correct_BL
        return IndexedAnswers(items_N, self.host_items_N, self.occurrences, *whole, whole)
