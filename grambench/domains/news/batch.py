"""A batch of users and its views: every occurrence, or every unique item, encoded once.

Legend: B users, H history positions, C candidates, N items to encode.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from grambench.data.batches.base import SampleBatch, Samples
from grambench.data.batches.block import Block, Indexed
from grambench.models.filters.base import RankingView


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexedNews(RankingView):
    """A batch over the vectors of `items_N`."""

    items_N: Tensor
    """Item ids to encode."""
    host_items_N: NDArray[np.int64]
    """The same on the host."""
    occurrences: int

    def buffers(self) -> tuple[Tensor, ...]:
        """Tensors whose shapes follow from the number of users alone."""
        return self.history_BH, self.mask_BH, self.candidates

    def apart(self) -> Self:
        """See `View`."""
        return replace(
            self,
            items_N=torch.cat((self.items_N, self.items_N)),
            host_items_N=np.concatenate((self.host_items_N, self.host_items_N)),
            history_BH=self.history_BH + len(self.items_N),
        )

    def over(self, items_N: Tensor, buffers: Sequence[Tensor]) -> Self:
        """The view with other tensors in the shapes of `buffers`."""
        history_BH, mask_BH, candidates = buffers
        return replace(
            self,
            items_N=items_N,
            history_BH=history_BH,
            mask_BH=mask_BH,
            candidates=candidates,
            clicks_B=None,
        )


@dataclass(frozen=True, slots=True)
class NewsBatch(SampleBatch[IndexedNews]):
    """Clicked candidates with their histories and negatives."""

    tensors = ("history_BH", "mask_BH", "candidates_BC")

    history_BH: Tensor
    """Clicks, latest last; padding holds 0."""
    mask_BH: Tensor
    """True at real clicks."""
    candidates_BC: Tensor
    """The clicked candidate, then the negatives."""

    @staticmethod
    def block_of(samples: Samples, step_ends: Sequence[int]) -> Block:
        """Real clicks, then all candidates."""
        history_SH, mask_SH, candidates_SC = samples
        is_real_SX = functional.pad(mask_SH, (0, candidates_SC.shape[1]), value=True)
        return Block(torch.cat((history_SH, candidates_SC), dim=1), is_real_SX, step_ends)

    @property
    def clicks_B(self) -> NDArray[np.int64]:
        """Real clicks of each history, on the host."""
        return self.at.block.counts(self.at.rows) - self.candidates_BC.shape[1]

    def candidates(self) -> NDArray[np.int64]:
        """See `SampleBatch`: the last occurrences of each user."""
        host_N = self.at.block.occurrences_of(self.at.rows).host_items_N
        ends_B1 = self.at.block.counts(self.at.rows).cumsum()[:, None]
        return host_N[ends_B1 - 1 - np.arange(self.candidates_BC.shape[1])]

    def view(self, indexed: Indexed) -> IndexedNews:
        """See `SampleBatch.view`."""
        history, clicks_B = self.history_BH.shape[1], self.clicks_B
        return IndexedNews(
            items_N=indexed.items_N,
            host_items_N=indexed.host_items_N,
            occurrences=int(clicks_B.sum()) + self.candidates_BC.numel(),
            history_BH=indexed.index_BX[:, :history],
            mask_BH=self.mask_BH,
            candidates=indexed.index_BX[:, history:],
            clicks_B=clicks_B,
        )
