"""NRMS user model over item vectors (Wu et al., EMNLP 2019; facts: paper section 3).

Legend: B users, H history positions, N item vectors, D width.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from grambench.config.networks import Filter as FilterSpec
from grambench.models.filters.blocks import multi_head, require_heads
from grambench.models.filters.users import UserFilter
from grambench.models.pooling import AdditiveAttention


def make(spec: FilterSpec, width: int) -> "NRMS":
    """Build it from the `filter` table.

    Raises:
        ConfigError: `filter.nrms.heads` does not divide the width.
    """
    require_heads("nrms", spec.nrms.heads, width)
    return NRMS(width, spec.nrms.heads, spec.nrms.query)


class NRMS(UserFilter):
    """Self-attention over the clicks, additive attention, dot product with the candidate.

    The projections have no output matrix, as in NRMS.
    """

    def __init__(self, width: int, heads: int, query: int) -> None:
        """Width D = heads × head width.

        Raises:
            ValueError: `heads` does not divide `width`.
        """
        super().__init__(width)
        if width % heads:
            raise ValueError(f"{heads} heads do not divide the width {width}")
        self.heads = heads
        self.to_query = nn.Linear(width, width)
        self.to_key = nn.Linear(width, width)
        self.to_value = nn.Linear(width, width)
        self.pool = AdditiveAttention(width, query)

    def project(self, item_vectors_ND: Tensor) -> Tensor:
        """Queries, keys and values [N, 3D] of items, once per item however often it was clicked."""
        maps = (self.to_query, self.to_key, self.to_value)
        weight = torch.cat([linear.weight for linear in maps])
        return functional.linear(item_vectors_ND, weight, torch.cat([linear.bias for linear in maps]))

    def user_vectors(self, clicks_BH3D: Tensor, readable_BH: Tensor) -> Tensor:
        """User vectors [B, D] of projected clicks; every row has one to read."""
        return super().user_vectors(self._attend(clicks_BH3D, readable_BH), readable_BH)

    def _attend(self, projected_BH3D: Tensor, mask_BH: Tensor) -> Tensor:
        query, key, value = projected_BH3D.chunk(3, dim=2)
        return multi_head(query, key, value, self.heads, mask_BH[:, None, :])
