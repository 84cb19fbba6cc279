"""Base of the domains' samplers: shuffled epochs, and samples drawn in blocks of steps.

Legend: S samples of a block, B samples of a batch.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from grambench.data.batches import counter
from grambench.data.batches.base import PlannedShare, SampleBatch, Samples
from grambench.data.batches.block import Block, Place
from grambench.transfer import HOST, host_reads, read, sent

BatchT = TypeVar("BatchT", bound=SampleBatch[Any])


@dataclass(frozen=True, slots=True)
class _Drawn:
    """Samples of consecutive steps."""

    first_step: int
    samples: Samples
    keys_S: Tensor
    block: Block


class EpochSampler(ABC, Generic[BatchT]):
    """Draws batches on `device`, vectorised over samples."""

    batch_type: type[BatchT]
    """The domain's batch."""
    drawn_ahead: int
    """Samples drawn and indexed at once, for the current and the following steps."""
    collected: int
    """Samples drawn at once when the items of a window are collected."""

    def __init__(self, seed: int, batch_size: int, device: torch.device, resident: bool) -> None:
        """`resident`: samples are drawn on `device`; else on the host, and copied block by block."""
        self.seed, self.batch_size, self.device = seed, batch_size, device
        self.stored_on = device if resident else HOST
        self._order: tuple[int, Tensor] | None = None
        self._drawn: _Drawn | None = None

    def plan(self, samples: int, epochs: int, max_steps: int | None) -> None:
        """Set the number of samples and, from it, the number of steps."""
        self.samples = samples
        self.steps_per_epoch = -(-samples // self.batch_size)
        whole = epochs * self.steps_per_epoch
        self.total_steps = min(whole, max_steps) if max_steps else whole

    @abstractmethod
    def draw(self, epoch: int, samples_S: Tensor) -> Samples:
        """The samples of an epoch with the given numbers, on the device where they are stored."""

    def batch(self, step: int) -> BatchT:
        """The batch of CF step `step`, counted from 0 over all epochs."""
        epoch, within = divmod(step, self.steps_per_epoch)
        per_block = max(1, self.drawn_ahead // self.batch_size)
        first = within - within % per_block
        if self._drawn is None or self._drawn.first_step != step - within + first:
            self._drawn = self._draw_steps(epoch, first, min(first + per_block, self.steps_per_epoch))
        drawn, number = self._drawn, within - first
        rows = slice(drawn.block.step_starts[number], drawn.block.step_ends[number])
        ends = within + 1 == self.steps_per_epoch, step + 1 == self.total_steps
        samples = (tensor[rows] for tensor in drawn.samples)
        made: Any = self.batch_type
        place, keys_B = Place(drawn.block, number, rows), drawn.keys_S[rows]
        progress = self.progress(step)
        batch: BatchT = made(epoch, step, *ends, *samples, place=place, progress=progress, keys_B=keys_B)
        return batch

    def progress(self, step: int, steps: int = 1) -> PlannedShare:
        """What `steps` CF steps from `step` on take of the planned training; follows from the plan alone."""
        planned = self._samples_before(self.total_steps)
        return PlannedShare(
            self._samples_before(step) / planned, self._samples_before(step + steps) / planned
        )

    def _samples_before(self, step: int) -> int:
        epoch, within = divmod(step, self.steps_per_epoch)
        return epoch * self.samples + within * self.batch_size

    def items_ahead(self, step: int, steps: int) -> NDArray[np.int64]:
        """Distinct item ids, ascending, of the `steps` batches starting at `step`."""
        ids: list[Tensor] = []
        last = min(step + steps, self.total_steps)
        while step < last:
            epoch, within = divmod(step, self.steps_per_epoch)
            count = min(last - step, self.steps_per_epoch - within)
            rows = slice(within * self.batch_size, (within + count) * self.batch_size)
            for samples_B in self._epoch_order(epoch)[rows].split(self.collected):
                block = self.batch_type.block_of(self.draw(epoch, samples_B), [len(samples_B)])
                with host_reads():
                    ids.append(distinct([block.ids_SX[block.mask_SX]]))
            step += count
        with host_reads():
            return read(distinct(ids))

    def _draw_steps(self, epoch: int, first: int, last: int) -> _Drawn:
        """The samples of steps `first` to `last` (exclusive) of an epoch."""
        start, stop = first * self.batch_size, min(last * self.batch_size, self.samples)
        samples_S = self._epoch_order(epoch)[start:stop]
        one, two, three = self.draw(epoch, samples_S)
        drawn = sent(one, self.device), sent(two, self.device), sent(three, self.device)
        keys_S = counter.bits64(counter.key(self.seed, counter.Purpose.MASKS, epoch), samples_S)
        ends = [*range(self.batch_size, stop - start, self.batch_size), stop - start]
        block = self.batch_type.block_of(drawn, ends)
        return _Drawn(epoch * self.steps_per_epoch + first, drawn, sent(keys_S, self.device), block)

    def _epoch_order(self, epoch: int) -> Tensor:
        if self._order is None or self._order[0] != epoch:
            draw_key = counter.key(self.seed, counter.Purpose.SHUFFLE, epoch)
            self._order = epoch, counter.permutation(draw_key, self.samples, self.stored_on)
        return self._order[1]


def distinct(ids: Sequence[Tensor]) -> Tensor:
    """The distinct values of several tensors, ascending."""
    unique: Tensor = torch.cat(list(ids)).unique()
    return unique
