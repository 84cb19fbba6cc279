"""What the evaluators of all domains share. Legend: K items of a part, D width."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from grambench.metrics.ranking import RankingScores
from grambench.models.encoders.buckets import ItemEncoder
from grambench.transfer import sent

WHOLE_NUMBERS = 2**26
"""Most numbers of all items' projections that are held at once: 256 MiB in fp32."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Metrics of a part."""

    metrics: dict[str, float | None]
    impressions: int
    """What was scored: impressions, or answers of students."""
    skipped: int
    """Impressions of one class only, which have no AUC."""
    sampled: bool
    scores: RankingScores | None = None
    """Metrics of each impression, where there are impressions."""


def encode_all(encode: ItemEncoder, items_K: NDArray[np.int64]) -> Tensor:
    """Vectors [K, D] of a part's items; many of them in chunks, so that one table is all that is held.

    A single call holds its buckets' token ids, the buckets' vectors, and two more copies of these.
    """
    size = max(1, WHOLE_NUMBERS // (3 * max(1, encode.encoder.width)))
    if len(items_K) <= size:
        return encode(items_K)
    table_KD: Tensor | None = None
    for chunk in encode.chunks(items_K, size):
        vectors_ND = encode(items_K[chunk])
        if table_KD is None:
            table_KD = vectors_ND.new_empty(len(items_K), vectors_ND.shape[1])
        table_KD[sent(torch.from_numpy(chunk), vectors_ND.device)] = vectors_ND
    assert table_KD is not None
    return table_KD
