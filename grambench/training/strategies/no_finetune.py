"""`nofinetune`: the pretrained transformer is frozen; filter and pooling are trained."""

import numpy as np
import torch

from grambench.models.encoders.states import CachedItemEncoder, LayerStates
from grambench.training.phases import System, dry_run, encode, encoder_backward, filter_backward
from grambench.training.protocols import Batch, Sampler, State, StepResult
from grambench.training.strategies.item_table import Window
from grambench.training.strategies.one_step import OneStep


class NoFinetune:
    """Each item is encoded only once, in the epoch in which it first occurs."""

    window_steps = 1

    def __init__(self, system: System, sampler: Sampler) -> None:
        self.system, self.sampler = system, sampler
        encoder = system.encode.encoder
        dtype = next(encoder.parameters()).dtype
        self.vectors = Window(len(system.encode.tokens), encoder.width, dtype, sampler.device, frozen=True)
        self._epoch = -1

    def warm_up(self, batch: Batch) -> None:
        """Compute and drop the filter's gradients of a batch."""
        with dry_run(self.system):
            view = batch.unique()
            with torch.no_grad():
                vectors_ND = encode(self.system, view.host_items_N)
            filter_backward(self.system, view, vectors_ND, batch.users)

    def rehearse(self, batch: Batch) -> None:
        """See `KeepsVectors`: the filter's gradients at vectors of zeros."""
        view, row_1D = batch.unique(), self.vectors.rows.start[:1]
        with dry_run(self.system):
            filter_backward(
                self.system, view, torch.zeros_like(row_1D.expand(len(view.items_N), -1)), batch.users
            )

    def step(self, batch: Batch) -> StepResult:
        """A CF step on constant vectors."""
        joined = self._look_ahead(batch) if batch.epoch != self._epoch else 0
        view = batch.unique()
        vectors_ND = self.vectors.read(self.vectors.slots_I[view.items_N])
        loss, _ = filter_backward(self.system, view, vectors_ND, batch.users)
        self.system.filter_optimizer.step(batch.progress)
        return StepResult(loss, batch.users, view.occurrences, joined)

    def state_dict(self) -> State:
        """The vectors so far, and the last epoch whose items were encoded."""
        return {**self.vectors.state_dict(), "epoch": self._epoch}

    def load_state_dict(self, state: State) -> None:
        """Restore the state."""
        self._epoch = int(state["epoch"])
        self.vectors.load_state_dict(state)

    def _look_ahead(self, batch: Batch) -> int:
        """Encode the epoch's new items; returns their number."""
        self._epoch = batch.epoch
        items_N = self.vectors.unknown(self.sampler.items_ahead(batch.step, self.sampler.steps_per_epoch))
        if len(items_N):
            with torch.no_grad():
                self.vectors.join(items_N, encode(self.system, items_N))
        return len(items_N)


class TrainedPooling(OneStep):
    """Each item passes through the transformer only once, in the epoch in which it first occurs; its token
    states are pooled at every step, and the pooling is trained with the filter's gradient."""

    def __init__(self, system: System, sampler: Sampler, states: LayerStates) -> None:
        super().__init__(system)
        self.sampler, self.states = sampler, states
        self.pooled = CachedItemEncoder(states, states.buckets.bucket_tokens, states.buckets)
        self._known_I = np.zeros(len(system.encode.tokens), bool)
        self._epoch = -1

    def warm_up(self, batch: Batch) -> None:
        """Compute and drop the gradients of a batch; no token states are kept."""
        with dry_run(self.system):
            view = batch.unique()
            vectors_ND = encode(self.system, view.host_items_N)
            _, gradient_ND = filter_backward(self.system, view, vectors_ND, batch.users)
            encoder_backward(self.system, vectors_ND, gradient_ND)

    def rehearse(self, batch: Batch) -> None:
        """See `KeepsVectors`; token states that are missing are computed, and kept until `forget`."""
        with dry_run(self.system):
            self._pooled(batch, 0)

    def gradients(self, batch: Batch) -> StepResult:
        """Pool the batch's distinct items, filter, and backpropagate ∂𝓛/∂h through the pooling."""
        return self._pooled(batch, self._look_ahead(batch.epoch) if batch.epoch != self._epoch else 0)

    def _pooled(self, batch: Batch, joined: int) -> StepResult:
        view = batch.unique()
        with self.system.clock.encoding():
            vectors_ND = self.pooled(view.host_items_N)
        loss, gradient_ND = filter_backward(self.system, view, vectors_ND, batch.users)
        encoder_backward(self.system, vectors_ND, gradient_ND)
        return StepResult(loss, batch.users, view.occurrences, joined)

    def state_dict(self) -> State:
        """The last epoch whose items were encoded; token states follow from the frozen weights."""
        return {"epoch": self._epoch}

    def load_state_dict(self, state: State) -> None:
        """Recompute the token states, in the same calls, so that they are bit-equal."""
        self._known_I[:] = False
        for epoch in range(int(state["epoch"]) + 1):
            self._look_ahead(epoch)

    def _look_ahead(self, epoch: int) -> int:
        """Compute the token states of the epoch's new items; returns their number."""
        self._epoch, steps = epoch, self.sampler.steps_per_epoch
        items_N = self.sampler.items_ahead(epoch * steps, steps)
        items_N = items_N[~self._known_I[items_N]]
        if len(items_N):
            with self.system.clock.encoding():
                self.system.encode.count(items_N, self.states.require(items_N))
            self._known_I[items_N] = True
        return len(items_N)
