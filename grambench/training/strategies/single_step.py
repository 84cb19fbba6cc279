"""Single-step GRAM: each unique item of the batch is encoded once (Algorithm 1 with N = 1)."""

import functools

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from grambench import gram
from grambench.training.phases import System, encode, encoder_backward, filter_backward
from grambench.training.protocols import Batch, StepResult
from grambench.training.strategies.one_step import OneStep
from grambench.transfer import sent


class SingleStep(OneStep):
    """`gram-1s`: unique -> encode -> filter -> ∂𝓛/∂h -> encoder; the same update as E2E.

    With `encoder_chunk`, only the graph of that many items is held at once: see `gram.single_step`.
    """

    def __init__(self, system: System, encoder_chunk: int | None = None) -> None:
        super().__init__(system)
        self.encoder_chunk = encoder_chunk

    def gradients(self, batch: Batch) -> StepResult:
        """Encode the unique items, filter, and backpropagate ∂𝓛/∂h through the encoder."""
        view = batch.unique()
        exchange = self.system.exchange(batch)
        chunks, order_O = self._chunks(exchange.own_O)

        def filter_pass(own_OD: Tensor) -> tuple[Tensor, Tensor]:
            vectors_ND = exchange.fetch(own_OD)
            loss, gradient_ND = filter_backward(self.system, view, vectors_ND, batch.users)
            return loss, exchange.give(gradient_ND)

        loss = gram.single_step(
            functools.partial(encode, self.system),
            chunks,
            order_O,
            filter_pass,
            lambda vectors_ND, gradient_ND: encoder_backward(self.system, vectors_ND, gradient_ND),
        )
        return StepResult(loss, batch.users, view.occurrences, len(exchange.own_O))

    def _chunks(self, items_U: NDArray[np.int64]) -> tuple[list[NDArray[np.int64]], Tensor]:
        """Chunks of items of similar length, and each item's index in the batch, on the device."""
        if self.encoder_chunk is None or len(items_U) <= self.encoder_chunk:
            return [items_U], torch.empty(0)
        places = self.system.encode.chunks(items_U, self.encoder_chunk)
        order_U = sent(torch.from_numpy(np.concatenate(places)), self.system.clock.device)
        return [items_U[place] for place in places], order_U
