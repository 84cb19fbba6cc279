"""AUC of one part of a knowledge-tracing data set: its items encoded once, its answers scored in blocks.

A sequence longer than the filter reads keeps its last answers. Legend: K items of the part, S sequences,
B sequences of a block, L positions, A scored answers.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from grambench.data.batches import counter
from grambench.data.batches.epochs import distinct
from grambench.domains.evaluation import Evaluation, encode_all
from grambench.domains.knowledge_tracing.sampler import windows_at
from grambench.domains.knowledge_tracing.sequences import Sequences
from grambench.metrics.binary import auc, bootstrap_auc
from grambench.models.encoders.buckets import ItemEncoder
from grambench.transfer import HOST, read, sent, stored

_BLOCK = 256


class AnswerFilter(Protocol):
    """A filter of answers (an `nn.Module`)."""

    training: bool

    def train(self, mode: bool) -> Any: ...

    def logits(self, item_vectors_ND: Tensor, view: Any) -> Tensor:
        """Logit [B, L] of a right answer at each position; anything at padding."""
        ...


@dataclass(frozen=True, slots=True)
class _View:
    """Sequences of a block over the part's items."""

    host_items_N: NDArray[np.int64]
    asked_BL: Tensor
    mask_BL: Tensor
    correct_BL: Tensor


class AnswerEvaluator:
    """Scores the answers of a fixed set of sequences of one part."""

    def __init__(
        self,
        part: Sequences,
        cold_items: NDArray[np.int32],
        *,
        length: int,
        max_sequences: int | None,
        device: torch.device,
        resident: bool = True,
        between: Callable[[], None] = lambda: None,
    ) -> None:
        """With `max_sequences`, a fixed sample of so many, the same for every strategy and seed.

        `resident`: the answers are kept on `device`; else on the host.
        `between` is called before each block.
        """
        self.length, self.device, self.between = length, device, between
        self.stored_on = device if resident else HOST
        self.items = stored(part.items, device, resident)
        self.correct = stored(part.correct, device, resident)
        self.scored = stored(part.scored, device, resident)
        offsets = stored(part.offsets, device, resident)
        self.sampled = max_sequences is not None and max_sequences < len(part)
        chosen_S = torch.arange(len(part), device=self.stored_on)
        if self.sampled:
            shuffled = counter.permutation(counter.key(counter.Purpose.SAMPLE), len(part), self.stored_on)
            chosen_S = shuffled[:max_sequences]
        sizes_S = offsets.diff()[chosen_S]
        chosen_S = chosen_S[sizes_S.argsort(stable=True)]  # like lengths share a block
        self.count_S = offsets.diff()[chosen_S].clamp(max=length)
        self.first_S = offsets[chosen_S + 1] - self.count_S
        self._place_items(cold_items)

    def _place_items(self, cold_items: NDArray[np.int32]) -> None:
        items, asked, labels = [], [], []
        for rows_B in torch.arange(len(self.count_S)).split(_BLOCK):
            asked_BL, mask_BL, correct_BL, scored_BL = self._block(rows_B)
            items.append(distinct([asked_BL[mask_BL]]))
            asked.append(read(asked_BL[scored_BL]))
            labels.append(read(correct_BL[scored_BL]))
        self.items_K = distinct(items)
        self.host_items_K = read(self.items_K)
        self.is_cold_A = np.isin(np.concatenate(asked), cold_items)
        self.labels_A = np.concatenate(labels)

    def __call__(self, encode: ItemEncoder, tracer: AnswerFilter) -> Evaluation:
        """Encode the part's items in evaluation mode without a graph, score the part's own answers."""
        was_training = tracer.training
        encode.encoder.eval()
        tracer.train(False)
        try:
            with torch.no_grad():
                table_KD = encode_all(encode, self.host_items_K)
                rows = torch.arange(len(self.count_S)).split(_BLOCK)
                scores_A = np.concatenate([self._scores(block, table_KD, tracer) for block in rows])
        finally:
            encode.encoder.train(was_training)
            tracer.train(was_training)
        metrics: dict[str, float | None] = {"auc": auc(self.labels_A, scores_A)}
        if self.is_cold_A.any():
            cold = self.labels_A[self.is_cold_A], scores_A[self.is_cold_A]
            interval = bootstrap_auc(*cold)
            metrics |= {
                "csauc": auc(*cold),
                "csauc_low": interval.low if interval else None,
                "csauc_high": interval.high if interval else None,
            }
        return Evaluation(metrics, len(scores_A), 0, self.sampled)

    def _block(self, rows_B: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Ids, mask, correctness and which answers are scored [B, L] of the last answers of sequences."""
        rows_B = rows_B.to(self.stored_on)
        count_B, first_B = self.count_S[rows_B], self.first_S[rows_B]
        longest = int(read(count_B.max()))
        asked_BL, mask_BL, correct_BL = windows_at(self.items, self.correct, first_B, count_B, longest)
        _, _, scored_BL = windows_at(self.items, self.scored, first_B, count_B, longest)
        return asked_BL, mask_BL, correct_BL, scored_BL == 1

    def _scores(self, rows_B: Tensor, table_KD: Tensor, tracer: AnswerFilter) -> NDArray[np.float32]:
        self.between()
        asked_BL, mask_BL, correct_BL, scored_BL = self._block(rows_B)
        slots_BL = torch.searchsorted(self.items_K, asked_BL).clamp(max=len(self.items_K) - 1)
        places_BL = sent(slots_BL.where(mask_BL, 0), self.device)
        view = _View(self.host_items_K, places_BL, sent(mask_BL, self.device), sent(correct_BL, self.device))
        logits_BL = tracer.logits(table_KD, view)
        scores: NDArray[np.float32] = read(logits_BL[sent(scored_BL, self.device)].float())
        return scores
