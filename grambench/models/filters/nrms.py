"""NRMS user model over item vectors (Wu et al., EMNLP 2019; facts: paper section 3).

Legend: B users, H history positions, N item vectors, U clicked items of a view, D width, E heads.
"""

from dataclasses import replace
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from grambench.config.networks import Filter as FilterSpec
from grambench.errors import ConfigError
from grambench.models.filters.base import RankingFilter, RankingView, Scorer, dot_scores
from grambench.models.lengths import bucket_bounds, falling_order
from grambench.models.pooling import AdditiveAttention
from grambench.models.rows import rows_at
from grambench.transfer import host_reads, sent

CALL_POSITIONS = {"cpu": 1024, "cuda": 1 << 62}
"""Padded history positions that cost less than another call; a GPU takes all histories in one."""


def make(spec: FilterSpec, width: int) -> "NRMS":
    """Build it from the `filter` table.

    Raises:
        ConfigError: `filter.nrms.heads` does not divide the width.
    """
    heads = spec.nrms.heads
    if width % heads:
        divisor = max(number for number in range(1, heads + 1) if width % number == 0)
        raise ConfigError(
            f"filter.nrms.heads = {heads} does not divide the encoder's width {width}.",
            f"Give a divisor, for example --set filter.nrms.heads={divisor}.",
        )
    return NRMS(width, heads, spec.nrms.query)


class NRMS(RankingFilter):
    """Self-attention over the clicks, additive attention, dot product with the candidate.

    The projections have no output matrix, as in NRMS. A user without history is one learnt vector
    (zero at the start), so that nothing is divided by an empty attention.
    """

    def __init__(self, width: int, heads: int, query: int) -> None:
        """Width D = heads × head width.

        Raises:
            ValueError: `heads` does not divide `width`.
        """
        super().__init__()
        if width % heads:
            raise ValueError(f"{heads} heads do not divide the width {width}")
        self.heads = heads
        self.to_query = nn.Linear(width, width)
        self.to_key = nn.Linear(width, width)
        self.to_value = nn.Linear(width, width)
        self.pool = AdditiveAttention(width, query)
        self.no_history = nn.Parameter(torch.zeros(width))

    def project(self, item_vectors_ND: Tensor) -> Tensor:
        """Queries, keys and values [N, 3D] of items, once per item however often it was clicked."""
        maps = (self.to_query, self.to_key, self.to_value)
        weight = torch.cat([linear.weight for linear in maps])
        return functional.linear(item_vectors_ND, weight, torch.cat([linear.bias for linear in maps]))

    def users(
        self,
        projected_N3D: Tensor,
        history_BH: Tensor,
        mask_BH: Tensor,
        clicks_B: NDArray[np.int64] | None = None,
    ) -> Tensor:
        """User vectors [B, D] of histories, whose clicks index the projected items.

        Histories of like length go together, so that little padding is attended to; without `clicks_B` all
        of them share one call.
        """
        if clicks_B is None:
            return self._users(projected_N3D, history_BH, mask_BH)
        device = history_BH.device
        order_B = falling_order(clicks_B)
        call = CALL_POSITIONS.get(device.type, CALL_POSITIONS["cpu"])
        bounds = list(bucket_bounds(clicks_B[order_B].clip(min=1), 1 << 62, call))
        if len(bounds) == 1:
            return self._users(projected_N3D, history_BH, mask_BH)
        rows_B = sent(torch.from_numpy(order_B), device)
        pieces = [
            self._users(
                projected_N3D,
                history_BH[rows_B[start:stop], -length:],
                mask_BH[rows_B[start:stop], -length:],
            )
            for start, stop, length in bounds
        ]
        return rows_at(torch.cat(pieces), sent(torch.from_numpy(np.argsort(order_B)), device))

    def _users(self, projected_N3D: Tensor, history_BH: Tensor, mask_BH: Tensor) -> Tensor:
        empty_B1 = ~mask_BH.any(dim=1, keepdim=True)
        readable_BH = mask_BH | empty_B1  # an empty row attends to its padding and is then replaced
        attended_BHD = self._attend(rows_at(projected_N3D, history_BH), readable_BH)
        pooled_BD = self.pool(attended_BHD, readable_BH)
        return torch.where(empty_B1, self.no_history.to(pooled_BD.dtype), pooled_BD)

    def scores(self, item_vectors_ND: Tensor, view: RankingView) -> Tensor:
        """Dot products of users with their candidates, in the candidates' shape."""
        return self._scores(item_vectors_ND, self.project(item_vectors_ND), view)

    def scorer(self, item_vectors_ND: Tensor, whole: bool) -> Scorer:
        """Project all items once, 3 D numbers each, or else in each view the items it has clicks on.

        An item that many views read is then projected for each of them, which costs little compared with
        its encoding.
        """
        if whole:
            return partial(self._scores, item_vectors_ND, self.project(item_vectors_ND))
        return partial(self._scores_of_clicked, item_vectors_ND)

    def _scores(self, item_vectors_ND: Tensor, projected_N3D: Tensor, view: RankingView) -> Tensor:
        users_BD = self.users(projected_N3D, view.history_BH, view.mask_BH, view.clicks_B)
        return dot_scores(users_BD, item_vectors_ND, view)

    def _scores_of_clicked(self, item_vectors_ND: Tensor, view: RankingView) -> Tensor:
        with host_reads():
            items_U, history_BH = view.history_BH.unique(return_inverse=True)
        projected_U3D = self.project(item_vectors_ND[items_U])
        return self._scores(item_vectors_ND, projected_U3D, replace(view, history_BH=history_BH))

    def _attend(self, projected_BH3D: Tensor, mask_BH: Tensor) -> Tensor:
        users, clicks, triple = projected_BH3D.shape
        heads = projected_BH3D.view(users, clicks, 3, self.heads, triple // 3 // self.heads)
        query, key, value = heads.permute(2, 0, 3, 1, 4)
        attended_BEHd = functional.scaled_dot_product_attention(
            query, key, value, attn_mask=mask_BH[:, None, None, :]
        )
        return attended_BEHd.transpose(1, 2).flatten(-2)
