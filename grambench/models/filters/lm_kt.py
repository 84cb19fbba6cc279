"""LM-KT: a language model reads a student's history and says whether the next answer is right.

Srivastava and Goodman, "Question Generation for Adaptive Education", ACL 2021 (short papers), section 3;
code: `meghabyte/acl2021-education`. A history is one text, `<Q> question <A> <Y>` after another, with
`<N>` for a wrong answer. There are no item vectors here: it is a baseline beside the content encoders.

Legend: B students, L token positions, A answers of all students, K answers that fit, V tokens, I items.
"""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from grambench.transfer import sent

if TYPE_CHECKING:
    from transformers import GPT2LMHeadModel

Int64s = NDArray[np.int64]

_MARKERS = 3
"""Tokens of an answered question beside its text: <Q>, <A>, and <Y> or <N>."""


@dataclass(frozen=True, slots=True)
class Markers:
    """Token ids that LM-KT adds to the vocabulary."""

    question: int
    answer: int
    correct: int
    wrong: int

    @classmethod
    def after(cls, vocabulary_size: int) -> Self:
        """The four ids behind a tokenizer's own."""
        return cls(*range(vocabulary_size, vocabulary_size + 4))


@dataclass(frozen=True, slots=True, eq=False)
class PackedHistories:
    """Histories as token ids, and where their answers stand."""

    ids_BL: Tensor
    """Padded with 0 behind the last answer; no position of the padding is ever read."""
    rows_K: Tensor
    """Row of each answer."""
    positions_K: Tensor
    """Position of each answer's <Y> or <N>; its score is read one before, at <A>."""
    answers_K: Int64s
    """Number of each answer among the A that were packed; on the host."""
    dropped_B: Int64s
    """Questions of each student that did not fit: the oldest, with their answers."""
    cut_B: Int64s
    """Questions of each student that are there, but not with all their tokens."""

    def to(self, device: torch.device) -> Self:
        """With the tensors on the device."""
        ids_BL, rows_K = sent(self.ids_BL, device), sent(self.rows_K, device)
        return replace(self, ids_BL=ids_BL, rows_K=rows_K, positions_K=sent(self.positions_K, device))


def pack_histories(
    items_A: NDArray[np.integer[Any]],
    correct_A: NDArray[np.integer[Any]],
    offsets: Int64s,
    tokens: NDArray[np.integer[Any]],
    token_offsets: Int64s,
    markers: Markers,
    context: int,
) -> PackedHistories:
    """One row a student. A row over the context loses its oldest questions until the rest fits.

    A question of more than a quarter of the context keeps its first `context // 4` tokens. A dropped answer
    is neither trained on nor scored here: to have it scored, give a history that ends with it.

    Args:
        items_A: items of all answers, earliest first for each student.
        correct_A: 1 right, 0 wrong.
        offsets: [B + 1] student b's answers lie between offsets b and b + 1.
        tokens: token ids of all items.
        token_offsets: [I + 1] item i's tokens lie between offsets i and i + 1.
        markers: ids of <Q>, <A>, <Y> and <N>.
        context: most tokens of a row.

    Raises:
        ValueError: the context is below 4, so that no question with a token would fit.
    """
    if context < 4:
        raise ValueError(f"a context of {context} holds no question, its markers and its answer")
    whole_A = np.diff(token_offsets)[items_A]
    kept_A = np.minimum(whole_A, context // 4)
    before = np.concatenate(([0], np.cumsum(kept_A + _MARKERS)))
    row_A = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    fits_A = before[offsets[1:]][row_A] - before[:-1] <= context
    dropped_B = np.bincount(row_A[~fits_A], minlength=len(offsets) - 1)
    cut_B = np.bincount(row_A[fits_A & (kept_A < whole_A)], minlength=len(offsets) - 1)
    begin_B = before[offsets[:-1] + dropped_B]
    ids_BL = np.zeros((len(offsets) - 1, int((before[offsets[1:]] - begin_B).max(initial=0))), np.int64)

    answers_K = np.flatnonzero(fits_A)
    row_K, length_K = row_A[answers_K], kept_A[answers_K]
    start_K = before[answers_K] - begin_B[row_K]
    within = np.arange(length_K.sum()) - np.repeat(np.cumsum(length_K) - length_K, length_K)
    text = np.repeat(token_offsets[items_A[answers_K]], length_K) + within
    ids_BL[row_K, start_K] = markers.question
    ids_BL[np.repeat(row_K, length_K), np.repeat(start_K + 1, length_K) + within] = tokens[text]
    ids_BL[row_K, start_K + length_K + 1] = markers.answer
    is_right_K = correct_A[answers_K] == 1
    ids_BL[row_K, start_K + length_K + 2] = np.where(is_right_K, markers.correct, markers.wrong)
    ids, rows, positions = (torch.from_numpy(array) for array in (ids_BL, row_K, start_K + length_K + 2))
    return PackedHistories(ids, rows, positions, answers_K, dropped_B, cut_B)


class LMKT(nn.Module):
    """A causal language model, asked for the token behind every <A>.

    Trained on these tokens only, because only they are scored. The authors' code trains on the tokens of
    the questions too, as any language model is: that costs the logits of every position, and teaches the
    model to write questions, which nothing here asks of it.
    """

    language_model: Any

    def __init__(self, language_model: "GPT2LMHeadModel", markers: Markers) -> None:
        """
        Args:
            language_model: its embeddings already hold the markers' (`resize_token_embeddings`).
            markers: ids of <Q>, <A>, <Y> and <N>.

        Raises:
            ValueError: a marker lies outside the model's vocabulary.
        """
        super().__init__()
        largest = max(markers.question, markers.answer, markers.correct, markers.wrong)
        if largest >= language_model.config.vocab_size:
            raise ValueError(f"marker {largest} is not among the {language_model.config.vocab_size} tokens")
        self.language_model = language_model
        self.markers = markers

    @property
    def context(self) -> int:
        """Most tokens of a row."""
        return int(self.language_model.config.n_positions)

    def loss(self, packed: PackedHistories) -> Tensor:
        """Cross-entropy of <Y> or <N> among all V tokens, SUMMED over the answers."""
        answers_K = packed.ids_BL[packed.rows_K, packed.positions_K]
        return functional.cross_entropy(self._logits(packed), answers_K, reduction="sum")

    def scores(self, packed: PackedHistories) -> Tensor:
        """Probabilities [K] of a right answer, P(<Y>) / (P(<Y>) + P(<N>)), in the order of `answers_K`."""
        logits_KV = self._logits(packed)
        return torch.sigmoid(logits_KV[:, self.markers.correct] - logits_KV[:, self.markers.wrong])

    def _logits(self, packed: PackedHistories) -> Tensor:
        """Logits [K, V] behind each <A>: no others are computed.

        Attention is causal and padding comes last, so that no mask is needed.
        """
        output = self.language_model.transformer(input_ids=packed.ids_BL, use_cache=False)
        hidden_KD = output.last_hidden_state[packed.rows_K, packed.positions_K - 1]
        logits_KV: Tensor = self.language_model.lm_head(hidden_KD)
        return logits_KV
