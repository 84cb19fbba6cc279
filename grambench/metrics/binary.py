"""Area under the ROC curve over pooled answers, and a bootstrap interval for it.

A tie between a right and a wrong answer counts as one half (Mann-Whitney). Legend: A answers, R resamples.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from grambench.metrics.ranking import NotFiniteError

RESAMPLES = 1000
_AT_ONCE = 1 << 22
"""Weights drawn at once; bounds the bootstrap's memory."""


@dataclass(frozen=True, slots=True)
class Interval:
    """Percentile bootstrap interval."""

    low: float
    high: float


def auc(labels_A: NDArray[np.integer], scores_A: NDArray[np.floating]) -> float | None:
    """Probability that a right answer scores higher than a wrong one; None if there is only one class.

    Raises:
        NotFiniteError: a score is NaN or infinite. ValueError: the shapes differ.
    """
    sorted_ = _Sorted(labels_A, scores_A)
    if not sorted_.has_both_classes:
        return None
    return float(sorted_.aucs(np.ones((1, len(labels_A))))[0])


def bootstrap_auc(
    labels_A: NDArray[np.integer],
    scores_A: NDArray[np.floating],
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
    level: float = 0.95,
) -> Interval | None:
    """Percentile interval of the AUC over answers drawn with replacement; None if there is only one class.

    Resamples that contain only one class have no AUC and are skipped.

    Raises:
        NotFiniteError: a score is NaN or infinite. ValueError: the shapes differ.
    """
    sorted_ = _Sorted(labels_A, scores_A)
    if not sorted_.has_both_classes:
        return None
    count = len(labels_A)
    generator = np.random.default_rng(seed)
    blocks: list[NDArray[np.float64]] = []
    block = max(1, _AT_ONCE // count)
    for start in range(0, resamples, block):
        rows = min(block, resamples - start)
        drawn_RA = generator.integers(0, count, (rows, count)) + np.arange(rows)[:, None] * count
        weights = np.bincount(drawn_RA.ravel(), minlength=rows * count).reshape(rows, count)
        blocks.append(sorted_.aucs(weights.astype(np.float64)))
    values_R = np.concatenate(blocks)
    values_R = values_R[np.isfinite(values_R)]
    if not values_R.size:
        return None
    low, high = np.quantile(values_R, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high))


class _Sorted:
    """Answers in order of ascending score, so that a weighted AUC takes two cumulative sums."""

    def __init__(self, labels_A: NDArray[np.integer], scores_A: NDArray[np.floating]) -> None:
        if labels_A.shape != scores_A.shape or labels_A.ndim != 1:
            raise ValueError(f"{labels_A.shape} labels and {scores_A.shape} scores")
        if not np.isfinite(scores_A).all():
            raise NotFiniteError("a score is not finite")
        order_A = np.argsort(scores_A, kind="stable")
        ordered_A = scores_A[order_A]
        self._order_A = order_A
        self._right_A = labels_A[order_A].astype(np.float64)
        edges = np.flatnonzero(np.diff(ordered_A, prepend=np.nan) != 0)
        self._first_of_tie = edges
        self.has_both_classes = bool(0 < self._right_A.sum() < len(labels_A))

    def aucs(self, weights_RA: NDArray[np.float64]) -> NDArray[np.float64]:
        """AUC [R] for each row of weights; NaN where a class has zero weight."""
        weights_RA = weights_RA[:, self._order_A]
        right_RT = np.add.reduceat(weights_RA * self._right_A, self._first_of_tie, axis=1)
        wrong_RT = np.add.reduceat(weights_RA * (1 - self._right_A), self._first_of_tie, axis=1)
        below_RT = np.cumsum(wrong_RT, axis=1) - wrong_RT / 2
        pairs_R = right_RT.sum(axis=1) * wrong_RT.sum(axis=1)
        wins_R = (right_RT * below_RT).sum(axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            values_R: NDArray[np.float64] = wins_R / pairs_R
        return values_R
