"""Common parts of the domains' evaluators. Legend: K items of a part, D width."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from grambench.metrics.ranking import RankingScores
from grambench.models.encoders.buckets import ItemEncoder
from grambench.transfer import sent

WHOLE_NUMBERS = 2**26
"""Most elements of item projections held at once: 256 MiB in fp32."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Metrics of a part."""

    metrics: dict[str, float | None]
    impressions: int
    """Number of scored impressions, or of students' answers."""
    skipped: int
    """Impressions with only one class, which have no AUC."""
    sampled: bool
    scores: RankingScores | None = None
    """Metrics per impression, if the domain has impressions."""


def encode_all(encode: ItemEncoder, items_K: NDArray[np.int64]) -> Tensor:
    """Vectors [K, D] of a part's items; large numbers are encoded in chunks, so that only one table is held.

    A single call would hold its buckets' token ids, the buckets' vectors, and two more copies of the vectors.
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
