"""Single-step GRAM: each unique item of the batch is encoded once (Algorithm 1 with N = 1)."""

import torch
from torch import Tensor

from grambench.training.phases import Batch, StepResult, System, encode, encoder_backward, filter_backward
from grambench.training.replay import RandomState
from grambench.training.strategies.one_step import OneStep


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
        if self.encoder_chunk is None or len(view.items_N) <= self.encoder_chunk:
            vectors_UD = encode(self.system, view.items_N)
            loss, gradient_UD = filter_backward(self.system, view, vectors_UD, batch.users)
            encoder_backward(self.system, vectors_UD, gradient_UD)
        else:
            chunks = self.system.encode.chunks(view.items_N, self.encoder_chunk)
            vectors_UD, states = self._encode_without_graph(view.items_N, chunks)
            loss, gradient_UD = filter_backward(self.system, view, vectors_UD, batch.users)
            self._recompute(view.items_N, chunks, states, gradient_UD)
        return StepResult(loss, batch.users, view.occurrences, len(view.items_N))

    def _encode_without_graph(
        self, items_U: Tensor, chunks: list[Tensor]
    ) -> tuple[Tensor, list[RandomState]]:
        states, pieces = [], []
        with torch.no_grad():
            for chunk in chunks:
                states.append(RandomState.capture(items_U.device))
                pieces.append(encode(self.system, items_U[chunk]))
        return torch.cat(pieces)[torch.cat(chunks).argsort()], states

    def _recompute(
        self, items_U: Tensor, chunks: list[Tensor], states: list[RandomState], gradient_UD: Tensor
    ) -> None:
        after = RandomState.capture(items_U.device)
        for chunk, state in zip(chunks, states, strict=True):
            state.restore()
            encoder_backward(self.system, encode(self.system, items_U[chunk]), gradient_UD[chunk])
        after.restore()
