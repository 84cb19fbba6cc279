"""NRMS user model over item vectors (Wu et al., EMNLP 2019; facts: paper section 3).

Legend: B users, H history positions, C candidates, N item vectors, D width, E heads.
"""

from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from grambench.models.layers import AdditiveAttention


class RankingBatch(Protocol):
    """Users with indices into a matrix of item vectors."""

    history_BH: Tensor
    """Indices of the clicks, latest last; padding holds 0."""
    mask_BH: Tensor
    """True at real clicks."""
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

    def users(self, history_BHD: Tensor, mask_BH: Tensor) -> Tensor:
        """User vectors [B, D] of padded histories."""
        empty_B1 = ~mask_BH.any(dim=1, keepdim=True)
        readable_BH = mask_BH | empty_B1  # an empty row attends to its padding and is then replaced
        attended_BHD = self._attend(history_BHD, readable_BH)
        pooled_BD = self.pool(attended_BHD, readable_BH)
        return torch.where(empty_B1, self.no_history.to(pooled_BD.dtype), pooled_BD)

    def loss(self, item_vectors_ND: Tensor, batch: RankingBatch) -> Tensor:
        """Softmax cross-entropy of the clicked candidate, SUMMED over the users (eq. 8)."""
        history_BHD = item_vectors_ND[batch.history_BH]
        users_BD = self.users(history_BHD, batch.mask_BH)
        logits_BC = torch.einsum("bd,bcd->bc", users_BD, item_vectors_ND[batch.candidates_BC])
        clicked_B = torch.zeros(len(logits_BC), dtype=torch.long, device=logits_BC.device)
        return functional.cross_entropy(logits_BC, clicked_B, reduction="sum")

    def _attend(self, history_BHD: Tensor, mask_BH: Tensor) -> Tensor:
        def split(vectors_BHD: Tensor) -> Tensor:
            users, clicks, width = vectors_BHD.shape
            return vectors_BHD.view(users, clicks, self.heads, width // self.heads).transpose(1, 2)

        attended_BEHd = functional.scaled_dot_product_attention(
            split(self.to_query(history_BHD)),
            split(self.to_key(history_BHD)),
            split(self.to_value(history_BHD)),
            attn_mask=mask_BH[:, None, None, :],
        )
        return attended_BEHd.transpose(1, 2).flatten(-2)
