"""Ranking metrics of one part: its items encoded once, its impressions scored in blocks.

Legend: K items of the part, U items of a block, M impressions, B impressions of a block, D width.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from grambench.data.batches import counter
from grambench.data.batches.epochs import distinct
from grambench.domains import evaluation
from grambench.domains.evaluation import Evaluation, encode_all
from grambench.domains.news.impressions import Part
from grambench.domains.news.sampler import latest_clicks
from grambench.metrics.ranking import ranking_scores
from grambench.models.encoders.buckets import ItemEncoder
from grambench.models.filters.nrms import NRMS
from grambench.transfer import HOST, host_reads, read, sent, stored

_BLOCK = 1024


class RankingEvaluator:
    """Scores a fixed set of impressions of one part."""

    def __init__(
        self,
        part: Part,
        *,
        history: int,
        max_impressions: int | None,
        device: torch.device,
        resident: bool = True,
        between: Callable[[], None] = lambda: None,
    ) -> None:
        """With `max_impressions`, a fixed sample of so many, the same for every strategy and seed.

        `resident`: the interactions are kept on `device`; else on the host.
        `between` is called before each block.
        """
        self.history, self.device, self.between = history, device, between
        self.stored_on = device if resident else HOST
        self.history_items = stored(part.history_items, device, resident)
        self.history_offsets = stored(part.history_offsets, device, resident)
        self.candidate_items = stored(part.candidate_items, device, resident)
        self.candidate_offsets = stored(part.candidate_offsets, device, resident)
        self.labels = np.asarray(part.candidate_labels)
        count = len(part.candidate_offsets) - 1
        self.sampled = max_impressions is not None and max_impressions < count
        chosen_M = torch.arange(count, device=self.stored_on)
        if self.sampled:
            shuffled = counter.permutation(counter.key(counter.Purpose.SAMPLE), count, self.stored_on)
            chosen_M = shuffled[:max_impressions].sort().values
        self.impressions_M = chosen_M
        self.items_K = self._items()

    def __call__(self, encode: ItemEncoder, user_model: NRMS) -> Evaluation:
        """Encode the part's items in evaluation mode without a graph, score, rank.

        The item vectors are the only thing of the catalogue's size. Their projections would be three times
        as much (9.2 GB for 10^6 items of 768 features), so they are made for all items at once only where
        they are few; else for each block of impressions anew, of the items clicked there: an item that many
        blocks read is projected for each of them, which costs little beside its encoding.
        """
        was_training = user_model.training
        encode.encoder.eval()
        user_model.eval()
        try:
            with torch.no_grad():
                table_KD = encode_all(encode, read(self.items_K))
                pieces = self._scores(table_KD, user_model)
        finally:
            encode.encoder.train(was_training)
            user_model.train(was_training)
        sizes = read(self.candidate_offsets.diff()[self.impressions_M])
        offsets = np.concatenate(([0], np.cumsum(sizes)))
        blocks = self.impressions_M.split(_BLOCK)
        labels = np.concatenate([self.labels[read(self._candidates(block)[0])] for block in blocks])
        scores = read(torch.cat(pieces).float())
        ranked = ranking_scores(labels, scores, offsets)
        return Evaluation(ranked.means(), len(sizes), ranked.skipped, self.sampled, ranked)

    def _items(self) -> Tensor:
        """Distinct items that the impressions read, ascending."""
        found = []
        for block_B in self.impressions_M.split(_BLOCK):
            clicks_BH, mask_BH = self._histories(block_B)
            candidates = self.candidate_items[self._candidates(block_B)[0]].long()
            found.append(distinct([clicks_BH[mask_BH], candidates]))
        return distinct(found)

    def _histories(self, block_B: Tensor) -> tuple[Tensor, Tensor]:
        return latest_clicks(self.history_items, self.history_offsets, block_B, self.history)

    def _candidates(self, block_B: Tensor) -> tuple[Tensor, Tensor]:
        """Positions of the block's candidates in the ragged arrays, and each one's row in the block."""
        start_B = self.candidate_offsets[block_B]
        size_B = self.candidate_offsets[block_B + 1] - start_B
        row = torch.repeat_interleave(torch.arange(len(block_B), device=self.stored_on), size_B)
        before_B = size_B.cumsum(0) - size_B
        within = torch.arange(len(row), device=self.stored_on) - before_B[row]
        return start_B[row] + within, row

    def _scores(self, table_KD: Tensor, user_model: NRMS) -> list[Tensor]:
        width = 3 * table_KD.shape[1]
        if len(table_KD) * width <= evaluation.WHOLE_NUMBERS:
            projected_K3D, rows = user_model.project(table_KD), _BLOCK
        else:  # a block's clicks are projected, and gathered, in no more numbers than that
            projected_K3D, rows = (
                None,
                min(_BLOCK, max(1, evaluation.WHOLE_NUMBERS // (width * self.history))),
            )
        blocks = self.impressions_M.split(rows)
        return [self._score(block, table_KD, projected_K3D, user_model) for block in blocks]

    def _score(
        self, block_B: Tensor, table_KD: Tensor, projected_K3D: Tensor | None, user_model: NRMS
    ) -> Tensor:
        self.between()
        clicks_BH, mask_BH = self._histories(block_B)
        slots_BH = torch.searchsorted(self.items_K, clicks_BH).clamp(max=len(self.items_K) - 1)
        history_BH = sent(slots_BH.where(mask_BH, 0), self.device)
        clicks_B = read(mask_BH.sum(dim=1))
        if projected_K3D is None:
            with host_reads():
                items_U, history_BH = history_BH.unique(return_inverse=True)
            projected_K3D = user_model.project(table_KD[items_U])
        users_BD = user_model.users(projected_K3D, history_BH, sent(mask_BH, self.device), clicks_B)
        position, row = self._candidates(block_B)
        slots_C = torch.searchsorted(self.items_K, self.candidate_items[position].long())
        vectors_CD = table_KD[sent(slots_C, self.device)]
        scores_C: Tensor = (vectors_CD * users_BD[sent(row, self.device)]).sum(dim=1)
        return scores_C
