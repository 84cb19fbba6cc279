"""End-to-end training: every occurrence of every item is encoded."""

from functools import partial

import torch

from grambench import gram
from grambench.training.phases import (
    System,
    encode,
    encoder_backward,
    filter_backward,
    filter_loss,
    loss_backward,
)
from grambench.training.protocols import Batch, StepResult
from grambench.training.strategies.one_step import OneStep


class EndToEnd(OneStep):
    """`e2e`: one encoding per occurrence; padding is never encoded.

    The graphs of `micro_batch` users are held at once; gradients are accumulated to those of the whole
    batch. A filter whose loss reads other users gets the vectors of the whole batch: the occurrences are
    encoded without a graph, and again for the backward pass, micro-batch by micro-batch.
    """

    def __init__(self, system: System, micro_batch: int) -> None:
        super().__init__(system)
        self.micro_batch = micro_batch

    def gradients(self, batch: Batch) -> StepResult:
        """Encode occurrences, filter, and backpropagate through both, micro-batch by micro-batch."""
        if self.system.filter.across_users:
            return self._across_users(batch)
        losses, occurrences = [], 0
        for part in batch.split(self.micro_batch):
            view = part.occurrences()
            vectors_ND = encode(self.system, view.host_items_N)
            loss, gradient_ND = filter_backward(self.system, view, vectors_ND, batch.users)
            encoder_backward(self.system, vectors_ND, gradient_ND)
            losses.append(loss)
            occurrences += view.occurrences
        loss = torch.stack(losses).sum() if losses else self.system.guard.found.new_zeros(())
        return StepResult(loss, batch.users, occurrences, occurrences)

    def _across_users(self, batch: Batch) -> StepResult:
        view = batch.occurrences()
        chunks = [part.occurrences().host_items_N for part in batch.split(self.micro_batch)]
        loss = gram.single_step(
            partial(encode, self.system),
            chunks,
            torch.arange(len(view.host_items_N), device=self.system.clock.device),
            lambda vectors_ND: filter_backward(self.system, view, vectors_ND, batch.users),
            partial(encoder_backward, self.system),
        )
        return StepResult(loss, batch.users, view.occurrences, view.occurrences)


class EndToEndUnique(OneStep):
    """`e2e-unique`: plain autograd through one encoding of each distinct item of the batch."""

    def gradients(self, batch: Batch) -> StepResult:
        """Backpropagate the mean loss through filter, gather and encoder in one graph."""
        view = batch.unique()
        exchange = self.system.exchange(batch)
        vectors_ND = exchange.through(encode(self.system, exchange.own_O))
        loss = filter_loss(self.system, view, vectors_ND)
        with self.system.clock.encoding_behind(vectors_ND):
            loss = loss_backward(self.system, loss, batch.users)
        return StepResult(loss, batch.users, view.occurrences, len(exchange.own_O))
