"""One path from item ids to vectors: sort by length, bucket under a token budget, scatter back.

Every strategy encodes through `ItemEncoder`; what differs is only which ids it passes and whether a
graph is kept. Legend: N items, L token positions, D width.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from grambench.errors import ConfigError
from grambench.models.encoders.text import TextEncoder

LENGTH_STEP = 8
"""Lengths are rounded up to a multiple of this, so that kernels meet few shapes."""
CALL_TOKENS = 512
"""What one more call of the encoder costs, in token positions; less padding than that is merged."""


class ItemTokens:
    """Token ids of the whole catalogue, ragged: item i holds tokens[offsets[i]:offsets[i + 1]]."""

    def __init__(self, tokens: NDArray[np.int32], offsets: NDArray[np.int64], device: torch.device) -> None:
        self.flat = torch.from_numpy(np.array(tokens)).to(device)  # a copy: the file is mapped read-only
        self.offsets = torch.from_numpy(np.array(offsets)).to(device)
        self.lengths = self.offsets.diff()

    def __len__(self) -> int:
        return len(self.lengths)

    def padded(self, items_N: Tensor, length: int) -> tuple[Tensor, Tensor]:
        """Token ids [N, L] and mask [N, L]; padding holds token 0."""
        positions_L = torch.arange(length, device=items_N.device)
        mask_NL = positions_L < self.lengths[items_N, None]
        index_NL = (self.offsets[items_N, None] + positions_L).where(mask_NL, 0)
        return self.flat[index_NL].long() * mask_NL, mask_NL


@dataclass(slots=True)
class EncodingCounts:
    """What went through the encoder, padding excluded."""

    items: int = 0
    tokens: int = 0
    calls: int = 0


class ItemEncoder:
    """Encoder and catalogue together: item ids -> vectors."""

    def __init__(self, encoder: TextEncoder, tokens: ItemTokens, bucket_tokens: int) -> None:
        """`bucket_tokens`: most token positions, padding included, in one call of the encoder.

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
        self.counts = EncodingCounts()

    def __call__(self, items_N: Tensor) -> Tensor:
        """Vectors [N, D] of the ids in their order; repeated ids are encoded as often as they come."""
        lengths_N, order_N = self.tokens.lengths[items_N].sort(descending=True)
        lengths = lengths_N.cpu().numpy()  # the one synchronisation: shapes must be known on the host
        pieces = []
        most = self.encoder.max_tokens or int(lengths.max(initial=0)) + LENGTH_STEP
        for start, stop, length in bucket_bounds(lengths, self.bucket_tokens):
            ids, mask = self.tokens.padded(items_N[order_N[start:stop]], min(length, most))
            pieces.append(self.encoder(ids, mask))
        self.counts.items += len(lengths)
        self.counts.tokens += int(lengths.sum())
        self.counts.calls += len(pieces)
        return torch.cat(pieces)[order_N.argsort()]

    def chunks(self, items_N: Tensor, size: int) -> list[Tensor]:
        """Positions of `items_N` in chunks of like length, at most `size` items each."""
        order_N = self.tokens.lengths[items_N].argsort(descending=True)
        return list(torch.split(order_N, size))


def bucket_bounds(lengths: NDArray[np.int64], bucket_tokens: int) -> Iterator[tuple[int, int, int]]:
    """Cut a falling sequence of lengths into buckets (start, stop, padded length).

    Neighbouring lengths share a bucket while the padding that costs stays under `CALL_TOKENS`; a
    bucket over the budget is cut into equal parts.
    """
    if not len(lengths):
        return
    rounded = -(-lengths // LENGTH_STEP) * LENGTH_STEP
    values, starts = np.unique(-rounded, return_index=True)
    stops = [*starts[1:].tolist(), len(lengths)]
    begin, longest, padding = 0, int(rounded[0]), 0
    for length, start, stop in zip((-values).tolist(), starts.tolist(), stops, strict=True):
        padding += (stop - start) * (longest - length)
        if padding > CALL_TOKENS:
            yield from _cut(begin, start, longest, bucket_tokens)
            begin, longest, padding = start, length, 0
    yield from _cut(begin, len(lengths), longest, bucket_tokens)


def _cut(start: int, stop: int, length: int, bucket_tokens: int) -> Iterator[tuple[int, int, int]]:
    most = max(1, bucket_tokens // length)
    parts = -(-(stop - start) // most)
    edges = np.linspace(start, stop, parts + 1).round().astype(int).tolist()
    for low, high in pairwise(edges):
        yield low, high, length
