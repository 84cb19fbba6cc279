"""Training batches of news: drawn once per (seed, epoch, step), the same for every strategy.

A training sample is one clicked candidate with its impression's history; its negatives are drawn
from the unclicked candidates of the same impression. Legend: S samples, B users of a batch,
H history positions, K negatives, C = 1 + K candidates.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from grambench.data import counter
from grambench.data.batch import NewsBatch, Place
from grambench.data.block import Block
from grambench.data.prepared import Part
from grambench.errors import DataError
from grambench.transfer import HOST, host_reads, read, sent, stored

SHUFFLE, NEGATIVES = 1, 2
_BLOCK = 1 << 15
"""Samples drawn at once when the items of a window are collected."""
_AHEAD = 1 << 12
"""Samples drawn and indexed at once for the steps to come, the current one included."""


@dataclass(frozen=True, slots=True)
class _Drawn:
    """Samples of some steps in a row."""

    first_step: int
    history_SH: Tensor
    mask_SH: Tensor
    candidates_SC: Tensor
    block: Block


class NewsSampler:
    """Draws batches on `device`, vectorised, without a Python loop over samples."""

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

        `resident`: the interactions are kept, and samples drawn, on `device`; else on the host, from
        where each block of samples is copied. The draws are the same.

        An impression without a click yields no sample; one without an unclicked candidate has no
        negative and yields none either (`one_class` counts both).

        Raises:
            DataError: no impression yields a sample.
        """
        self.seed, self.batch_size, self.negatives = seed, batch_size, negatives
        self.history, self.device = history, device
        self.stored_on = device if resident else HOST
        names = (
            "history_items",
            "history_offsets",
            "candidate_items",
            "candidate_labels",
            "candidate_offsets",
        )
        kept = {name: stored(getattr(part, name), device, resident) for name in names}
        self.history_items, self.history_offsets = kept["history_items"], kept["history_offsets"]
        self.candidate_items = kept["candidate_items"]
        self._index_samples(kept["candidate_labels"].long(), kept["candidate_offsets"])
        self.samples = len(self.sample_impression)
        if not self.samples:
            raise DataError(
                "The train part has no impression with both a clicked and an unclicked candidate.",
                "Check the data with `grambench data verify`.",
            )
        self.steps_per_epoch = -(-self.samples // batch_size)
        whole = epochs * self.steps_per_epoch
        self.total_steps = min(whole, max_steps) if max_steps else whole
        self._order: tuple[int, Tensor] | None = None
        self._drawn: _Drawn | None = None

    def _index_samples(self, labels: Tensor, offsets: Tensor) -> None:
        sizes = offsets.diff()
        impression = torch.repeat_interleave(torch.arange(len(sizes), device=self.stored_on), sizes)
        clicks = torch.zeros_like(sizes).index_add_(0, impression, labels)
        trainable = (clicks > 0) & (clicks < sizes)
        self.one_class = int((~trainable).sum())
        clicked = (labels == 1) & trainable[impression]
        self.sample_impression = impression[clicked]
        self.sample_candidate = clicked.nonzero().squeeze(1)
        # unclicked candidates, grouped by impression
        self.unclicked = (labels == 0).nonzero().squeeze(1)
        self.unclicked_count = sizes - clicks
        self.unclicked_start = self.unclicked_count.cumsum(0) - self.unclicked_count

    def batch(self, step: int) -> NewsBatch:
        """The batch of CF step `step`, counted from 0 over all epochs."""
        epoch, within = divmod(step, self.steps_per_epoch)
        per_block = max(1, _AHEAD // self.batch_size)
        first = within - within % per_block
        if self._drawn is None or self._drawn.first_step != step - within + first:
            self._drawn = self._draw(epoch, first, min(first + per_block, self.steps_per_epoch))
        drawn, number = self._drawn, within - first
        rows = slice(drawn.block.step_starts[number], drawn.block.step_ends[number])
        return NewsBatch(
            epoch,
            step,
            within + 1 == self.steps_per_epoch,
            step + 1 == self.total_steps,
            drawn.history_SH[rows],
            drawn.mask_SH[rows],
            drawn.candidates_SC[rows],
            Place(drawn.block, number, rows),
        )

    def _draw(self, epoch: int, first: int, last: int) -> "_Drawn":
        """The samples of the steps `first` to `last` (excluded) of an epoch."""
        start, stop = first * self.batch_size, min(last * self.batch_size, self.samples)
        samples_S = self._epoch_order(epoch)[start:stop]
        history_SH, mask_SH = self._histories(samples_S)
        candidates_SC = self._candidates(epoch, samples_S)
        history_SH, mask_SH, candidates_SC = (
            sent(drawn, self.device) for drawn in (history_SH, mask_SH, candidates_SC)
        )
        ends = [*range(self.batch_size, stop - start, self.batch_size), stop - start]
        block = Block.of(history_SH, mask_SH, candidates_SC, ends)
        return _Drawn(epoch * self.steps_per_epoch + first, history_SH, mask_SH, candidates_SC, block)

    def items_ahead(self, step: int, steps: int) -> NDArray[np.int64]:
        """Distinct item ids, ascending, of the batches of `steps` steps from `step` on."""
        found: list[Tensor] = []
        last = min(step + steps, self.total_steps)
        while step < last:
            epoch, within = divmod(step, self.steps_per_epoch)
            count = min(last - step, self.steps_per_epoch - within)
            rows = slice(within * self.batch_size, (within + count) * self.batch_size)
            for samples_B in self._epoch_order(epoch)[rows].split(_BLOCK):
                history_BH, mask_BH = self._histories(samples_B)
                candidates_BC = self._candidates(epoch, samples_B)
                with host_reads():
                    found.append(distinct([history_BH[mask_BH], candidates_BC.flatten()]))
            step += count
        with host_reads():
            return read(distinct(found))

    def _epoch_order(self, epoch: int) -> Tensor:
        if self._order is None or self._order[0] != epoch:
            draw_key = counter.key(self.seed, SHUFFLE, epoch)
            self._order = epoch, counter.permutation(draw_key, self.samples, self.stored_on)
        return self._order[1]

    def _histories(self, samples_B: Tensor) -> tuple[Tensor, Tensor]:
        """The latest clicks, left-padded: ids and mask [B, H]."""
        impression_B = self.sample_impression[samples_B]
        return latest_clicks(self.history_items, self.history_offsets, impression_B, self.history)

    def _candidates(self, epoch: int, samples_B: Tensor) -> Tensor:
        """The clicked candidate and K unclicked ones [B, 1 + K].

        Without repetition by Floyd's algorithm where the impression has K unclicked candidates;
        where it has fewer, they are taken in turn from a random start.
        """
        impression_B = self.sample_impression[samples_B]
        count_B = self.unclicked_count[impression_B]
        draw_key = counter.key(self.seed, NEGATIVES, epoch)
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
        negatives_BK = self.candidate_items[self.unclicked[position_BK]]
        clicked_B1 = self.candidate_items[self.sample_candidate[samples_B], None]
        return torch.cat((clicked_B1, negatives_BK), dim=1).long()


def distinct(ids: Sequence[Tensor]) -> Tensor:
    """The distinct values of several tensors, ascending."""
    found: Tensor = torch.cat(list(ids)).unique()
    return found


def latest_clicks(
    history_items: Tensor, history_offsets: Tensor, impression_B: Tensor, most: int
) -> tuple[Tensor, Tensor]:
    """The last `most` clicks of impressions, left-padded with 0: ids [B, H] and mask [B, H], H ≥ 1."""
    stop_B = history_offsets[impression_B + 1]
    length_B = (stop_B - history_offsets[impression_B]).clamp(max=most)
    back_H = torch.arange(most, 0, -1, device=impression_B.device)
    mask_BH = back_H <= length_B[:, None]
    index_BH = (stop_B[:, None] - back_H).where(mask_BH, 0)
    if not len(history_items):  # nobody has clicked anything
        return torch.zeros_like(index_BH), mask_BH
    return history_items[index_BH].long().where(mask_BH, 0), mask_BH
