"""Single-step GRAM: each unique item of the batch is encoded once (Algorithm 1 with N = 1)."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from grambench.training.phases import Batch, StepResult, System, encode, encoder_backward, filter_backward
from grambench.training.random_state import RandomState
from grambench.training.strategies.one_step import OneStep
from grambench.transfer import sent


class SingleStep(OneStep):
    """`gram-1s`: unique -> encode -> filter -> ∂𝓛/∂h -> encoder; the same update as E2E.

    With `encoder_chunk`, the encoder runs without a graph first and is then recomputed chunk by
    chunk (compare GradCache, Gao et al., 2021): the memory of one chunk's graph, exact, for about one
    more encoder forward. Random states are replayed, so that dropout draws the same masks twice.
    """

    def __init__(self, system: System, encoder_chunk: int | None = None) -> None:
        super().__init__(system)
        self.encoder_chunk = encoder_chunk

    def gradients(self, batch: Batch) -> StepResult:
        """Encode the unique items, filter, and push ∂𝓛/∂h through the encoder."""
        view = batch.unique()
        items_U = view.host_items_N
        if self.encoder_chunk is None or len(items_U) <= self.encoder_chunk:
            vectors_UD = encode(self.system, items_U)
            loss, gradient_UD = filter_backward(self.system, view, vectors_UD, batch.users)
            encoder_backward(self.system, vectors_UD, gradient_UD)
        else:
            chunks = self.system.encode.chunks(items_U, self.encoder_chunk)
            vectors_UD, states = self._encode_without_graph(items_U, chunks)
            loss, gradient_UD = filter_backward(self.system, view, vectors_UD, batch.users)
            self._recompute(items_U, chunks, states, gradient_UD)
        return StepResult(loss, batch.users, view.occurrences, len(items_U))

    def _encode_without_graph(
        self, items_U: NDArray[np.int64], chunks: list[NDArray[np.int64]]
    ) -> tuple[Tensor, list[RandomState]]:
        device = self.system.clock.device
        states, pieces = [], []
        with torch.no_grad():
            for chunk in chunks:
                states.append(RandomState.capture(device))
                pieces.append(encode(self.system, items_U[chunk]))
        back_U = sent(torch.from_numpy(np.argsort(np.concatenate(chunks))), device)
        return torch.cat(pieces)[back_U], states

    def _recompute(
        self,
        items_U: NDArray[np.int64],
        chunks: list[NDArray[np.int64]],
        states: list[RandomState],
        gradient_UD: Tensor,
    ) -> None:
        device = self.system.clock.device
        after = RandomState.capture(device)
        for chunk, state in zip(chunks, states, strict=True):
            state.restore()
            gradient_ND = gradient_UD[sent(torch.from_numpy(chunk), device)]
            encoder_backward(self.system, encode(self.system, items_U[chunk]), gradient_ND)
        after.restore()
