"""MIND's ranking metrics over ragged impressions, vectorised.

Formulas: the evaluation script of MIND (Wu et al., 2020): per impression, then the mean over
impressions. AUC counts a tie as one half. For MRR and nDCG a fixed rule breaks ties: among equal
scores the unclicked candidates rank first, so that a constant scorer gains nothing and the order of
the candidates in the file never matters.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_CUTOFFS = (5, 10)
_SIGN = np.uint32(1 << 31)


class NotFiniteError(ValueError):
    """A score is NaN or infinite: the model has diverged."""


@dataclass(frozen=True, slots=True)
class RankingScores:
    """Metrics of every impression that has both classes."""

    auc: NDArray[np.float64]
    """[S] area under the ROC curve, for the S scored impressions in order."""
    mrr: NDArray[np.float64]
    """[S] mean of 1 / rank over all clicked candidates."""
    ndcg5: NDArray[np.float64]
    """[S] nDCG over the first five ranks."""
    ndcg10: NDArray[np.float64]
    """[S] nDCG over the first ten ranks."""
    scored: NDArray[np.bool_]
    """[M] which impressions have both classes."""

    @property
    def skipped(self) -> int:
        """Impressions of one class only, which have no AUC."""
        return int(np.count_nonzero(~self.scored))

    def means(self) -> dict[str, float | None]:
        """Mean of each metric over the scored impressions; None if there are none."""
        values = {"auc": self.auc, "mrr": self.mrr, "ndcg@5": self.ndcg5, "ndcg@10": self.ndcg10}
        return {name: float(value.mean()) if value.size else None for name, value in values.items()}


def ranking_scores(
    labels: NDArray[np.integer], scores: NDArray[np.floating], offsets: NDArray[np.integer]
) -> RankingScores:
    """Score all impressions at once.

    A single sort of 64-bit keys (impression, score, label) replaces one sort per impression; the
    float32 bits of a score are mapped to an integer of the same order.

    Args:
        labels: [N] 1 clicked, 0 not.
        scores: [N] higher ranks first; compared in float32.
        offsets: [M + 1] impression i holds the candidates offsets[i]:offsets[i + 1].

    Raises:
        NotFiniteError: a score is not finite in float32. ValueError: the shapes do not fit.
    """
    if labels.shape != scores.shape or offsets[-1] != labels.size:
        raise ValueError(f"{labels.size} labels, {scores.size} scores and offsets to {offsets[-1]}")
    with np.errstate(over="ignore"):  # values beyond float32 become infinite and are rejected
        scores = scores.astype(np.float32)
    if not np.isfinite(scores).all():
        raise NotFiniteError("a score is not finite")
    sizes = np.diff(offsets).astype(np.int64)
    clicks = _segment_sums(labels.astype(np.int64), offsets)
    both = (clicks > 0) & (clicks < sizes)
    kept = np.repeat(both, sizes)
    sizes, clicks = sizes[both], clicks[both]
    if not sizes.size:
        none = np.empty(0)
        return RankingScores(none, none, none, none, both)

    segment = np.repeat(np.arange(sizes.size, dtype=np.uint64), sizes)
    keys = _sorted_keys(segment, labels[kept], scores[kept])
    clicked = (keys & np.uint64(1)).astype(np.float64)
    starts = np.concatenate(([0], np.cumsum(sizes)[:-1]))
    rank = np.arange(1, keys.size + 1) - np.repeat(starts, sizes)

    mrr = np.add.reduceat(clicked / rank, starts) / clicks
    discount = clicked / np.log2(rank + 1.0)
    ndcg = [
        np.add.reduceat(np.where(rank <= cutoff, discount, 0.0), starts) / _ideal_dcg(clicks, cutoff)
        for cutoff in _CUTOFFS
    ]
    return RankingScores(_auc(keys, clicked, rank, starts, sizes, clicks), mrr, ndcg[0], ndcg[1], both)


def ranks(scores: NDArray[np.floating], offsets: NDArray[np.integer]) -> NDArray[np.int64]:
    """Rank of each candidate in its impression, from 1 for the highest score; each rank once.

    Among equal scores the later candidate ranks first, as with `argsort()[::-1]` of MIND's script.

    Args:
        scores: [N] a candidate of -inf ranks last.
        offsets: [M + 1] impression i holds the candidates offsets[i]:offsets[i + 1].
    """
    sizes = np.diff(offsets)
    segment, places = np.repeat(np.arange(len(sizes)), sizes), np.arange(scores.size)
    order = np.lexsort((-places, -scores, segment))
    found = np.empty(scores.size, np.int64)
    found[order] = places - np.repeat(offsets[:-1], sizes) + 1
    return found


def _sorted_keys(
    segment: NDArray[np.uint64], labels: NDArray[np.integer], scores: NDArray[np.floating]
) -> NDArray[np.uint64]:
    """Keys that sort by impression, then descending score, then label (31 + 32 + 1 bits)."""
    bits = (scores + np.float32(0)).view(np.uint32)  # + 0 makes -0 equal 0
    ascending = np.where(bits & _SIGN, ~bits, bits | _SIGN)
    keys = segment << np.uint64(33) | (~ascending).astype(np.uint64) << np.uint64(1)
    keys |= labels.astype(np.uint64)
    keys.sort()
    return keys


def _auc(
    keys: NDArray[np.uint64],
    clicked: NDArray[np.float64],
    rank: NDArray[np.int64],
    starts: NDArray[np.int64],
    sizes: NDArray[np.int64],
    clicks: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Mann-Whitney with mid-ranks: ties count as one half."""
    tied = keys >> np.uint64(1)
    first = np.flatnonzero(np.concatenate(([True], tied[1:] != tied[:-1])))
    length = np.diff(np.concatenate((first, [tied.size])))
    mid_rank = np.repeat(rank[first] + (length - 1) / 2, length)
    # rank 1 is the highest score, so a click's wins are the unclicked candidates ranked below it
    rank_sum = np.add.reduceat(clicked * mid_rank, starts)
    losses = rank_sum - clicks * (clicks + 1) / 2
    return np.asarray(1.0 - losses / (clicks * (sizes - clicks)))


def _ideal_dcg(clicks: NDArray[np.int64], cutoff: int) -> NDArray[np.float64]:
    gains = np.concatenate(([0.0], np.cumsum(1.0 / np.log2(np.arange(2, cutoff + 2)))))
    return np.asarray(gains[np.minimum(clicks, cutoff)])


def _segment_sums(values: NDArray[np.int64], offsets: NDArray[np.integer]) -> NDArray[np.int64]:
    """Sums over ragged segments, which may be empty."""
    totals = np.concatenate(([0], np.cumsum(values)))
    return np.asarray(totals[offsets[1:]] - totals[offsets[:-1]])
