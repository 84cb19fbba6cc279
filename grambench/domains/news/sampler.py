"""Training batches of news: drawn once per (seed, epoch, step), the same for every strategy.

A training sample is one clicked candidate with its impression's history; its negatives are drawn
from the unclicked candidates of the same impression. Legend: S samples, B users of a batch,
H history positions, K negatives, C = 1 + K candidates.
"""

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from grambench.data.batches import counter
from grambench.data.batches.base import Samples
from grambench.data.batches.epochs import EpochSampler
from grambench.domains.news.batch import NewsBatch
from grambench.domains.news.impressions import Part
from grambench.errors import DataError
from grambench.transfer import stored

_CHUNK = 1 << 16
"""Candidates indexed at once; at least those of one impression."""


class NewsSampler(EpochSampler[NewsBatch]):
    """Draws clicks with their histories and negatives."""

    batch_type = NewsBatch
    drawn_ahead, collected = 1 << 12, 1 << 15

    def __init__(
        self,
        part: Part,
        *,
        seed: int,
        batch_size: int,
        negatives: int,
        history: int,
        epochs: int,
        max_steps: int | None,
        device: torch.device,
        resident: bool = True,
    ) -> None:
        """Index the clicked candidates of `part`.

        `resident`: keep the interactions and draw samples on `device`; else on the host, and copy block by
        block. The draws are the same.

        Impressions without a click yield no samples, nor do those without an unclicked candidate, which
        have no negatives (`one_class` counts both).

        Raises:
            DataError: no impression yields a sample.
        """
        super().__init__(seed, batch_size, device, resident)
        self.negatives, self.history = negatives, history
        self.history_items = stored(part.history_items, device, resident)
        self.history_offsets = stored(part.history_offsets, device, resident)
        self.candidate_items = stored(part.candidate_items, device, resident)
        self._index_samples(part, resident)
        if not len(self.sample_impression):
            raise DataError(
                "The train part has no impression with both a clicked and an unclicked candidate.",
                "Check the data with `grambench data verify`.",
            )
        self.plan(len(self.sample_impression), epochs, max_steps)

    def _index_samples(self, part: Part, resident: bool) -> None:
        """Indices of the samples' clicks, and of unclicked candidates grouped by impression.

        On the host and chunk by chunk, so that no temporary arrays have the size of the candidates.
        """
        offsets, dtype = np.asarray(part.candidate_offsets), _index_type(part)
        sizes_M = np.diff(offsets)
        clicks_M = np.zeros(len(sizes_M), dtype)
        for rows, labels_C, row_C in _chunks(part):
            clicks_M[rows] = np.bincount(row_C[labels_C == 1], minlength=rows.stop - rows.start)
        trainable_M = (clicks_M > 0) & (clicks_M < sizes_M)
        self.one_class = int(np.count_nonzero(~trainable_M))
        unclicked_M = (sizes_M - clicks_M).astype(dtype)
        impression_S = np.empty(clicks_M[trainable_M].sum(dtype=np.int64), dtype)
        candidate_S = np.empty_like(impression_S)
        unclicked_C = np.empty(unclicked_M.sum(dtype=np.int64), dtype)
        samples = unclicked = 0
        for rows, labels_C, row_C in _chunks(part):
            first = offsets[rows.start]
            clicked_N = np.flatnonzero((labels_C == 1) & trainable_M[rows][row_C])
            impression_S[samples : samples + len(clicked_N)] = row_C[clicked_N] + rows.start
            candidate_S[samples : samples + len(clicked_N)] = clicked_N + first
            samples += len(clicked_N)
            unclicked_N = np.flatnonzero(labels_C == 0)
            unclicked_C[unclicked : unclicked + len(unclicked_N)] = unclicked_N + first
            unclicked += len(unclicked_N)
        start_M = (unclicked_M.cumsum(dtype=np.int64) - unclicked_M).astype(dtype)
        self.sample_impression = stored(impression_S, self.device, resident)
        self.sample_candidate = stored(candidate_S, self.device, resident)
        self.unclicked = stored(unclicked_C, self.device, resident)
        self.unclicked_count = stored(unclicked_M, self.device, resident)
        self.unclicked_start = stored(start_M, self.device, resident)

    def draw(self, epoch: int, samples_S: Tensor) -> Samples:
        """Clicks, the mask of those that are not padding, and candidates."""
        return *self._histories(samples_S), self._candidates(epoch, samples_S)

    def _histories(self, samples_B: Tensor) -> tuple[Tensor, Tensor]:
        """The latest clicks, left-padded: ids and mask [B, H]."""
        impression_B = self.sample_impression[samples_B].long()
        return latest_clicks(self.history_items, self.history_offsets, impression_B, self.history)

    def _candidates(self, epoch: int, samples_B: Tensor) -> Tensor:
        """The clicked candidate and K unclicked ones [B, 1 + K].

        If the impression has at least K unclicked candidates, Floyd's algorithm samples without replacement;
        otherwise they are taken cyclically from a random start.
        """
        impression_B = self.sample_impression[samples_B].long()
        count_B = self.unclicked_count[impression_B].long()
        draw_key = counter.key(self.seed, counter.Purpose.NEGATIVES, epoch)
        enough_B = count_B >= self.negatives
        start_B = counter.integers(draw_key, samples_B * self.negatives, count_B)
        chosen: list[Tensor] = []
        for k in range(self.negatives):
            top_B = (count_B - self.negatives + k).clamp(min=0)
            drawn_B = counter.integers(draw_key, samples_B * self.negatives + k, top_B + 1)
            taken_B = torch.zeros_like(enough_B)
            for earlier_B in chosen:
                taken_B |= earlier_B == drawn_B
            floyd_B = torch.where(taken_B, top_B, drawn_B)
            chosen.append(torch.where(enough_B, floyd_B, (start_B + k) % count_B))
        position_BK = self.unclicked_start[impression_B, None] + torch.stack(chosen, dim=1)
        negatives_BK = self.candidate_items[self.unclicked[position_BK].long()]
        clicked_B1 = self.candidate_items[self.sample_candidate[samples_B].long(), None]
        return torch.cat((clicked_B1, negatives_BK), dim=1).long()


def sampler_bytes(part: Part) -> int:
    """Bytes that a `NewsSampler` keeps of a part; an upper bound if some impressions have only clicks.

    In addition to the arrays: indices (two per click, one per unclicked candidate, two per impression), and
    an epoch's order of the clicks.
    """
    read = (part.history_items, part.history_offsets, part.candidate_items)
    clicks, candidates = int(np.count_nonzero(part.candidate_labels)), len(part.candidate_labels)
    indexed = 2 * clicks + (candidates - clicks) + 2 * (len(part.candidate_offsets) - 1)
    order = clicks * np.dtype(np.int64).itemsize
    return sum(array.nbytes for array in read) + indexed * np.dtype(_index_type(part)).itemsize + order


def _index_type(part: Part) -> type[np.int32] | type[np.int64]:
    """The smallest type that holds every index into the part."""
    return np.int32 if len(part.candidate_labels) < 2**31 else np.int64


def _chunks(part: Part) -> Iterator[tuple[slice, NDArray[np.int8], NDArray[np.intp]]]:
    """Slices of impressions, the labels of their candidates, and each candidate's row within the slice."""
    offsets = np.asarray(part.candidate_offsets)
    start, count = 0, len(offsets) - 1
    while start < count:
        stop = int(np.searchsorted(offsets, offsets[start] + _CHUNK, side="right")) - 1
        stop = min(max(stop, start + 1), count)
        labels_C = np.asarray(part.candidate_labels[offsets[start] : offsets[stop]])
        yield (
            slice(start, stop),
            labels_C,
            np.repeat(np.arange(stop - start), np.diff(offsets[start : stop + 1])),
        )
        start = stop


def latest_clicks(
    history_items: Tensor, history_offsets: Tensor, impression_B: Tensor, most: int
) -> tuple[Tensor, Tensor]:
    """The last `most` clicks of impressions, left-padded with 0: ids [B, H] and mask [B, H], H ≥ 1."""
    stop_B = history_offsets[impression_B + 1]
    length_B = (stop_B - history_offsets[impression_B]).clamp(max=most)
    back_H = torch.arange(most, 0, -1, device=impression_B.device)
    mask_BH = back_H <= length_B[:, None]
    index_BH = (stop_B[:, None] - back_H).where(mask_BH, 0)
    if not len(history_items):  # there are no clicks at all
        return torch.zeros_like(index_BH), mask_BH
    return history_items[index_BH].long().where(mask_BH, 0), mask_BH
