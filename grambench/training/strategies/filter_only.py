"""Training of a filter that reads no item vectors (`lm-kt`)."""

import torch

from grambench.training.phases import System, encode, loss_backward
from grambench.training.protocols import Batch, StepResult
from grambench.training.strategies.one_step import OneStep


class FilterOnly(OneStep):
    """The filter reads the items' tokens; the graphs of `micro_batch` users are held at once."""

    def __init__(self, system: System, micro_batch: int) -> None:
        super().__init__(system)
        self.micro_batch = micro_batch

    def gradients(self, batch: Batch) -> StepResult:
        """Backpropagate the mean loss through the filter, micro-batch by micro-batch."""
        losses, occurrences = [], 0
        for part in batch.split(self.micro_batch):
            view = part.occurrences()
            loss = self.system.filter.loss(encode(self.system, view.host_items_N), view)
            losses.append(loss_backward(self.system, loss, batch.users))
            occurrences += view.occurrences
        return StepResult(torch.stack(losses).sum(), batch.users, occurrences, 0)
