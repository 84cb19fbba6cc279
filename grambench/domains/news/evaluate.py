"""Ranking metrics of one part.

Legend: M impressions, B impressions of a block, H history positions, C candidates of a block.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from grambench.domains import evaluation
from grambench.domains.evaluation import Evaluation, PartEvaluator, UserScores
from grambench.domains.news.impressions import Part
from grambench.domains.news.sampler import latest_clicks
from grambench.metrics.ranking import ranking_scores
from grambench.models.filters.base import RankingView, Scorer
from grambench.transfer import read, sent


class RankingEvaluator(PartEvaluator):
    """Scores a fixed set of impressions of one part."""

    block = 1024

    def __init__(self, part: Part, *, history: int, max_impressions: int | None, **options: Any) -> None:
        """`options`: those of `PartEvaluator`."""
        super().__init__(len(part.candidate_offsets) - 1, max_impressions, **options)
        self.samples_M = self.samples_M.sort().values
        self.history = history
        self.history_items = self.stored(part.history_items)
        self.history_offsets = self.stored(part.history_offsets)
        self.candidate_items = self.stored(part.candidate_items)
        self.candidate_offsets = self.stored(part.candidate_offsets)
        self.labels = np.asarray(part.candidate_labels)
        self.users = part.users
        self.find_items()

    def rows(self, whole: bool, width: int) -> int:
        """Impressions per block: unless `whole`, limited so that gathered clicks fit `WHOLE_NUMBERS`."""
        if whole:
            return self.block
        return min(self.block, max(1, evaluation.WHOLE_NUMBERS // (3 * width * self.history)))

    def read_items(self, block_B: Tensor) -> Sequence[Tensor]:
        """Clicks and candidates."""
        clicks_BH, mask_BH = self._histories(block_B)
        return clicks_BH[mask_BH], self.candidate_items[self._candidates(block_B)[0]].long()

    def score(self, scorer: Scorer, block_B: Tensor) -> Tensor:
        """A score for each candidate [C]."""
        clicks_BH, mask_BH = self._histories(block_B)
        place_C, row_C = self._candidates(block_B)
        view = RankingView(
            history_BH=self.slots(clicks_BH, mask_BH),
            mask_BH=sent(mask_BH, self.device),
            candidates=self.slots(self.candidate_items[place_C].long()),
            candidate_rows=sent(row_C, self.device),
            clicks_B=read(mask_BH.sum(dim=1)),
        )
        return scorer(view)

    def evaluation(self, scores_A: NDArray[Any]) -> Evaluation:
        """Means over the impressions."""
        sizes_M = read(self.candidate_offsets.diff()[self.samples_M])
        blocks = self.samples_M.split(self.block)
        labels_A = np.concatenate([self.labels[read(self._candidates(block_B)[0])] for block_B in blocks])
        ranked = ranking_scores(labels_A, scores_A, np.concatenate(([0], np.cumsum(sizes_M))))

        def by_user() -> UserScores:
            values_M = np.full(len(sizes_M), np.nan)
            values_M[ranked.scored] = ranked.auc
            return UserScores(values_M, self.users[read(self.samples_M)])

        return Evaluation(ranked.means(), len(sizes_M), ranked.skipped, self.sampled, ranked, by_user)

    def _histories(self, block_B: Tensor) -> tuple[Tensor, Tensor]:
        return latest_clicks(self.history_items, self.history_offsets, block_B, self.history)

    def _candidates(self, block_B: Tensor) -> tuple[Tensor, Tensor]:
        """Places of the block's candidates in the ragged arrays, and each one's row in the block."""
        start_B = self.candidate_offsets[block_B]
        size_B = self.candidate_offsets[block_B + 1] - start_B
        row_C = torch.repeat_interleave(torch.arange(len(block_B), device=self.stored_on), size_B)
        before_B = size_B.cumsum(0) - size_B
        within_C = torch.arange(len(row_C), device=self.stored_on) - before_B[row_C]
        return start_B[row_C] + within_C, row_C
