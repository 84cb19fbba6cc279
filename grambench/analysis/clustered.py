"""Errors within one seed: test users or students are the independent units, not their impressions or answers.

They say what other users would change about two trained models, and nothing about other seeds. The functions
import numpy, not the module: the command line loads no arrays. Legend: A answers or impressions.
"""

import math
from typing import TYPE_CHECKING, NamedTuple

from grambench.analysis.confidence import ConfidenceInterval, around, two_sided_t
from grambench.analysis.paired import LEVEL

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def clustered_interval(
    values_A: "NDArray[np.floating]", clusters_A: "NDArray[np.integer]", level: float = LEVEL
) -> ConfidenceInterval | None:
    """Interval of the mean of values in independent clusters (Liang & Zeger 1986).

    Args:
        values_A: differences of AUC by impression, or of the influences of two AUCs by answer.
        clusters_A: number of the user or student of each; any whole numbers.
        level: coverage asked for.

    Returns:
        None for fewer than two clusters: other users are unknown.

    Raises:
        ValueError: the shapes differ, or a value is not finite.
    """
    import numpy as np

    if values_A.shape != clusters_A.shape or values_A.ndim != 1:
        raise ValueError(f"{values_A.shape} values and {clusters_A.shape} clusters")
    if not np.isfinite(values_A).all():
        raise ValueError("a value is not finite")
    names, dense_A = np.unique(clusters_A, return_inverse=True)
    if len(names) < 2:
        return None
    centre = float(values_A.mean(dtype=np.float64))
    sums = np.bincount(dense_A, weights=values_A - centre)
    error = math.sqrt(float((sums**2).sum()) * len(names) / (len(names) - 1)) / len(values_A)
    half = two_sided_t(level, len(names) - 1) * error
    return around(centre, half, level, len(names), "clustered t")


class AucInfluence(NamedTuple):
    """A pooled AUC and each answer's contribution to its error."""

    auc: float
    """0 to 1; a tie counts one half."""
    influence_A: "NDArray[np.float64]"
    """[A] of mean 0; the error of its mean over clusters is that of the AUC."""


def auc_influence(scores_A: "NDArray[np.floating]", labels_A: "NDArray[np.integer]") -> AucInfluence | None:
    """AUC over pooled answers and each answer's influence on it, from DeLong's (1988) placements.

    The difference of the influences of two models, clustered by student, gives Obuchowski's (1997) error.

    Args:
        scores_A: finite scores.
        labels_A: 1 or True for right answers, 0 or False for wrong ones.

    Returns:
        None where only one class occurs.

    Raises:
        ValueError: the shapes differ, or a score is not finite.
    """
    import numpy as np

    if scores_A.shape != labels_A.shape or scores_A.ndim != 1:
        raise ValueError(f"{scores_A.shape} scores and {labels_A.shape} labels")
    if not np.isfinite(scores_A).all():
        raise ValueError("a score is not finite")
    right_A = labels_A.astype(bool)
    right, wrong = np.sort(scores_A[right_A]), np.sort(scores_A[~right_A])
    if not len(right) or not len(wrong):
        return None
    placements_A = np.empty(len(scores_A))
    placements_A[right_A] = _share_below(scores_A[right_A], wrong)
    placements_A[~right_A] = 1 - _share_below(scores_A[~right_A], right)
    auc = float(placements_A[right_A].mean())
    return AucInfluence(auc, (placements_A - auc) * len(scores_A) / np.where(right_A, len(right), len(wrong)))


def _share_below(scores: "NDArray[np.floating]", ordered: "NDArray[np.floating]") -> "NDArray[np.float64]":
    """For each score, the share of `ordered` that lies below it; ties count one half."""
    import numpy as np

    twice = np.searchsorted(ordered, scores, "left") + np.searchsorted(ordered, scores, "right")
    shares: NDArray[np.float64] = twice / (2 * len(ordered))
    return shares


def auc_difference_interval(
    candidate_A: "NDArray[np.floating]",
    reference_A: "NDArray[np.floating]",
    labels_A: "NDArray[np.integer]",
    clusters_A: "NDArray[np.integer]",
    level: float = LEVEL,
) -> ConfidenceInterval | None:
    """Interval of the candidate's AUC minus the reference's on the same pooled answers, clustered by student.

    Returns:
        None where only one class or one student occurs.

    Raises:
        ValueError: the shapes differ, or a score is not finite.
    """
    own, other = auc_influence(candidate_A, labels_A), auc_influence(reference_A, labels_A)
    if own is None or other is None:
        return None
    spread = clustered_interval(own.influence_A - other.influence_A, clusters_A, level)
    half = (spread.high - spread.low) / 2 if spread else math.inf
    return spread and around(own.auc - other.auc, half, level, spread.units, spread.method)
