"""Training batches of answer sequences: drawn once per (seed, epoch, step), the same for every strategy.

A training sample is one user; each epoch reads a window of the user's answers that begins at random.
Legend: S samples, B users of a batch, L positions of a window.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from grambench.data import counter
from grambench.data.answer_batch import AnswerBatch
from grambench.data.batch import Place
from grambench.data.block import Block
from grambench.data.sampler import SHUFFLE, distinct
from grambench.data.sequences import Sequences
from grambench.transfer import HOST, host_reads, read, sent, stored

WINDOWS = 3
_AHEAD = 1 << 10
"""Sequences drawn and indexed at once for the steps to come, the current one included."""
_BLOCK = 1 << 12
"""Sequences drawn at once when the items of a window are collected."""


@dataclass(frozen=True, slots=True)
class _Drawn:
    """Samples of some steps in a row."""

    first_step: int
    asked_SL: Tensor
    mask_SL: Tensor
    correct_SL: Tensor
    block: Block


class AnswerSampler:
    """Draws batches on `device`, vectorised, without a Python loop over samples."""

    def __init__(
        self,
        part: Sequences,
        *,
        seed: int,
        batch_size: int,
        length: int,
        epochs: int,
        max_steps: int | None,
        device: torch.device,
        resident: bool = True,
    ) -> None:
        """
        Args:
            part: the train part; its unscored answers are read like the others.
            seed: of the order and of the windows.
            batch_size: users in a batch.
            length: L, most answers in a window.
            epochs: most passes over the users.
            max_steps: most CF steps.
            device: where batches are wanted.
            resident: the answers are kept, and windows drawn, on `device`; else on the host.
        """
        self.seed, self.batch_size, self.length = seed, batch_size, length
        self.device, self.stored_on = device, device if resident else HOST
        self.items = stored(part.items, device, resident)
        self.correct = stored(part.correct, device, resident)
        self.offsets = stored(part.offsets, device, resident)
        self.samples = len(part)
        self.steps_per_epoch = -(-self.samples // batch_size)
        whole = epochs * self.steps_per_epoch
        self.total_steps = min(whole, max_steps) if max_steps else whole
        self._order: tuple[int, Tensor] | None = None
        self._drawn: _Drawn | None = None

    def batch(self, step: int) -> AnswerBatch:
        """The batch of CF step `step`, counted from 0 over all epochs."""
        epoch, within = divmod(step, self.steps_per_epoch)
        per_block = max(1, _AHEAD // self.batch_size)
        first = within - within % per_block
        if self._drawn is None or self._drawn.first_step != step - within + first:
            self._drawn = self._draw(epoch, first, min(first + per_block, self.steps_per_epoch))
        drawn, number = self._drawn, within - first
        rows = slice(drawn.block.step_starts[number], drawn.block.step_ends[number])
        return AnswerBatch(
            epoch,
            step,
            within + 1 == self.steps_per_epoch,
            step + 1 == self.total_steps,
            drawn.asked_SL[rows],
            drawn.mask_SL[rows],
            drawn.correct_SL[rows],
            Place(drawn.block, number, rows),
        )

    def items_ahead(self, step: int, steps: int) -> NDArray[np.int64]:
        """Distinct item ids, ascending, of the batches of `steps` steps from `step` on."""
        found: list[Tensor] = []
        last = min(step + steps, self.total_steps)
        while step < last:
            epoch, within = divmod(step, self.steps_per_epoch)
            count = min(last - step, self.steps_per_epoch - within)
            rows = slice(within * self.batch_size, (within + count) * self.batch_size)
            for samples_B in self._epoch_order(epoch)[rows].split(_BLOCK):
                asked_BL, mask_BL, _ = self._windows(epoch, samples_B)
                with host_reads():
                    found.append(distinct([asked_BL[mask_BL]]))
            step += count
        with host_reads():
            return read(distinct(found))

    def _draw(self, epoch: int, first: int, last: int) -> _Drawn:
        """The samples of the steps `first` to `last` (excluded) of an epoch."""
        start, stop = first * self.batch_size, min(last * self.batch_size, self.samples)
        drawn = self._windows(epoch, self._epoch_order(epoch)[start:stop])
        asked_SL, mask_SL, correct_SL = (sent(tensor, self.device) for tensor in drawn)
        ends = [*range(self.batch_size, stop - start, self.batch_size), stop - start]
        block = Block(asked_SL, mask_SL, ends)
        return _Drawn(epoch * self.steps_per_epoch + first, asked_SL, mask_SL, correct_SL, block)

    def _epoch_order(self, epoch: int) -> Tensor:
        if self._order is None or self._order[0] != epoch:
            draw_key = counter.key(self.seed, SHUFFLE, epoch)
            self._order = epoch, counter.permutation(draw_key, self.samples, self.stored_on)
        return self._order[1]

    def _windows(self, epoch: int, samples_B: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """A random window of each user: ids, mask and correctness [B, L]."""
        start_B = self.offsets[samples_B]
        count_B = self.offsets[samples_B + 1] - start_B
        draw_key = counter.key(self.seed, WINDOWS, epoch)
        room_B = (count_B - self.length).clamp(min=0) + 1
        first_B = start_B + counter.integers(draw_key, samples_B, room_B)
        return windows_at(self.items, self.correct, first_B, count_B, self.length)


def windows_at(
    items: Tensor, correct: Tensor, first_B: Tensor, count_B: Tensor, length: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Answers `first` to `first + min(count, length)`, padded behind: ids, mask and correctness [B, L]."""
    position_L = torch.arange(length, device=items.device)
    mask_BL = position_L < count_B.clamp(max=length)[:, None]
    index_BL = (first_B[:, None] + position_L).where(mask_BL, 0)
    return items[index_BL].long().where(mask_BL, 0), mask_BL, correct[index_BL].long().where(mask_BL, 0)
