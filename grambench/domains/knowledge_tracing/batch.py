"""A batch of answer sequences and its views: every occurrence, or every unique item, encoded once.

Legend: B users, L positions of a sequence, N items to encode.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
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
    whole: tuple[Tensor, ...] = field(repr=False)
    """The three tensors before they were cut, and `answered_BL` where it differs."""
    keys_B: Tensor
    """See `SampleBatch`."""

    def buffers(self) -> tuple[Tensor, ...]:
        """Tensors whose shapes follow from the number of users alone."""
        return self.keys_B, *self.whole

    def apart(self) -> Self:
        """See `View`: an item is a candidate where it is asked, and history where its answer is known."""
        items = len(self.items_N)
        return replace(
            self,
            items_N=torch.cat((self.items_N, self.items_N)),
            host_items_N=np.concatenate((self.host_items_N, self.host_items_N)),
            answered_BL=self.asked_BL + items,
            whole=(*self.whole, self.whole[0] + items),
        )

    def dropout_masks(self, layers: int, width: int, dropout: float, dtype: torch.dtype) -> Tensor:
        """See `AnswerView`."""
        positions = self.asked_BL.shape[1]
        return counter.dropout_masks(self.keys_B, positions, layers, width, dropout, dtype)

    def over(self, items_N: Tensor, buffers: Sequence[Tensor]) -> Self:
        """The view, uncut, with other tensors in the shapes of `buffers`."""
        keys_B, asked_BL, mask_BL, correct_BL, *answered = buffers
        return replace(
            self,
            items_N=items_N,
            asked_BL=asked_BL,
            mask_BL=mask_BL,
            correct_BL=correct_BL,
            answered_BL=answered[0] if answered else None,
            keys_B=keys_B,
            whole=tuple(buffers[1:]),
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

    def candidates(self) -> NDArray[np.int64]:
        """See `SampleBatch`: every item asked."""
        return self.at.block.occurrences_of(self.at.rows).host_items_N

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
