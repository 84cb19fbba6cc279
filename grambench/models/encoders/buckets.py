"""One path from item ids to vectors: sort by length, bucket under a token budget, scatter back.

Every strategy encodes through `ItemEncoder`; what differs is only which ids it passes and whether a
graph is kept. Legend: N items, L token positions, T tokens of all buckets, E width of the word embeddings,
D width.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from grambench.errors import ConfigError
from grambench.models.encoders.base import ItemVectors
from grambench.models.layers import rows_at
from grambench.models.lengths import LENGTH_STEP, bucket_bounds, falling_order
from grambench.transfer import HOST, sent, stored

CALL_FLOP = {"cpu": 2e8, "cuda": 8e10}
"""What a device could have computed while a transformer layer's kernels are launched forwards and backwards:
about 1.5 ms at 130 GFLOP/s; for CUDA an estimate, .3 ms at 300 TFLOP/s."""
LAYER_FLOP = 72
"""FLOP of a layer, forwards and backwards, for one token, in units of width²: 6 × 12 parameters."""


class ItemTokens:
    """Token ids of the whole catalogue, ragged: item i holds tokens[offsets[i]:offsets[i + 1]]."""

    def __init__(
        self,
        tokens: NDArray[np.int32],
        offsets: NDArray[np.int64],
        device: torch.device,
        resident: bool = True,
    ) -> None:
        """`resident`: on `device`; else in pinned host memory, from where each call's tokens are copied."""
        self.device, self.stored_on = device, device if resident else HOST
        self.flat, self.offsets = (stored(array, device, resident) for array in (tokens, offsets))
        self.lengths: NDArray[np.int64] = np.diff(offsets)
        """Tokens of each item, on the host: they decide the shapes of the encoder's calls."""

    def __len__(self) -> int:
        return len(self.lengths)

    def padded(self, items_N: Tensor, length: int) -> tuple[Tensor, Tensor]:
        """Token ids [N, L] and mask [N, L] on the device; padding holds token 0.

        `items_N` lie where the tokens do.
        """
        start_N = self.offsets[items_N]
        positions_L = torch.arange(length, device=items_N.device)
        mask_NL = positions_L < (self.offsets[items_N + 1] - start_N)[:, None]
        index_NL = (start_N[:, None] + positions_L).where(mask_NL, 0)
        ids_NL = self.flat[index_NL].long() * mask_NL
        return sent(ids_NL, self.device), sent(mask_NL, self.device)


@dataclass(slots=True)
class EncodingCounts:
    """What went through the encoder, padding excluded."""

    items: int = 0
    tokens: int = 0
    calls: int = 0


class ItemEncoder:
    """Encoder and catalogue together: item ids -> vectors."""

    def __init__(self, encoder: ItemVectors, tokens: ItemTokens, bucket_tokens: int) -> None:
        """`bucket_tokens`: most token positions, padding included, in one call of the encoder.

        Lengths share a call while the padding that this takes costs less than another call.

        Raises:
            ConfigError: an item is longer than the encoder's positions.
        """
        longest = int(tokens.lengths.max()) if len(tokens) else 0
        if encoder.max_tokens is not None and longest > encoder.max_tokens:
            raise ConfigError(
                f"An item has {longest} tokens, but the encoder reads at most {encoder.max_tokens}.",
                "Lower the limits in data.fields.",
            )
        self.encoder = encoder
        self.tokens = tokens
        self.bucket_tokens = bucket_tokens
        flop = CALL_FLOP.get(tokens.device.type, CALL_FLOP["cpu"])
        self.call_tokens = int(flop / (LAYER_FLOP * max(1, encoder.width) ** 2))
        """What one more call costs, in token positions."""
        self.counts = EncodingCounts()

    def __call__(self, items_N: NDArray[np.int64]) -> Tensor:
        """Vectors [N, D] of the ids in their order; repeated ids are encoded as often as they come.

        The ids are the host's, because it decides the shapes of the calls: nothing waits for the device.
        """
        lengths_N = self.tokens.lengths[items_N]
        order_N = falling_order(lengths_N)
        sorted_N = sent(torch.from_numpy(items_N[order_N]), self.tokens.stored_on)
        falling_N = lengths_N[order_N]
        most = self.encoder.max_tokens or int(falling_N.max(initial=0)) + LENGTH_STEP
        padded = [
            self.tokens.padded(sorted_N[start:stop], min(length, most))
            for start, stop, length in bucket_bounds(falling_N, self.bucket_tokens, self.call_tokens)
        ]
        words = self._words([ids_NL for ids_NL, _ in padded])
        pieces = [
            self.encoder(words_NLE, mask_NL) for words_NLE, (_, mask_NL) in zip(words, padded, strict=True)
        ]
        self.counts.items += len(lengths_N)
        self.counts.tokens += int(lengths_N.sum())
        self.counts.calls += len(pieces)
        back_N = sent(torch.from_numpy(np.argsort(order_N)), self.tokens.device)
        return rows_at(torch.cat(pieces), back_N)

    def _words(self, ids: list[Tensor]) -> Iterator[Tensor]:
        """Word embeddings of each bucket: looked up together where a graph is kept, else when it is due."""
        if not torch.is_grad_enabled():
            yield from map(self.encoder.lookup, ids)
            return
        words_TE = self.encoder.lookup(torch.cat([ids_NL.flatten() for ids_NL in ids]))
        parts = words_TE.split([ids_NL.numel() for ids_NL in ids])
        for part_TE, ids_NL in zip(parts, ids, strict=True):
            yield part_TE.unflatten(0, ids_NL.shape)

    def chunks(self, items_N: NDArray[np.int64], size: int) -> list[NDArray[np.int64]]:
        """Positions of the items in chunks of like length, at most `size` items each."""
        order_N = falling_order(self.tokens.lengths[items_N])
        return [order_N[start : start + size] for start in range(0, len(order_N), size)]
