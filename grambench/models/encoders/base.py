"""Base class of content encoders, and the properties that layouts depend on.

Legend: N items, D width, E width of the word embeddings.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor, nn

if TYPE_CHECKING:
    from grambench.models.encoders.packed import PackedInput


@dataclass(frozen=True, slots=True)
class Packing:
    """Marks an encoder that can read several items per row, and says how it counts positions."""

    first_position: int = 0
    """Position id of an item's first token (RoBERTa's family starts after the padding token's id)."""


class ItemVectors(nn.Module):
    """Computes item vectors from tokens: `lookup`, then `forward(words_NLE, mask_NL)` -> [N, D]."""

    width: int
    """D."""
    max_tokens: int | None = None
    """Longest item that it can read; None: no limit."""
    vocabulary: int | None = None
    """Number of token embeddings; None if it does not look up tokens."""
    revision: str | None = None
    """Commit of pretrained weights on the hub; None: not from the hub."""
    packing: Packing | None = None
    """None: it reads one item per row."""

    def no_items(self) -> Tensor:
        """Vectors [0, D]."""
        return next(self.parameters()).new_zeros(0, self.width)

    def lookup(self, ids: Tensor) -> Tensor:
        """Word embeddings [*, E] of token ids of any shape."""
        raise NotImplementedError

    def packed(self, call: "PackedInput") -> Tensor:
        """Item vectors [N, D] of a packed call; requires `packing`."""
        raise NotImplementedError
