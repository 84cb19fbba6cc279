"""How vectors of a sequence become one: additive attention, the masked mean, or those of one position.

Legend: N sequences, L positions, D width.
"""

from typing import Literal

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


class MaskedFirst(nn.Module):
    """The vector at the first unmasked position, such as `[CLS]`, wherever padding lies."""

    def forward(self, vectors_NLD: Tensor, mask_NL: Tensor) -> Tensor:
        """Pool to [N, D]; every row of the boolean mask must hold at least one True."""
        return _at(vectors_NLD, mask_NL.int().argmax(dim=1))


class MaskedLast(nn.Module):
    """The vector at the last unmasked position, which has seen the whole item in a causal model."""

    def forward(self, vectors_NLD: Tensor, mask_NL: Tensor) -> Tensor:
        """Pool to [N, D]; every row of the boolean mask must hold at least one True."""
        return _at(vectors_NLD, mask_NL.shape[1] - 1 - mask_NL.flip(1).int().argmax(dim=1))


def _at(vectors_NLD: Tensor, position_N: Tensor) -> Tensor:
    index_N1D = position_N[:, None, None].expand(-1, 1, vectors_NLD.shape[-1])
    return vectors_NLD.gather(1, index_N1D).squeeze(1)


Pooling = Literal["mean", "attention", "cls", "last"]


def make_pooling(name: Pooling, width: int, query: int) -> nn.Module:
    """A pooling of vectors [N, L, D]; only the additive attention has weights, and a `query` width."""
    without_weights = {"mean": MaskedMean, "cls": MaskedFirst, "last": MaskedLast}
    return AdditiveAttention(width, query) if name == "attention" else without_weights[name]()
