"""How vectors of a sequence become one: additive attention or the masked mean.

Legend: N sequences, L positions, D width.
"""

import torch
from torch import Tensor, nn


class AdditiveAttention(nn.Module):
    """Attention pooling with one learned query: softmax(q · tanh(W x + b)) (NRMS, eq. 5 and 6)."""

    def __init__(self, width: int, query: int) -> None:
        super().__init__()
        self.project = nn.Linear(width, query)
        self.query = nn.Linear(query, 1, bias=False)

    def forward(self, vectors_NLD: Tensor, mask_NL: Tensor) -> Tensor:
        """Pool to [N, D]; every row of the boolean mask must hold at least one True."""
        scores_NL = self.query(torch.tanh(self.project(vectors_NLD))).squeeze(-1)
        weights_NL = scores_NL.masked_fill(~mask_NL, float("-inf")).softmax(dim=-1)
        return torch.einsum("nl,nld->nd", weights_NL, vectors_NLD)


class MaskedMean(nn.Module):
    """Mean over the unmasked positions."""

    def forward(self, vectors_NLD: Tensor, mask_NL: Tensor) -> Tensor:
        """Pool to [N, D]; every row of the boolean mask must hold at least one True."""
        weights_NL1 = mask_NL.unsqueeze(-1).to(vectors_NLD.dtype)
        return (vectors_NLD * weights_NL1).sum(dim=1) / weights_NL1.sum(dim=1)
