"""Answers that occupy several rows: exact duplicates, one row per skill, bundles answered at one moment.

A sequence model sees the outcome in the first of these rows and "predicts" it in the others.
Legend of shapes: U users, A answers, R answers at moments with several rows, G these moments.
"""

import dataclasses
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from grambench.data.prepared.manifest import RepeatCounts
from grambench.data.tables.clock import MISSING_TIME
from grambench.domains.knowledge_tracing.answers import Answers

Bools = npt.NDArray[np.bool_]
Int32s = npt.NDArray[np.int32]

LEAST_MOMENTS = 20
"""Fewer moments with several items are not conclusive."""
AGREEMENT = 0.95
"""If the results agree in at least this share of the moments, the rows of a moment are one answer: two
separate answers agree in about half of the cases, rarely in more than three quarters."""
LEFT_OUT = "rows that repeat an answer (data.repeated_answers = first)"


@dataclass(frozen=True, slots=True, eq=False)
class Repeats:
    """Which answers repeat an earlier one, and how many."""

    counts: RepeatCounts
    repeats_A: Bools
    """True: the row repeats an earlier one; `first` drops it."""


def find_repeats(answers: Answers) -> Repeats:
    """Find rows that belong to the same answer.

    With times: rows of the same user, item and second; and rows of the same user and second with several
    items, if the results agree at nearly all such moments of the data (`AGREEMENT`): one row per skill.
    Moments with different results are bundles of questions, and are kept. Without times, or with times
    coarser than a second: consecutive rows of the same user, item and result; these may also be further
    attempts, so only `first` merges them, and only if there are no times at all.
    """
    user_A = _users(answers)
    in_run_A = _in_run(answers, user_A)
    has_times = bool(len(answers)) and answers.time_s[0] != MISSING_TIME
    if not has_times or answers.coarse_times:
        counts = RepeatCounts(
            answers=len(answers),
            has_times=False,
            same_item=0,
            other_items=0,
            moments=0,
            agreeing_moments=0,
            is_row_a_skill=False,
            in_a_run=int(np.count_nonzero(in_run_A)),
        )
        return Repeats(counts, np.zeros_like(in_run_A) if has_times else in_run_A)
    return _of_moments(answers, user_A, in_run_A)


def without_repeats(answers: Answers, repeats: Repeats) -> Answers:
    """Keep the first row of each answer; dropped rows are counted."""
    count = int(np.count_nonzero(repeats.repeats_A))
    if not count:
        return answers
    kept_A = ~repeats.repeats_A
    user_A = _users(answers)
    counts_U = np.bincount(user_A[kept_A], minlength=len(answers.offsets) - 1)
    return dataclasses.replace(
        answers,
        offsets=np.concatenate(([0], np.cumsum(counts_U))),
        items=answers.items[kept_A],
        correct=answers.correct[kept_A],
        time_s=answers.time_s[kept_A],
        split=None if answers.split is None else answers.split[kept_A],
        left_out={**answers.left_out, LEFT_OUT: count},
    )


def _users(answers: Answers) -> Int32s:
    """[A] index of the user."""
    return np.repeat(np.arange(len(answers.offsets) - 1, dtype=np.int32), np.diff(answers.offsets))


def _in_run(answers: Answers, user_A: Int32s) -> Bools:
    """[A] whether user, item and result are those of the preceding row."""
    in_run_A = np.zeros(len(answers), np.bool_)
    in_run_A[1:] = (
        (user_A[1:] == user_A[:-1])
        & (answers.items[1:] == answers.items[:-1])
        & (answers.correct[1:] == answers.correct[:-1])
    )
    return in_run_A


def _of_moments(answers: Answers, user_A: Int32s, in_run_A: Bools) -> Repeats:
    begins_A = np.ones(len(answers), np.bool_)
    begins_A[1:] = (user_A[1:] != user_A[:-1]) | (answers.time_s[1:] != answers.time_s[:-1])
    moment_A = np.cumsum(begins_A, dtype=np.int32)
    several_A = ~begins_A
    several_A[:-1] |= ~begins_A[1:]
    rows_R = np.flatnonzero(several_A)
    same_item_R = ~_first_of_item(moment_A[rows_R], answers.items[rows_R])
    rest_R = rows_R[~same_item_R]
    moments_G, places = np.unique(moment_A[rest_R], return_inverse=True)
    sizes_G = np.bincount(places, minlength=len(moments_G))
    right_G = np.bincount(places, answers.correct[rest_R], len(moments_G))
    is_bundle_G = sizes_G > 1
    agrees_G = is_bundle_G & ((right_G == 0) | (right_G == sizes_G))
    moments, agreeing = int(is_bundle_G.sum()), int(agrees_G.sum())
    is_row_a_skill = moments >= LEAST_MOMENTS and agreeing >= AGREEMENT * moments
    repeats_A = np.zeros(len(answers), np.bool_)
    repeats_A[rows_R[same_item_R]] = True
    if is_row_a_skill:
        repeats_A[rest_R[agrees_G[places] & ~begins_A[rest_R]]] = True
    counts = RepeatCounts(
        answers=len(answers),
        has_times=True,
        same_item=int(np.count_nonzero(same_item_R)),
        other_items=int((sizes_G[is_bundle_G] - 1).sum()),
        moments=moments,
        agreeing_moments=agreeing,
        is_row_a_skill=is_row_a_skill,
        in_a_run=int(np.count_nonzero(in_run_A & begins_A)),
    )
    return Repeats(counts, repeats_A)


def _first_of_item(moment_R: Int32s, items_R: Int32s) -> Bools:
    """[R] whether a row is the first of its moment and item."""
    order = np.lexsort((items_R, moment_R))  # stable: earlier rows first
    first_R = np.ones(len(order), np.bool_)
    same = (np.diff(moment_R[order]) == 0) & (np.diff(items_R[order]) == 0)
    first_R[order[1:][same]] = False
    return first_R
