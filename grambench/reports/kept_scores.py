"""Test scores by impression or answer, as trials keep them, compared by test users."""

import zipfile
import zlib
from pathlib import Path

from grambench.analysis.clustered import clustered_interval
from grambench.analysis.pairs import UserError
from grambench.fs import NPY_ERRORS

SCORES_FILE = "test_scores.npz"
"""In a trial's folder: `values` float32, whose mean differs between trials as their scores do, and `clusters`
int32, the test user or student of each."""


def user_error(candidate: Path, reference: Path) -> UserError | None:
    """What other test users would change about the difference of two trials.

    Args:
        candidate: folder of a trial.
        reference: folder of what it is compared with.

    Returns:
        None where one of them kept no scores, or they scored other samples.
    """
    import numpy as np

    sides = []
    for folder in (candidate, reference):
        try:
            with np.load(folder / SCORES_FILE, allow_pickle=False) as kept:
                sides.append((kept["values"], kept["clusters"]))
        except (*NPY_ERRORS, KeyError, NotImplementedError, zipfile.BadZipFile, zlib.error):
            return None
    (own, clusters), (other, others) = sides
    if own.shape != other.shape or not np.array_equal(clusters, others):
        return None
    known = np.isfinite(own) & np.isfinite(other)
    interval = clustered_interval(own[known].astype("f8") - other[known], clusters[known])
    if interval is None:
        return None
    return UserError(half_width=(interval.high - interval.low) / 2, clusters=interval.units)
