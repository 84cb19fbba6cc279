"""Attention over a user's items, as the filters share it.

Legend: B users, Q queries, K keys, D width, E heads, d width of a head.
"""

from torch import Tensor, nn
from torch.nn import functional

from grambench.errors import ConfigError


def require_heads(kind: str, heads: int, width: int) -> None:
    """
    Raises:
        ConfigError: `filter.<kind>.heads` does not divide the width of the item vectors.
    """
    if width % heads:
        divisor = max(number for number in range(1, heads + 1) if width % number == 0)
        raise ConfigError(
            f"filter.{kind}.heads = {heads} does not divide the encoder's width {width}.",
            f"Give a divisor, for example --set filter.{kind}.heads={divisor}.",
        )


def multi_head(query_BQD: Tensor, key_BKD: Tensor, value_BKD: Tensor, heads: int, mask: Tensor) -> Tensor:
    """Scaled dot-product attention [B, Q, D] with `heads` heads.

    `mask`: [B, Q, K], or broadcast to it; True at the keys to read, at least one in every row.
    """
    query_BEQd, key_BEKd, value_BEKd = (
        vectors.unflatten(-1, (heads, -1)).transpose(1, 2) for vectors in (query_BQD, key_BKD, value_BKD)
    )
    attended_BEQd = functional.scaled_dot_product_attention(
        query_BEQd, key_BEKd, value_BEKd, attn_mask=mask.unsqueeze(-3)
    )
    return attended_BEQd.transpose(1, 2).flatten(-2)


class AttentionBlock(nn.Module):
    """A post-norm transformer block: multi-head attention, then a feed-forward layer; no dropout."""

    def __init__(self, width: int, heads: int, inner: int) -> None:
        """`inner`: width of the feed-forward layer, in features; `heads` must divide `width`."""
        super().__init__()
        self.heads = heads
        self.to_query = nn.Linear(width, width)
        self.to_key = nn.Linear(width, width)
        self.to_value = nn.Linear(width, width)
        self.to_output = nn.Linear(width, width)
        self.attention_norm = nn.LayerNorm(width)
        self.feed = nn.Sequential(nn.Linear(width, inner), nn.ReLU(), nn.Linear(inner, width))
        self.feed_norm = nn.LayerNorm(width)

    def forward(self, query_BQD: Tensor, key_BKD: Tensor, mask: Tensor) -> Tensor:
        """States [B, Q, D] of queries that read the keys; `mask` as for `multi_head`."""
        query, key, value = self.to_query(query_BQD), self.to_key(key_BKD), self.to_value(key_BKD)
        attended_BQD = self.to_output(multi_head(query, key, value, self.heads, mask))
        states_BQD = self.attention_norm(query_BQD + attended_BQD)
        fed_BQD: Tensor = self.feed_norm(states_BQD + self.feed(states_BQD))
        return fed_BQD
