"""What every content encoder offers, and what a layout of its calls needs to know.

Legend: N items, D width, E width of the word embeddings.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor, nn

if TYPE_CHECKING:
    from grambench.models.encoders.packed import PackedInput


@dataclass(frozen=True, slots=True)
class Packing:
    """That an encoder can read several items in one row, and how it counts positions."""

    first_position: int = 0
    """Position id of an item's first token (RoBERTa's family begins behind its padding token's id)."""


class ItemVectors(nn.Module):
    """Makes an item's vector of its tokens: `lookup`, then `forward(words_NLE, mask_NL)` -> [N, D]."""

    width: int
    """D."""
    max_tokens: int | None = None
    """Longest item that it reads; None: no limit."""
    vocabulary: int | None = None
    """Token ids that it has embeddings for, from 0 on; None: it looks no token up."""
    revision: str | None = None
    """Commit of pretrained weights on the hub; None: not from the hub."""
    packing: Packing | None = None
    """None: it reads one item a row."""

    def lookup(self, ids: Tensor) -> Tensor:
        """Word embeddings [*, E] of token ids of any shape."""
        raise NotImplementedError

    def packed(self, call: "PackedInput") -> Tensor:
        """Item vectors [N, D] of a packed call; only where `packing` is set."""
        raise NotImplementedError
