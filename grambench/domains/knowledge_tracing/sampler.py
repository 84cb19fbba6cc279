"""Training batches of answer sequences: drawn once per (seed, epoch, step), the same for every strategy.

A training sample is one user; each epoch reads a window of the user's answers with a random start.
Legend: S samples, B students, L positions of a window.
"""

import torch
from torch import Tensor

from grambench.data.batches import counter
from grambench.data.batches.base import Samples
from grambench.data.batches.epochs import EpochSampler
from grambench.domains.knowledge_tracing.batch import AnswerBatch
from grambench.domains.knowledge_tracing.sequences import Sequences
from grambench.transfer import stored


class AnswerSampler(EpochSampler[AnswerBatch]):
    """Draws windows of students' answers."""

    batch_type = AnswerBatch
    drawn_ahead, collected = 1 << 10, 1 << 12

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
            part: the train part; unscored answers are read like scored ones.
            seed: of the order and the windows.
            batch_size: users per batch.
            length: L, most answers in a window.
            epochs: most passes over the users.
            max_steps: most CF steps.
            device: of the batches.
            resident: keep the answers and draw windows on `device`; else on the host.
        """
        super().__init__(seed, batch_size, device, resident)
        self.length = length
        self.items = stored(part.items, device, resident)
        self.correct = stored(part.correct, device, resident)
        self.offsets = stored(part.offsets, device, resident)
        self.plan(len(part), epochs, max_steps)

    def draw(self, epoch: int, samples_S: Tensor) -> Samples:
        """A random window of each student: ids, mask and correctness [S, L]."""
        start_S = self.offsets[samples_S]
        count_S = self.offsets[samples_S + 1] - start_S
        draw_key = counter.key(self.seed, counter.Purpose.ANSWER_WINDOWS, epoch)
        room_S = (count_S - self.length).clamp(min=0) + 1
        first_S = start_S + counter.integers(draw_key, samples_S, room_S)
        return windows_at(self.items, self.correct, first_S, count_S, self.length)


def windows_at(
    items: Tensor, correct: Tensor, first_B: Tensor, count_B: Tensor, length: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Answers `first` to `first + min(count, length)`, right-padded: ids, mask and correctness [B, L]."""
    position_L = torch.arange(length, device=items.device)
    mask_BL = position_L < count_B.clamp(max=length)[:, None]
    index_BL = (first_B[:, None] + position_L).where(mask_BL, 0)
    return items[index_BL].long().where(mask_BL, 0), mask_BL, correct[index_BL].long().where(mask_BL, 0)
