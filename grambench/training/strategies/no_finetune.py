"""`nofinetune`: the pretrained encoder stays as it is; only the filter trains."""

import torch

from grambench.training.phases import (
    Batch,
    Sampler,
    State,
    StepResult,
    System,
    encode,
    filter_backward,
    rehearsal,
)
from grambench.training.table import Window


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
        with rehearsal(self.system):
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

    def state(self) -> State:
        """The vectors so far, and the epoch that was looked at."""
        return {**self.vectors.state(), "epoch": self._epoch}

    def restore(self, state: State) -> None:
        """Its inverse."""
        self._epoch = int(state["epoch"])
        self.vectors.restore(state)

    def _look_ahead(self, batch: Batch) -> int:
        """Encode the epoch's items that are not there yet; how many."""
        self._epoch = batch.epoch
        items_N = self.vectors.unknown(self.sampler.items_ahead(batch.step, self.sampler.steps_per_epoch))
        if len(items_N):
            with torch.no_grad():
                self.vectors.join(items_N, encode(self.system, items_N))
        return len(items_N)
