"""What every content encoder offers."""

from torch import Tensor, nn


class ItemVectors(nn.Module):
    """Makes an item's vector of its tokens: `lookup`, then `forward(words_NLE, mask_NL)` -> [N, D]."""

    width: int
    """D."""
    max_tokens: int | None = None
    """Longest item that it reads; None: no limit."""
    revision: str | None = None
    """Commit of pretrained weights on the hub; None: not from the hub."""

    def lookup(self, ids: Tensor) -> Tensor:
        """Word embeddings [*, E] of token ids of any shape."""
        raise NotImplementedError
