"""What a collaborative filter is, and what it reads of each domain.

Legend: B users, H history positions, C candidates, L positions of a sequence, N item vectors, D width.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from grambench.models.rows import rows_at

Scorer = Callable[[Any], Tensor]
"""From a view to its scores, over item vectors that it knows."""


class Filter(Protocol):
    """A collaborative filter (an `nn.Module`); a view holds indices into the item vectors."""

    training: bool
    across_users: bool = False
    """Whether the loss of a user depends on other users of the view, so that it needs the whole batch."""

    def train(self, mode: bool = True) -> Any: ...

    def parameters(self) -> Iterator[nn.Parameter]: ...

    def loss(self, item_vectors_ND: Tensor, view: Any) -> Tensor:
        """Loss SUMMED over the users of the view (eq. 8)."""

    def scores(self, item_vectors_ND: Tensor, view: Any) -> Tensor:
        """A score for each candidate, in their shape, or for each position of a sequence [B, L]."""

    def scorer(self, item_vectors_ND: Tensor, whole: bool) -> Scorer:
        """`scores` of many views over the same vectors, without a graph.

        `whole`: what is computed once per item may be held for all N items, in up to 3 D numbers each.
        """
        return partial(self.scores, item_vectors_ND)


@dataclass(frozen=True, slots=True)
class RankingView:
    """Users with their clicks and candidates, all of which index the item vectors."""

    history_BH: Tensor
    """Clicks, latest last; the padding before them holds 0."""
    mask_BH: Tensor
    """True at real clicks."""
    candidates: Tensor
    """[B, C], the clicked one first; with `candidate_rows`, those of all users one after another [C]."""
    candidate_rows: Tensor | None = None
    """The row b of each candidate, where users have different numbers of them."""
    clicks_B: NDArray[np.int64] | None = None
    """Real clicks of each history, on the host; None: they decide no shape, all histories share a call."""
    items_N: Tensor | None = None
    """Item ids that the indices refer to; None: every index is an item of its own."""


@dataclass(frozen=True, slots=True)
class AnswerView:
    """Sequences of answers, whose items index the item vectors."""

    host_items_N: NDArray[np.int64]
    """Item ids that `asked_BL` points into, on the host."""
    asked_BL: Tensor
    """Earliest answer first; 0 at the padding after the last."""
    mask_BL: Tensor
    """True at real answers."""
    correct_BL: Tensor
    """1 right, 0 wrong; 0 at padding."""
    answered_BL: Tensor | None = None
    """The same items as the answers that later positions know; None: `asked_BL`."""

    def dropout_masks(self, layers: int, width: int, dropout: float, dtype: torch.dtype) -> Tensor:
        """Factors [B, L, layers, width]: 0 where a number is dropped, else 1 / (1 - dropout).

        Each user has the same ones in whatever part of the batch. Only the views of drawn batches have any.
        """
        raise NotImplementedError


class RankingFilter(nn.Module, Filter):
    """Base of filters that score the candidates of a `RankingView`."""

    def loss(self, item_vectors_ND: Tensor, view: RankingView) -> Tensor:
        """Softmax cross-entropy of the clicked candidate, SUMMED over the users (eq. 8)."""
        scores_BC = self.scores(item_vectors_ND, view)
        clicked_B = torch.zeros(len(scores_BC), dtype=torch.long, device=scores_BC.device)
        return functional.cross_entropy(scores_BC, clicked_B, reduction="sum")


class AnswerFilter(nn.Module, Filter):
    """Base of filters whose scores are logits [B, L] of a right answer; undefined at padding."""

    @staticmethod
    def vectors(item_vectors_ND: Tensor, view: AnswerView) -> tuple[Tensor, Tensor]:
        """Vectors [B, L, D] of the items where they are asked, and where their answers are known."""
        asked_BLD = rows_at(item_vectors_ND, view.asked_BL)
        if view.answered_BL is None:
            return asked_BLD, asked_BLD
        return asked_BLD, rows_at(item_vectors_ND, view.answered_BL)

    def loss(self, item_vectors_ND: Tensor, view: AnswerView) -> Tensor:
        """Binary cross-entropy of the real answers, SUMMED over answers and users (eq. 8)."""
        scores_BL = self.scores(item_vectors_ND, view)
        losses_BL = functional.binary_cross_entropy_with_logits(
            scores_BL, view.correct_BL.to(scores_BL.dtype), reduction="none"
        )
        return losses_BL.where(view.mask_BL, 0).sum()


def dot_scores(users_BD: Tensor, item_vectors_ND: Tensor, view: RankingView) -> Tensor:
    """Dot products of user vectors with the vectors of their candidates, in the candidates' shape."""
    candidates = rows_at(item_vectors_ND, view.candidates)
    if view.candidate_rows is None:
        return torch.einsum("bd,bcd->bc", users_BD, candidates)
    return (candidates * users_BD[view.candidate_rows]).sum(dim=1)
