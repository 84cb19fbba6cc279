"""AUC of one part of a knowledge-tracing data set.

A sequence longer than the filter reads keeps its last answers. Legend: B sequences of a block, L positions,
A scored answers.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from grambench.analysis.clustered import auc_influence
from grambench.domains.evaluation import Evaluation, PartEvaluator, UserScores
from grambench.domains.knowledge_tracing.sampler import windows_at
from grambench.domains.knowledge_tracing.sequences import Sequences
from grambench.metrics.binary import auc, bootstrap_auc
from grambench.models.filters.base import AnswerView, Scorer
from grambench.transfer import read, sent


class AnswerEvaluator(PartEvaluator):
    """Scores the answers of a fixed set of sequences of one part."""

    block = 256

    def __init__(
        self,
        part: Sequences,
        cold_items: NDArray[np.int32],
        *,
        length: int,
        max_sequences: int | None,
        **options: Any,
    ) -> None:
        """`options`: those of `PartEvaluator`."""
        super().__init__(len(part), max_sequences, **options)
        self.length = length
        self.items = self.stored(part.items)
        self.correct = self.stored(part.correct)
        self.scored = self.stored(part.scored)
        self.offsets = self.stored(part.offsets)
        sizes_M = self.offsets.diff()[self.samples_M]
        self.samples_M = self.samples_M[sizes_M.argsort(stable=True)]  # like lengths share a block
        self.find_items()
        self._find_labels(cold_items, part.users)

    def _find_labels(self, cold_items: NDArray[np.int32], users: NDArray[np.int32]) -> None:
        asked, labels, students = [], [], []
        for block_B in self.samples_M.split(self.block):
            asked_BL, _, correct_BL, scored_BL = self._windows(block_B)
            asked.append(read(asked_BL[scored_BL]))
            labels.append(read(correct_BL[scored_BL]))
            students.append(np.repeat(users[read(block_B)], read(scored_BL.sum(dim=1))))
        self.is_cold_A = np.isin(np.concatenate(asked), cold_items)
        self.labels_A, self.students_A = np.concatenate(labels), np.concatenate(students)

    def read_items(self, block_B: Tensor) -> Sequence[Tensor]:
        """The items asked."""
        asked_BL, mask_BL, _, _ = self._windows(block_B)
        return (asked_BL[mask_BL],)

    def score(self, scorer: Scorer, block_B: Tensor) -> Tensor:
        """Logits of the part's own answers."""
        asked_BL, mask_BL, correct_BL, scored_BL = self._windows(block_B)
        view = AnswerView(
            host_items_N=self.host_items_K,
            asked_BL=self.slots(asked_BL, mask_BL),
            mask_BL=sent(mask_BL, self.device),
            correct_BL=sent(correct_BL, self.device),
        )
        return scorer(view)[sent(scored_BL, self.device)]

    def evaluation(self, scores_A: NDArray[Any]) -> Evaluation:
        """AUC of all answers, and that of the cold items with an interval."""
        metrics: dict[str, float | None] = {"auc": auc(self.labels_A, scores_A)}
        if self.is_cold_A.any():
            cold = self.labels_A[self.is_cold_A], scores_A[self.is_cold_A]
            interval = bootstrap_auc(*cold, self.students_A[self.is_cold_A])
            metrics |= {
                "csauc": auc(*cold),
                "csauc_low": interval.low if interval else None,
                "csauc_high": interval.high if interval else None,
            }

        def by_user() -> UserScores | None:
            found = auc_influence(scores_A, self.labels_A)
            return None if found is None else UserScores(found.influence_A, self.students_A)

        return Evaluation(metrics, len(scores_A), 0, self.sampled, by_user=by_user)

    def places(self, scores_A: NDArray[Any]) -> NDArray[np.integer]:
        """Places of the scored answers in the part."""
        found = []
        for block_B in self.samples_M.split(self.block):
            _, _, _, scored_BL = self._windows(block_B)
            stop_B = self.offsets[block_B + 1]
            first_B = stop_B - (stop_B - self.offsets[block_B]).clamp(max=self.length)
            row, within = scored_BL.nonzero(as_tuple=True)
            found.append(read(first_B[row] + within))
        return np.concatenate(found)

    def _windows(self, block_B: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Ids, mask, correctness and which answers are scored [B, L] of the last answers of sequences."""
        stop_B = self.offsets[block_B + 1]
        count_B = (stop_B - self.offsets[block_B]).clamp(max=self.length)
        first_B, longest = stop_B - count_B, int(read(count_B.max()))
        asked_BL, mask_BL, correct_BL = windows_at(self.items, self.correct, first_B, count_B, longest)
        _, _, scored_BL = windows_at(self.items, self.scored, first_B, count_B, longest)
        return asked_BL, mask_BL, correct_BL, scored_BL == 1
