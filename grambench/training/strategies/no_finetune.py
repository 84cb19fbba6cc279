"""`nofinetune`: the pretrained transformer stays as it is; the filter trains, and the pooling's weights."""

import numpy as np
import torch

from grambench.models.encoders.states import TokenStates
from grambench.training.phases import System, dry_run, encode, encoder_backward, filter_backward
from grambench.training.protocols import Batch, Sampler, State, StepResult
from grambench.training.strategies.item_table import Window
from grambench.training.strategies.one_step import OneStep


class NoFinetune:
    """Each item is encoded once, when an epoch first brings it, and never again."""

    window_steps = 1

    def __init__(self, system: System, sampler: Sampler) -> None:
        self.system, self.sampler = system, sampler
        encoder = system.encode.encoder
        dtype = next(encoder.parameters()).dtype
        self.vectors = Window(len(system.encode.tokens), encoder.width, dtype, sampler.device, frozen=True)
        self._epoch = -1

    def warm_up(self, batch: Batch) -> None:
        """The filter's gradients of a batch, dropped."""
        with dry_run(self.system):
            view = batch.unique()
            with torch.no_grad():
                vectors_ND = encode(self.system, view.host_items_N)
            filter_backward(self.system, view, vectors_ND, batch.users)

    def step(self, batch: Batch) -> StepResult:
        """A CF step on vectors that stay."""
        joined = self._look_ahead(batch) if batch.epoch != self._epoch else 0
        view = batch.unique()
        vectors_ND = self.vectors.read(self.vectors.slots_I[view.items_N])
        loss, _ = filter_backward(self.system, view, vectors_ND, batch.users)
        self.system.filter_optimizer.step()
        return StepResult(loss, batch.users, view.occurrences, joined)

    def state_dict(self) -> State:
        """The vectors so far, and the epoch that was looked at."""
        return {**self.vectors.state_dict(), "epoch": self._epoch}

    def load_state_dict(self, state: State) -> None:
        """Load them."""
        self._epoch = int(state["epoch"])
        self.vectors.load_state_dict(state)

    def _look_ahead(self, batch: Batch) -> int:
        """Encode the epoch's items that are not there yet; how many."""
        self._epoch = batch.epoch
        items_N = self.vectors.unknown(self.sampler.items_ahead(batch.step, self.sampler.steps_per_epoch))
        if len(items_N):
            with torch.no_grad():
                self.vectors.join(items_N, encode(self.system, items_N))
        return len(items_N)


class TrainedPooling(OneStep):
    """Each item goes through the transformer once, when an epoch first brings it; its token states are pooled
    anew at every step, with the gradient of the filter."""

    def __init__(self, system: System, sampler: Sampler, states: TokenStates) -> None:
        super().__init__(system)
        self.sampler, self.states, self.pooled = sampler, states, states.item_encoder()
        self._known_I = np.zeros(len(system.encode.tokens), bool)
        self._epoch = -1

    def warm_up(self, batch: Batch) -> None:
        """The gradients of a batch, dropped; no state is kept."""
        with dry_run(self.system):
            view = batch.unique()
            vectors_ND = encode(self.system, view.host_items_N)
            _, gradient_ND = filter_backward(self.system, view, vectors_ND, batch.users)
            encoder_backward(self.system, vectors_ND, gradient_ND)

    def gradients(self, batch: Batch) -> StepResult:
        """Pool the batch's distinct items, filter, and push ∂𝓛/∂h through the pooling."""
        joined = self._look_ahead(batch.epoch) if batch.epoch != self._epoch else 0
        view = batch.unique()
        with self.system.clock.encoding():
            vectors_ND = self.pooled(view.host_items_N)
        loss, gradient_ND = filter_backward(self.system, view, vectors_ND, batch.users)
        encoder_backward(self.system, vectors_ND, gradient_ND)
        return StepResult(loss, batch.users, view.occurrences, joined)

    def state_dict(self) -> State:
        """The epoch that was looked at: the states are those of weights that stay."""
        return {"epoch": self._epoch}

    def load_state_dict(self, state: State) -> None:
        """Make the states again, in the same calls, so that they have the same last bits."""
        self._known_I[:] = False
        for epoch in range(int(state["epoch"]) + 1):
            self._look_ahead(epoch)

    def _look_ahead(self, epoch: int) -> int:
        """Make the states of the epoch's items that are not there yet; of how many."""
        self._epoch, steps = epoch, self.sampler.steps_per_epoch
        items_N = self.sampler.items_ahead(epoch * steps, steps)
        items_N = items_N[~self._known_I[items_N]]
        if len(items_N):
            with self.system.clock.encoding():
                self.system.encode.count(items_N, self.states.fill(items_N))
            self._known_I[items_N] = True
        return len(items_N)
