"""Base of the filters that make one vector of a user's clicks and score candidates by dot product.

Legend: B users, H history positions, N item vectors, U clicked items of a view, P numbers of a projected
item, D width.
"""

from dataclasses import replace
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from grambench.models.filters.base import RankingFilter, RankingView, Scorer, dot_scores
from grambench.models.lengths import bucket_bounds, falling_order
from grambench.models.rows import rows_at
from grambench.transfer import host_reads, sent

CALL_POSITIONS = {"cpu": 1024, "cuda": 1 << 62}
"""Padded history positions that cost less than another call; a GPU takes all histories in one."""


class UserFilter(RankingFilter):
    """A user without history is one learnt vector (zero at the start); all others are `user_vectors`."""

    pool: nn.Module
    """From clicks [B, H, D] and the mask of those to read to vectors [B, D]."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.no_history = nn.Parameter(torch.zeros(width))

    def project(self, item_vectors_ND: Tensor) -> Tensor:
        """[N, P] what is computed once per item however often it was clicked: by default nothing."""
        return item_vectors_ND

    def user_vectors(self, clicks_BHP: Tensor, readable_BH: Tensor) -> Tensor:
        """User vectors [B, D] of projected clicks, latest last; every row has one to read."""
        pooled_BD: Tensor = self.pool(clicks_BHP, readable_BH)
        return pooled_BD

    def users(
        self,
        projected_NP: Tensor,
        history_BH: Tensor,
        mask_BH: Tensor,
        clicks_B: NDArray[np.int64] | None = None,
    ) -> Tensor:
        """User vectors [B, D] of histories, whose clicks index the projected items.

        Histories of like length go together, so that little padding is read; without `clicks_B` all of them
        share one call.
        """
        if clicks_B is None:
            return self._users(projected_NP, history_BH, mask_BH)
        device = history_BH.device
        order_B = falling_order(clicks_B)
        call = CALL_POSITIONS.get(device.type, CALL_POSITIONS["cpu"])
        bounds = list(bucket_bounds(clicks_B[order_B].clip(min=1), 1 << 62, call))
        if len(bounds) == 1:
            return self._users(projected_NP, history_BH, mask_BH)
        rows_B = sent(torch.from_numpy(order_B), device)
        pieces = [
            self._users(
                projected_NP,
                history_BH[rows_B[start:stop], -length:],
                mask_BH[rows_B[start:stop], -length:],
            )
            for start, stop, length in bounds
        ]
        return rows_at(torch.cat(pieces), sent(torch.from_numpy(np.argsort(order_B)), device))

    def _users(self, projected_NP: Tensor, history_BH: Tensor, mask_BH: Tensor) -> Tensor:
        empty_B1 = ~mask_BH.any(dim=1, keepdim=True)
        readable_BH = mask_BH | empty_B1  # an empty row reads its padding and is then replaced
        found_BD = self.user_vectors(rows_at(projected_NP, history_BH), readable_BH)
        return torch.where(empty_B1, self.no_history.to(found_BD.dtype), found_BD)

    def scores(self, item_vectors_ND: Tensor, view: RankingView) -> Tensor:
        """Dot products of users with their candidates, in the candidates' shape."""
        return self._scores(item_vectors_ND, self.project(item_vectors_ND), view)

    def scorer(self, item_vectors_ND: Tensor, whole: bool) -> Scorer:
        """Project all items once, at most 3 D numbers each, or else in each view the items it has clicks on.

        An item that many views read is then projected for each of them, which costs little compared with
        its encoding.
        """
        if whole:
            return partial(self._scores, item_vectors_ND, self.project(item_vectors_ND))
        return partial(self._scores_of_clicked, item_vectors_ND)

    def _scores(self, item_vectors_ND: Tensor, projected_NP: Tensor, view: RankingView) -> Tensor:
        users_BD = self.users(projected_NP, view.history_BH, view.mask_BH, view.clicks_B)
        return dot_scores(users_BD, item_vectors_ND, view)

    def _scores_of_clicked(self, item_vectors_ND: Tensor, view: RankingView) -> Tensor:
        with host_reads():
            items_U, history_BH = view.history_BH.unique(return_inverse=True)
        projected_UP = self.project(item_vectors_ND[items_U])
        return self._scores(item_vectors_ND, projected_UP, replace(view, history_BH=history_BH))
