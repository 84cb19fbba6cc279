"""Test scores by user, beside the trial's log: for errors of a difference of two trials over test users."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np

from grambench.domains.evaluation import UserScores
from grambench.events import types as ev
from grambench.fs import write_atomic

SCORES_FILE = "test_scores.npz"
"""`values` float32, NaN where one has no score; `clusters` int32, the number of the test user of each."""


def keep_scores(folder: Path, scores: UserScores, emit: Callable[[ev.Event], None]) -> None:
    """Write them into a trial's folder; a disk that does not take them costs a warning.

    Args:
        folder: the trial's.
        scores: of the test part.
        emit: takes the warning.
    """
    content = io.BytesIO()
    np.savez(content, values=scores.values.astype(np.float32), clusters=scores.users.astype(np.int32))
    try:
        write_atomic(folder / SCORES_FILE, content.getvalue())
    except OSError as error:
        why = error.strerror or error
        words = (
            f"the test scores by user cannot be written: {why}; comparisons lack the error over test users"
        )
        emit(ev.Warned("scores-not-kept", words))
