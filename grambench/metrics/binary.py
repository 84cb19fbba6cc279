"""Area under the ROC curve over pooled answers, and a bootstrap interval for it.

A tie between a right and a wrong answer counts one half (Mann-Whitney). Legend: A answers, P of
them right, W wrong, G students, R resamples.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from grambench.metrics.ranking import NotFiniteError

RESAMPLES = 1000
_AT_ONCE = 1 << 17
"""Maximum weights of answers at once: they stay in the processor's cache."""
_SIDES: tuple[Literal["left"], Literal["right"]] = ("left", "right")


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
    sorted_ = _Sorted(labels_A, scores_A, np.zeros(labels_A.shape, np.int64))
    if not sorted_.has_both_classes:
        return None
    return float(sorted_.aucs(np.ones((1, 1)))[0])


def bootstrap_auc(
    labels_A: NDArray[np.integer],
    scores_A: NDArray[np.floating],
    students_A: NDArray[np.integer],
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
    level: float = 0.95,
) -> Interval | None:
    """Percentile interval of the AUC over students drawn with replacement, each with all answers.

    Answers of one student are alike: in simulations an interval over single answers covers 90 % instead of
    95 %. Resamples in which only one class is left are drawn, and have no AUC: they are left out.

    Args:
        labels_A: 1 right, 0 wrong.
        scores_A: finite scores.
        students_A: number of the student of each answer; any whole numbers.
        resamples: how many.
        seed: of the draws.
        level: coverage asked for.

    Returns:
        None when there is one class or one student only.

    Raises:
        NotFiniteError: a score is NaN or infinite. ValueError: the shapes differ.
    """
    names, dense_A = np.unique(students_A, return_inverse=True)
    sorted_ = _Sorted(labels_A, scores_A, dense_A)
    count = len(names)
    if not sorted_.has_both_classes or count < 2:
        return None
    generator = np.random.default_rng(seed)
    found: list[NDArray[np.float64]] = []
    block = max(1, _AT_ONCE // len(labels_A))
    for start in range(0, resamples, block):
        rows = min(block, resamples - start)
        drawn_RG = generator.integers(0, count, (rows, count)) + np.arange(rows)[:, None] * count
        times_RG = np.bincount(drawn_RG.ravel(), minlength=rows * count).reshape(rows, count)
        found.append(sorted_.aucs(times_RG.astype(np.float64)))
    values_R = np.concatenate(found)
    values_R = values_R[np.isfinite(values_R)]
    if not values_R.size:
        return None
    low, high = np.quantile(values_R, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high))


class _Sorted:
    """Answers by rising score, so that an AUC under any weights of the students is one running sum."""

    def __init__(
        self, labels_A: NDArray[np.integer], scores_A: NDArray[np.floating], students_A: NDArray[np.integer]
    ) -> None:
        """`students_A`: numbers from 0."""
        if not labels_A.shape == scores_A.shape == students_A.shape or labels_A.ndim != 1:
            shapes = f"{labels_A.shape} labels, {scores_A.shape} scores and {students_A.shape} students"
            raise ValueError(shapes)
        if not np.isfinite(scores_A).all():
            raise NotFiniteError("a score is not finite")
        order_A = np.argsort(scores_A, kind="stable")
        is_right_A = labels_A[order_A].astype(bool)
        right_P, wrong_W = order_A[is_right_A], order_A[~is_right_A]
        self._right_students, self._wrong_students = students_A[right_P], students_A[wrong_W]
        right, wrong = scores_A[right_P], scores_A[wrong_W]
        self._below, self._not_above = (np.searchsorted(wrong, right, side) for side in _SIDES)
        """Wrong answers that score less than each right one, and those that score no more."""
        self.has_both_classes = len(right) > 0 and len(wrong) > 0

    def aucs(self, weights_RG: NDArray[np.float64]) -> NDArray[np.float64]:
        """[R] one AUC for each row of the students' weights; NaN where a class has no weight."""
        wrong_RW = np.zeros((len(weights_RG), len(self._wrong_students) + 1))
        np.cumsum(weights_RG.take(self._wrong_students, axis=1), axis=1, out=wrong_RW[:, 1:])
        right_RP = weights_RG.take(self._right_students, axis=1)
        twice_RP = wrong_RW.take(self._below, axis=1) + wrong_RW.take(self._not_above, axis=1)
        pairs_R = right_RP.sum(axis=1) * wrong_RW[:, -1]
        with np.errstate(invalid="ignore", divide="ignore"):
            values_R: NDArray[np.float64] = np.einsum("rp,rp->r", right_RP, twice_RP) / 2 / pairs_R
        return values_R
