"""Ranking metrics of one part: its items encoded once, its impressions scored in blocks.

Legend: K items of the part, M impressions, B impressions of a block, D width.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from grambench.data import counter
from grambench.data.prepared import Part
from grambench.data.sampler import distinct, latest_clicks, to_device
from grambench.metrics.ranking import RankingScores, ranking_scores
from grambench.models.encoders.buckets import ItemEncoder
from grambench.models.filters.nrms import NRMS

SAMPLE = 4
_BLOCK = 1024


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Scores of a part."""

    scores: RankingScores
    impressions: int
    sampled: bool


class RankingEvaluator:
    """Scores a fixed set of impressions of one part."""

    def __init__(
        self, part: Part, *, history: int, max_impressions: int | None, device: torch.device
    ) -> None:
        """With `max_impressions`, a fixed sample of so many, the same for every strategy and seed."""
        self.history, self.device = history, device
        self.history_items = to_device(part.history_items, device)
        self.history_offsets = to_device(part.history_offsets, device)
        self.candidate_items = to_device(part.candidate_items, device)
        self.candidate_offsets = to_device(part.candidate_offsets, device)
        self.labels = np.asarray(part.candidate_labels)
        count = len(part.candidate_offsets) - 1
        self.sampled = max_impressions is not None and max_impressions < count
        chosen_M = torch.arange(count, device=device)
        if self.sampled:
            shuffled = counter.permutation(counter.key(SAMPLE), count, device)
            chosen_M = shuffled[:max_impressions].sort().values
        self.impressions_M = chosen_M
        self.items_K = self._items()

    def __call__(self, encode: ItemEncoder, user_model: NRMS) -> Evaluation:
        """Encode the part's items in evaluation mode without a graph, score, rank."""
        was_training = user_model.training
        encode.encoder.eval()
        user_model.eval()
        try:
            with torch.no_grad():
                table_KD = encode(self.items_K)
                pieces = [
                    self._score(block, table_KD, user_model) for block in self.impressions_M.split(_BLOCK)
                ]
        finally:
            encode.encoder.train(was_training)
            user_model.train(was_training)
        sizes = self.candidate_offsets.diff()[self.impressions_M].cpu().numpy()
        offsets = np.concatenate(([0], np.cumsum(sizes)))
        labels = self.labels[self._candidates(self.impressions_M)[0].cpu().numpy()]
        scores = torch.cat(pieces).float().cpu().numpy()
        return Evaluation(ranking_scores(labels, scores, offsets), len(sizes), self.sampled)

    def _items(self) -> Tensor:
        """Distinct items that the impressions read, ascending."""
        found = []
        for block_B in self.impressions_M.split(_BLOCK):
            clicks_BH, mask_BH = self._histories(block_B)
            candidates = self.candidate_items[self._candidates(block_B)[0]]
            found.append(distinct([clicks_BH[mask_BH], candidates]))
        return distinct(found)

    def _histories(self, block_B: Tensor) -> tuple[Tensor, Tensor]:
        return latest_clicks(self.history_items, self.history_offsets, block_B, self.history)

    def _candidates(self, block_B: Tensor) -> tuple[Tensor, Tensor]:
        """Positions of the block's candidates in the ragged arrays, and each one's row in the block."""
        start_B = self.candidate_offsets[block_B]
        size_B = self.candidate_offsets[block_B + 1] - start_B
        row = torch.repeat_interleave(torch.arange(len(block_B), device=self.device), size_B)
        before_B = size_B.cumsum(0) - size_B
        within = torch.arange(len(row), device=self.device) - before_B[row]
        return start_B[row] + within, row

    def _score(self, block_B: Tensor, table_KD: Tensor, user_model: NRMS) -> Tensor:
        clicks_BH, mask_BH = self._histories(block_B)
        slots_BH = torch.searchsorted(self.items_K, clicks_BH).clamp(max=len(self.items_K) - 1)
        users_BD = user_model.users(table_KD[slots_BH.where(mask_BH, 0)], mask_BH)
        position, row = self._candidates(block_B)
        vectors_CD = table_KD[torch.searchsorted(self.items_K, self.candidate_items[position])]
        scores_C: Tensor = (vectors_CD * users_BD[row]).sum(dim=1)
        return scores_C
