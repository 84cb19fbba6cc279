"""Token states of a frozen transformer, computed once per item and pooled by a trained pooling at every step.

Legend: N items, L token positions, T tokens of the catalogue, D width.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from grambench.models.encoders.base import ItemVectors
from grambench.models.encoders.buckets import Buckets, ItemEncoder
from grambench.models.encoders.text import TextEncoder
from grambench.models.encoders.tokens import ItemTokens
from grambench.models.lengths import bucket_bounds, falling_order
from grambench.models.rows import rows_at
from grambench.transfer import sent


class TokenStates(ItemVectors):
    """Pools last hidden states kept on the device, one row per token of the catalogue."""

    def __init__(self, encoder: TextEncoder, tokens: ItemTokens, bucket_tokens: int) -> None:
        """
        Args:
            encoder: its transformer is frozen, its pooling is trained.
            tokens: of the catalogue.
            bucket_tokens: most token positions per encoder call, including padding.
        """
        super().__init__()
        self.encoder, self.tokens = encoder, tokens
        self.width, self.max_tokens = encoder.width, encoder.max_tokens
        count, dtype = int(tokens.host_offsets[-1]), next(encoder.parameters()).dtype
        self.states_TD = torch.zeros(count + 1, self.width, dtype=dtype, device=tokens.device)
        """The last row receives the states of padding; nothing reads it."""
        places = np.arange(count, dtype=np.int32)
        self.places = ItemTokens(
            places, tokens.host_offsets, tokens.device, tokens.stored_on == tokens.device
        )
        """The row of every token of an item."""
        self.buckets = Buckets(bucket_tokens, self.width, tokens.device)

    @staticmethod
    def bytes_for(encoder: TextEncoder, tokens: ItemTokens) -> int:
        """Bytes of the states of the whole catalogue."""
        return int(tokens.host_offsets[-1]) * encoder.width * next(encoder.parameters()).element_size()

    def item_encoder(self) -> ItemEncoder:
        """Ids of items passed to `fill` -> vectors, with a graph of the pooling only."""
        return ItemEncoder(self, self.places, self.buckets.bucket_tokens, self.buckets)

    @torch.no_grad()
    def fill(self, items_N: NDArray[np.int64]) -> int:
        """Run the transformer on distinct items and keep its states; returns the number of its calls."""
        lengths_N = self.tokens.lengths[items_N]
        order_N = falling_order(lengths_N)
        sorted_N = sent(torch.from_numpy(items_N[order_N]), self.tokens.stored_on)
        most, calls = self.max_tokens or int(lengths_N.max(initial=0)), 0
        bounds = bucket_bounds(lengths_N[order_N], self.buckets.bucket_tokens, self.buckets.call_tokens)
        for start, stop, length in bounds:
            rows_N = sorted_N[start:stop]
            ids_NL, mask_NL = self.tokens.padded(rows_N, min(length, most))
            places_NL, _ = self.places.padded(rows_N, min(length, most))
            states_NLD = self.encoder.states(self.encoder.lookup(ids_NL), mask_NL)
            places_NL = places_NL.where(mask_NL, len(self.states_TD) - 1)
            self.states_TD.index_copy_(0, places_NL.flatten(), states_NLD.flatten(0, 1))
            calls += 1
        return calls

    def lookup(self, ids: Tensor) -> Tensor:
        """States [*, D] at places of any shape."""
        return rows_at(self.states_TD, ids)

    def forward(self, states_NLD: Tensor, mask_NL: Tensor) -> Tensor:
        """Item vectors [N, D]."""
        vectors_ND: Tensor = self.encoder.pool(states_NLD, mask_NL)
        return vectors_ND
