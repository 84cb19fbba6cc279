"""Answer histories as token rows of a causal language model: `<Q> question <A> <Y>` after another.

Legend: B students, A answers of all students, S rows, L token positions, I items.
"""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

Int64s = NDArray[np.int64]

MARKERS = 3
"""Tokens of an answered question beside its text: <Q>, <A>, and <Y> or <N>."""
LEAST_CONTEXT = 4 * (MARKERS + 1)
"""Shortest row: a quarter of it holds one question with one token of text."""


@dataclass(frozen=True, slots=True)
class Markers:
    """Token ids that LM-KT adds to the vocabulary."""

    question: int
    answer: int
    correct: int
    wrong: int

    @classmethod
    def after(cls, vocabulary_size: int) -> Self:
        """The four ids after a tokenizer's own."""
        return cls(*range(vocabulary_size, vocabulary_size + 4))


@dataclass(frozen=True, slots=True, eq=False)
class PackedHistories:
    """Rows of token ids, and where in them each answer is asked; on the host."""

    ids_SL: Int64s
    """Padded with 0 after the last answer; nothing reads the padding."""
    lengths_S: Int64s
    """Tokens of each row."""
    rows_A: Int64s
    """Row in which each answer is asked; ascending."""
    positions_A: Int64s
    """Position in it of the answer's <Y> or <N>; its score is read one before, at <A>."""


def pack_histories(
    items_A: NDArray[np.integer[Any]],
    correct_A: NDArray[np.integer[Any]],
    offsets: Int64s,
    tokens: NDArray[np.integer[Any]],
    token_offsets: Int64s,
    markers: Markers,
    context: int,
) -> PackedHistories:
    """Rows in which every answer is asked exactly once, after all earlier ones.

    A history that does not fit one row continues in another, which begins with the latest questions that fill
    at most half of it, so that no answer is asked without them. A question with its markers takes at most a
    quarter of a row: a longer one keeps its first tokens.

    Args:
        items_A: items of all answers, earliest first for each student.
        correct_A: 1 right, 0 wrong.
        offsets: [B + 1] student b's answers lie between offsets b and b + 1.
        tokens: token ids of all items.
        token_offsets: [I + 1] item i's tokens lie between offsets i and i + 1.
        markers: ids of <Q>, <A>, <Y> and <N>.
        context: most tokens of a row.

    Raises:
        ValueError: the context is below 16.
    """
    if context < LEAST_CONTEXT:
        raise ValueError(f"a context of {context} tokens is below {LEAST_CONTEXT}")
    kept_A = np.minimum(np.diff(token_offsets)[items_A], kept_tokens(context))
    before = np.concatenate(([0], np.cumsum(kept_A + MARKERS)))
    """[A + 1] tokens of all answers before each."""
    first_S, asked_S, end_S = _rows(before, offsets, context)
    stream = _stream(items_A, correct_A, kept_A, before, tokens, token_offsets, markers)
    lengths_S = before[end_S] - before[first_S]
    position_L = np.arange(lengths_S.max(initial=0))
    is_real_SL = position_L < lengths_S[:, None]
    ids_SL = np.zeros(is_real_SL.shape, np.int64)
    ids_SL[is_real_SL] = stream[(before[first_S][:, None] + position_L)[is_real_SL]]
    rows_A = np.repeat(np.arange(len(first_S)), end_S - asked_S)
    return PackedHistories(ids_SL, lengths_S, rows_A, before[1:] - before[first_S[rows_A]] - 1)


def kept_tokens(context: int) -> int:
    """Maximum number of tokens of a question's text in rows of `context` tokens."""
    return context // 4 - MARKERS


def _rows(before: Int64s, offsets: Int64s, context: int) -> tuple[Int64s, Int64s, Int64s]:
    """First answer, first answer that is asked, and end of each row [S]; by answer."""
    begin, stop = offsets[:-1][np.diff(offsets) > 0], offsets[1:][np.diff(offsets) > 0]
    first, asked = begin, begin
    found = [np.zeros((3, 0), np.int64)]
    while len(begin):
        end = np.minimum(np.searchsorted(before, before[first] + context, side="right") - 1, stop)
        found.append(np.stack((first, asked, end)))
        begin, stop, asked = begin[end < stop], stop[end < stop], end[end < stop]
        first = np.maximum(np.searchsorted(before, before[asked] - context // 2), begin)
    first_S, asked_S, end_S = np.concatenate(found, axis=1)
    order_S = np.argsort(asked_S)
    return first_S[order_S], asked_S[order_S], end_S[order_S]


def _stream(
    items_A: NDArray[np.integer[Any]],
    correct_A: NDArray[np.integer[Any]],
    kept_A: Int64s,
    before: Int64s,
    tokens: NDArray[np.integer[Any]],
    token_offsets: Int64s,
    markers: Markers,
) -> Int64s:
    """All answers one after another, as token ids."""
    stream = np.empty(int(before[-1]), np.int64)
    stream[before[:-1]] = markers.question
    within = np.arange(kept_A.sum()) - np.repeat(np.cumsum(kept_A) - kept_A, kept_A)
    text = np.repeat(token_offsets[items_A], kept_A) + within
    stream[np.repeat(before[:-1] + 1, kept_A) + within] = tokens[text]
    stream[before[1:] - 2] = markers.answer
    stream[before[1:] - 1] = np.where(correct_A == 1, markers.correct, markers.wrong)
    return stream
