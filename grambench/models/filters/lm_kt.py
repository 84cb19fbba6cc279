"""LM-KT: a language model reads a student's history and says whether the next answer is right.

Srivastava and Goodman, "Question Generation for Adaptive Education", ACL 2021 (short papers), section 3;
code: `meghabyte/acl2021-education`. There are no item vectors here: it is a baseline beside the content
encoders.

Legend: B students, L positions of a sequence or of a row of tokens, A answers, K answers of one call,
V tokens of the vocabulary.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from grambench.models.filters.base import AnswerFilter, AnswerView
from grambench.models.filters.histories import Markers, PackedHistories, kept_tokens, pack_histories
from grambench.models.lengths import bucket_bounds, falling_order
from grambench.transfer import read, sent

if TYPE_CHECKING:
    from transformers import GPT2LMHeadModel


class LMKT(AnswerFilter):
    """A causal language model, queried for the token after every <A>.

    Trained on these tokens only, because only they are scored. The authors' code trains on the tokens of
    the questions too, as any language model is: that costs the logits of every position, and teaches the
    model to write questions, which nothing here asks of it.
    """

    language_model: Any

    def __init__(
        self,
        language_model: "GPT2LMHeadModel",
        markers: Markers,
        tokens: NDArray[np.int32],
        token_offsets: NDArray[np.int64],
        *,
        context: int | None = None,
        call_tokens: int = 16384,
        autocast: bool = False,
    ) -> None:
        """
        Args:
            language_model: its embeddings already hold the markers' (`resize_token_embeddings`).
            markers: ids of <Q>, <A>, <Y> and <N>.
            tokens: token ids of all items, without special ones.
            token_offsets: [I + 1] item i's tokens lie between offsets i and i + 1.
            context: most tokens of a row; None: as many as the model has positions.
            call_tokens: most token positions, padding included, in one call of the model.
            autocast: run the model in bf16 autocast (CUDA only).

        Raises:
            ValueError: a marker lies outside the model's vocabulary, or the context outside its positions.
        """
        super().__init__()
        config = language_model.config
        largest = max(markers.question, markers.answer, markers.correct, markers.wrong)
        if largest >= config.vocab_size:
            raise ValueError(f"marker {largest} is not among the {config.vocab_size} tokens")
        self.context = context or int(config.n_positions)
        if self.context > config.n_positions:
            raise ValueError(f"a context of {context} tokens is above the model's {config.n_positions}")
        self.language_model = language_model
        self.markers = markers
        self.tokens, self.token_offsets = tokens, token_offsets
        self.call_tokens, self.autocast = call_tokens, autocast

    @property
    def revision(self) -> str | None:
        """Commit of the pretrained weights on the hub; None: not from the hub."""
        found: str | None = getattr(self.language_model.config, "_commit_hash", None)
        return found

    def loss(self, item_vectors_ND: Tensor, view: AnswerView) -> Tensor:
        """Cross-entropy of <Y> or <N> among all V tokens, SUMMED over the answers; reads no vectors."""
        losses = [
            functional.cross_entropy(logits_KV, verdicts_K, reduction="sum")
            for _, logits_KV, verdicts_K in self._calls(self.packed(view))
        ]
        return torch.stack(losses).sum()

    def scores(self, item_vectors_ND: Tensor, view: AnswerView) -> Tensor:
        """log P(<Y>) − log P(<N>) [B, L] at each answer; 0 at padding; reads no vectors.

        Its logistic function is P(<Y>) / (P(<Y>) + P(<N>)), the probability of a right answer.
        """
        found_A = torch.empty(int(read(view.mask_BL.sum())), device=view.mask_BL.device)
        for numbers_K, logits_KV, _ in self._calls(self.packed(view)):
            scores_K = logits_KV[:, self.markers.correct] - logits_KV[:, self.markers.wrong]
            found_A = found_A.to(scores_K.dtype).index_copy(0, numbers_K, scores_K)
        logits_BL = found_A.new_zeros(view.mask_BL.shape)
        return logits_BL.masked_scatter(view.mask_BL, found_A)

    def packed(self, view: AnswerView) -> PackedHistories:
        """The view's answers as rows of tokens, on the host."""
        mask_BL = read(view.mask_BL)
        items_A = view.host_items_N[read(view.asked_BL)[mask_BL]]
        offsets = np.concatenate(([0], np.cumsum(mask_BL.sum(axis=1))))
        correct_A = read(view.correct_BL)[mask_BL]
        return pack_histories(
            items_A, correct_A, offsets, self.tokens, self.token_offsets, self.markers, self.context
        )

    def positions(self, view: AnswerView) -> int:
        """Token positions of the calls for a view, padding included."""
        lengths_S = self.packed(view).lengths_S
        bounds = self._bounds(lengths_S[falling_order(lengths_S)])
        return sum((stop - start) * length for start, stop, length in bounds)

    def limits(self) -> str:
        """What the context cuts off, in words."""
        most = kept_tokens(self.context)
        cut = int((np.diff(self.token_offsets) > most).sum())
        return (
            f"rows of {self.context:,} tokens; {cut:,} of {len(self.token_offsets) - 1:,} questions cut to"
            f" {most:,} tokens"
        )

    def _bounds(self, lengths_S: NDArray[np.int64]) -> Iterator[tuple[int, int, int]]:
        """Of calls, over rows of falling length: first row, end, and length of a row."""
        return bucket_bounds(lengths_S, self.call_tokens, self.call_tokens // 8)

    def _calls(self, packed: PackedHistories) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Rows of like length together: numbers [K] of answers, logits [K, V] after <A>, and verdicts."""
        device = next(self.parameters()).device
        order_S = falling_order(packed.lengths_S)
        place_S = np.argsort(order_S)
        by_place = np.argsort(place_S[packed.rows_A], kind="stable")
        places = place_S[packed.rows_A][by_place]
        for start, stop, length in self._bounds(packed.lengths_S[order_S]):
            low, high = np.searchsorted(places, (start, stop))
            numbers_K = by_place[low:high]
            ids_SL = _on(packed.ids_SL[order_S[start:stop], :length], device)
            rows_K = _on(places[low:high] - start, device)
            positions_K = _on(packed.positions_A[numbers_K], device)
            verdicts_K = ids_SL[rows_K, positions_K]
            yield _on(numbers_K, device), self._logits(ids_SL, rows_K, positions_K - 1), verdicts_K

    def _logits(self, ids_SL: Tensor, rows_K: Tensor, positions_K: Tensor) -> Tensor:
        """Logits [K, V] at positions of rows: no others are computed.

        Attention is causal and padding comes last, so that no mask is needed.
        """
        with torch.autocast(ids_SL.device.type, dtype=torch.bfloat16, enabled=self.autocast):
            hidden_SLD = self.language_model.transformer(input_ids=ids_SL, use_cache=False).last_hidden_state
            logits_KV: Tensor = self.language_model.lm_head(hidden_SLD[rows_K, positions_K])
        return logits_KV.float() if self.autocast else logits_KV


def _on(array: NDArray[np.int64], device: torch.device) -> Tensor:
    return sent(torch.from_numpy(array), device)
