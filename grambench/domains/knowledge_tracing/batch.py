"""A batch of answer sequences and its views: every occurrence, or every unique item, encoded once.

Legend: B users, L positions of a sequence, N items to encode.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Self

import torch
from torch import Tensor

from grambench.data.batches import counter
from grambench.data.batches.base import SampleBatch, Samples
from grambench.data.batches.block import Block, Indexed
from grambench.models.filters.base import AnswerView


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexedAnswers(AnswerView):
    """A batch over the vectors of `items_N`, cut to its longest sequence."""

    items_N: Tensor
    """Item ids to encode."""
    occurrences: int
    whole: Samples = field(repr=False)
    """The three tensors before they were cut."""
    keys_B: Tensor
    """See `SampleBatch`."""

    def buffers(self) -> tuple[Tensor, ...]:
        """Tensors whose shapes follow from the number of users alone."""
        return *self.whole, self.keys_B

    def dropout_masks(self, layers: int, width: int, dropout: float, dtype: torch.dtype) -> Tensor:
        """See `AnswerView`."""
        positions = self.asked_BL.shape[1]
        return counter.dropout_masks(self.keys_B, positions, layers, width, dropout, dtype)

    def over(self, items_N: Tensor, buffers: Sequence[Tensor]) -> Self:
        """The view, uncut, with other tensors in the shapes of `buffers`."""
        asked_BL, mask_BL, correct_BL, keys_B = buffers
        return replace(
            self,
            items_N=items_N,
            asked_BL=asked_BL,
            mask_BL=mask_BL,
            correct_BL=correct_BL,
            keys_B=keys_B,
            whole=(asked_BL, mask_BL, correct_BL),
        )


@dataclass(frozen=True, slots=True)
class AnswerBatch(SampleBatch[IndexedAnswers]):
    """Windows of students' answers."""

    tensors = ("asked_BL", "mask_BL", "correct_BL")

    asked_BL: Tensor
    """Earliest answer first; the padding after the last holds 0."""
    mask_BL: Tensor
    """True at real answers."""
    correct_BL: Tensor
    """1 right, 0 wrong; 0 at padding."""

    @staticmethod
    def block_of(samples: Samples, step_ends: Sequence[int]) -> Block:
        """The items asked."""
        asked_SL, mask_SL, _ = samples
        return Block(asked_SL, mask_SL, step_ends)

    def view(self, indexed: Indexed) -> IndexedAnswers:
        """See `SampleBatch.view`."""
        answers_B = self.at.block.counts(self.at.rows)
        cut = slice(None), slice(int(answers_B.max(initial=1)))
        return IndexedAnswers(
            items_N=indexed.items_N,
            host_items_N=indexed.host_items_N,
            occurrences=int(answers_B.sum()),
            asked_BL=indexed.index_BX[cut],
            mask_BL=self.mask_BL[cut],
            correct_BL=self.correct_BL[cut],
            keys_B=self.keys_B,
            whole=(indexed.index_BX, self.mask_BL, self.correct_BL),
        )
