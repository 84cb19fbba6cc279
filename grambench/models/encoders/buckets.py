"""`ItemEncoder`: item ids -> vectors, and the layout `Buckets`: sorted by length, within a token budget.

Every strategy encodes through `ItemEncoder`; strategies differ only in the ids they pass and in whether a
graph is kept. Legend: N items, L token positions, T tokens of all buckets, E width of the word embeddings,
D width.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from grambench.errors import ConfigError
from grambench.models.encoders.base import ItemVectors
from grambench.models.encoders.tokens import ItemTokens
from grambench.models.lengths import LENGTH_STEP, bucket_bounds, falling_order
from grambench.models.ranks import ALONE, Ranks
from grambench.models.rows import rows_at
from grambench.transfer import sent

CALL_FLOP = {"cpu": 2e8, "cuda": 8e10}
"""FLOP a device could compute while a transformer layer's forward and backward kernels are launched:
about 1.5 ms at 130 GFLOP/s; for CUDA an estimate, .3 ms at 300 TFLOP/s."""
LAYER_FLOP = 72
"""FLOP of a layer per token, forward and backward, in units of width²: 6 × 12 parameters."""


@dataclass(slots=True)
class EncodingCounts:
    """Work done by the encoder, excluding padding."""

    items: int = 0
    tokens: int = 0
    calls: int = 0


_PROBE_ITEMS = 32


class Layout(Protocol):
    """How items are arranged in the encoder's tensors; vectors do not depend on it."""

    name: str
    bucket_tokens: int
    """Maximum number of token positions per encoder call, including padding."""

    def vectors(
        self, encoder: ItemVectors, tokens: ItemTokens, items_N: NDArray[np.int64], ranks: Ranks = ALONE
    ) -> tuple[Tensor, int]:
        """Vectors [N, D] in the order of the ids, and the number of encoder calls; ranks share the calls."""
        ...

    def positions(self, lengths_N: NDArray[np.int64]) -> int:
        """Token positions occupied by items of these lengths, including padding."""
        ...

    def probe_items(self, length: int) -> int:
        """Number of items of the given length needed to measure the cost of a position."""
        ...


class Buckets:
    """Items sorted by length, each padded to the longest in its call.

    Lengths share a call as long as the padding costs less than another call.
    """

    name = "buckets"

    def __init__(self, bucket_tokens: int, width: int, device: torch.device) -> None:
        """
        Args:
            bucket_tokens: most token positions per encoder call, including padding.
            width: D.
            device: where the encoder runs.
        """
        self.bucket_tokens = bucket_tokens
        flop = CALL_FLOP.get(device.type, CALL_FLOP["cpu"])
        self.call_tokens = int(flop / (LAYER_FLOP * max(1, width) ** 2))
        """Cost of an additional call, in token positions."""

    def vectors(
        self, encoder: ItemVectors, tokens: ItemTokens, items_N: NDArray[np.int64], ranks: Ranks = ALONE
    ) -> tuple[Tensor, int]:
        """Vectors [N, D] in the order of the ids, and the number of encoder calls; ranks share the calls."""
        lengths_N = tokens.lengths[items_N]
        order_N = falling_order(lengths_N)
        sorted_N = sent(torch.from_numpy(items_N[order_N]), tokens.stored_on)
        falling_N = lengths_N[order_N]
        most = encoder.max_tokens or int(falling_N.max(initial=0)) + LENGTH_STEP
        bounds = list(bucket_bounds(falling_N, self.bucket_tokens, self.call_tokens))
        padded = [
            tokens.padded(sorted_N[start:stop], min(length, most))
            for start, stop, length in bounds[ranks.rank :: ranks.size]
        ]
        words = _words(encoder, [ids_NL for ids_NL, _ in padded])
        pieces = [encoder(words_NLE, mask_NL) for words_NLE, (_, mask_NL) in zip(words, padded, strict=True)]
        back_N = sent(torch.from_numpy(np.argsort(order_N)), tokens.device)
        return rows_at(ranks.join(pieces, len(bounds), encoder.no_items()), back_N), len(pieces)

    def positions(self, lengths_N: NDArray[np.int64]) -> int:
        """Token positions with the lengths rounded up."""
        return int((-(-lengths_N // LENGTH_STEP) * LENGTH_STEP).sum())

    def probe_items(self, length: int) -> int:
        """The same number for every length."""
        del length
        return _PROBE_ITEMS


def _words(encoder: ItemVectors, ids: list[Tensor]) -> Iterator[Tensor]:
    """Word embeddings of each bucket: looked up together if a graph is kept, else one bucket at a time."""
    if not torch.is_grad_enabled():
        yield from map(encoder.lookup, ids)
        return
    words_TE = encoder.lookup(torch.cat([ids_NL.flatten() for ids_NL in ids]))
    parts = words_TE.split([ids_NL.numel() for ids_NL in ids])
    for part_TE, ids_NL in zip(parts, ids, strict=True):
        yield part_TE.unflatten(0, ids_NL.shape)


class ItemEncoder:
    """Encoder and catalogue together: item ids -> vectors."""

    def __init__(
        self, encoder: ItemVectors, tokens: ItemTokens, bucket_tokens: int, layout: Layout | None = None
    ) -> None:
        """
        Args:
            encoder: computes item vectors from tokens.
            tokens: of the catalogue.
            bucket_tokens: most token positions per encoder call, including padding.
            layout: arrangement of items in a call; None: `Buckets`.

        Raises:
            ConfigError: an item exceeds the encoder's positions, or has a token without an embedding, which
                would trigger a device-side assertion on CUDA.
        """
        longest = int(tokens.lengths.max()) if len(tokens) else 0
        if encoder.max_tokens is not None and longest > encoder.max_tokens:
            raise ConfigError(
                f"An item has {longest} tokens, but the encoder reads at most {encoder.max_tokens}.",
                "Lower the limits in data.fields.",
            )
        largest = int(tokens.host_flat.max()) if encoder.vocabulary is not None and len(tokens) else 0
        if encoder.vocabulary is not None and largest >= encoder.vocabulary:
            raise ConfigError(
                f"The items' tokens go up to id {largest:,}, but the encoder has embeddings for"
                f" only {encoder.vocabulary:,} tokens.",
                "Use the encoder and the tokenizer of the same model; if its files were replaced since the"
                " data were prepared, delete the prepared folder.",
            )
        self.encoder = encoder
        self.tokens = tokens
        self.layout = layout or Buckets(bucket_tokens, encoder.width, tokens.device)
        self.counts = EncodingCounts()

    @property
    def bucket_tokens(self) -> int:
        """Maximum number of token positions per encoder call."""
        return self.layout.bucket_tokens

    @bucket_tokens.setter
    def bucket_tokens(self, tokens: int) -> None:
        self.layout.bucket_tokens = tokens

    def __call__(self, items_N: NDArray[np.int64], ranks: Ranks = ALONE) -> Tensor:
        """Vectors [N, D] in the order of the ids; repeated ids are encoded repeatedly.

        The ids are on the host, which determines the shapes of the calls: nothing waits for the device.
        With several `ranks`, the calls are those of one process, without a graph; they are not counted.
        """
        if not len(items_N):
            return self.encoder.no_items()
        vectors_ND, calls = self.layout.vectors(self.encoder, self.tokens, items_N, ranks)
        if ranks.size == 1:
            self.count(items_N, calls)
        return vectors_ND

    def count(self, items_N: NDArray[np.int64], calls: int) -> None:
        """Record that `calls` encoder calls have encoded these items."""
        self.counts.items += len(items_N)
        self.counts.tokens += int(self.tokens.lengths[items_N].sum())
        self.counts.calls += calls

    def chunks(self, items_N: NDArray[np.int64], size: int) -> list[NDArray[np.int64]]:
        """Indices of the items in chunks of similar length, at most `size` items each."""
        order_N = falling_order(self.tokens.lengths[items_N])
        return [order_N[start : start + size] for start in range(0, len(order_N), size)]
