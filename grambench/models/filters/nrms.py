"""NRMS user model over item vectors (Wu et al., EMNLP 2019; facts: paper section 3).

Legend: B users, H history positions, C candidates, N item vectors, D width, E heads.
"""

from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from grambench.models.layers import AdditiveAttention, rows_at
from grambench.models.lengths import bucket_bounds, falling_order
from grambench.transfer import sent

CALL_POSITIONS = {"cpu": 1024, "cuda": 1 << 62}
"""Padded history positions that cost less than another call; a GPU takes all histories in one."""


class RankingBatch(Protocol):
    """Users with indices into a matrix of item vectors."""

    history_BH: Tensor
    """Indices of the clicks, latest last; the padding before them holds 0."""
    mask_BH: Tensor
    """True at real clicks."""
    clicks_B: NDArray[np.int64] | None
    """How many they are, on the host; None: they decide no shape, all histories share a call."""
    candidates_BC: Tensor
    """Indices of the candidates; the clicked one is first."""


class NRMS(nn.Module):
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
        """Queries, keys and values [N, 3D] of items: once an item, however often it was clicked."""
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

    def loss(self, item_vectors_ND: Tensor, batch: RankingBatch) -> Tensor:
        """Softmax cross-entropy of the clicked candidate, SUMMED over the users (eq. 8)."""
        projected_N3D = self.project(item_vectors_ND)
        users_BD = self.users(projected_N3D, batch.history_BH, batch.mask_BH, batch.clicks_B)
        candidates_BCD = rows_at(item_vectors_ND, batch.candidates_BC)
        logits_BC = torch.einsum("bd,bcd->bc", users_BD, candidates_BCD)
        clicked_B = torch.zeros(len(logits_BC), dtype=torch.long, device=logits_BC.device)
        return functional.cross_entropy(logits_BC, clicked_B, reduction="sum")

    def _attend(self, projected_BH3D: Tensor, mask_BH: Tensor) -> Tensor:
        users, clicks, triple = projected_BH3D.shape
        heads = projected_BH3D.view(users, clicks, 3, self.heads, triple // 3 // self.heads)
        query, key, value = heads.permute(2, 0, 3, 1, 4)
        attended_BEHd = functional.scaled_dot_product_attention(
            query, key, value, attn_mask=mask_BH[:, None, None, :]
        )
        return attended_BEHd.transpose(1, 2).flatten(-2)
