"""CRCF: free item vectors are pulled towards the encoded texts, and the encoder regresses to the vectors.

Legend: U items of a batch or an epoch, N of a view, D width.
"""

import torch
from torch import Tensor

from grambench.config.spec import MultiStep as MultiStepSpec
from grambench.data.batches import counter
from grambench.models.encoders.free import PulledVectors
from grambench.training.phases import (
    System,
    dry_run,
    encode,
    loss_backward,
    pseudo_loss_backward,
    warm_up_encoder,
)
from grambench.training.protocols import Batch, ClosedWindow, Sampler, State, StepResult, View
from grambench.training.strategies.fit_encoder import fit_encoder
from grambench.training.strategies.item_table import Window, held_by_all
from grambench.training.strategies.one_step import OneStep
from grambench.transfer import sent

_EPS = 1e-12


def pulled_backward(
    system: System, vectors: PulledVectors, view: View, content_UD: Tensor, pull: float, users: int
) -> tuple[Tensor, Tensor]:
    """Gradients of (𝓛 + λ Σ ‖e − CE(c)‖²) / `users` for the filter and the free vectors e; CE(c) is constant.

    An item not seen before starts at e = CE(c), unless free vectors start at random.

    Returns:
        𝓛 summed over the users of the view, and the free vectors [U, D] of its distinct items.
    """
    vectors.meet(view.items_N, content_UD)
    free_UD = vectors.free(view.items_N)
    loss = system.filter.loss(free_UD, view)
    distance = (free_UD - content_UD).square().sum()
    loss_backward(system, loss + pull * distance, users)
    return loss.detach(), free_UD.detach()


class CRCFStep(OneStep):
    """`crcf-1s`: free vectors and encoder are updated at every step."""

    def __init__(self, system: System, vectors: PulledVectors, pull: float) -> None:
        super().__init__(system)
        self.vectors, self.pull = vectors, pull

    def warm_up(self, batch: Batch) -> None:
        """Compute and drop the gradients of a batch; its items stay unseen."""
        with self.vectors.unmet_afterwards(batch.unique().items_N):
            super().warm_up(batch)

    def gradients(self, batch: Batch) -> StepResult:
        """Pull the free vectors towards the texts, and regress the encoder to their previous values."""
        view = batch.unique()
        content_UD, items = encode(self.system, view.host_items_N), len(view.host_items_N)
        loss, free_UD = pulled_backward(
            self.system, self.vectors, view, content_UD.detach(), self.pull, batch.users
        )
        pseudo_loss_backward(self.system, 0.5 * (content_UD - free_UD).square().sum(), items)
        return StepResult(loss, batch.users, view.occurrences, items)


class CRCFEpoch:
    """`crcf-1e`: free vectors are trained for an epoch against constant CE(c), then the encoder is fitted."""

    def __init__(
        self,
        system: System,
        vectors: PulledVectors,
        sampler: Sampler,
        spec: MultiStepSpec,
        pull: float,
        seed: int,
    ) -> None:
        self.system, self.vectors, self.sampler = system, vectors, sampler
        self.spec, self.pull, self.seed = spec, pull, seed
        self.window_steps = sampler.steps_per_epoch
        self.content: Window | None = None

    def warm_up(self, batch: Batch) -> None:
        """Compute and drop the gradients of a batch and of one mini-batch of the encoder."""
        view = batch.unique()
        with self.vectors.unmet_afterwards(view.items_N), dry_run(self.system):
            items_U = view.host_items_N
            with torch.no_grad():
                content_UD = encode(self.system, items_U)
            pulled_backward(self.system, self.vectors, view, content_UD, self.pull, batch.users)
            warm_up_encoder(self.system, items_U[: self.spec.encoder_batch])

    def rehearse(self, batch: Batch) -> None:
        """See `KeepsVectors`: the gradients of a step towards texts whose vectors are zeros."""
        view = batch.unique()
        zeros_UD = torch.zeros_like(self.vectors.free.rows_ID[: len(view.items_N)])
        with self.vectors.unmet_afterwards(view.items_N), dry_run(self.system):
            pulled_backward(self.system, self.vectors, view, zeros_UD, self.pull, batch.users)

    def step(self, batch: Batch) -> StepResult:
        """A CF step; the last one of an epoch also trains the encoder."""
        joined = 0
        if self.content is None:
            self.content = self._open(batch)
            joined = len(self.content)
        window, view = self.content, batch.unique()
        content_UD = window.read(window.slots_I[view.items_N])
        loss, _ = pulled_backward(self.system, self.vectors, view, content_UD, self.pull, batch.users)
        self.system.filter_optimizer.step(batch.progress)
        window.steps += 1
        window.occurrences += view.occurrences
        ends = batch.ends_epoch or batch.ends_training
        closed = self._close(window, batch) if ends else None
        return StepResult(loss, batch.users, view.occurrences, joined, closed)

    def state_dict(self) -> State:
        """The window of the current epoch."""
        return {} if self.content is None else self.content.state_dict()

    def load_state_dict(self, state: State) -> None:
        """Restore the window."""
        self.content = None
        if state:
            self.content = self._window()
            self.content.load_state_dict(state)

    def _window(self) -> Window:
        encoder = self.system.encode.encoder
        dtype = next(encoder.parameters()).dtype
        return Window(len(self.system.encode.tokens), encoder.width, dtype, self.sampler.device, True)

    def _open(self, batch: Batch) -> Window:
        """Encode the epoch's items, without a graph."""
        window = self._window()
        items_U = self.sampler.items_ahead(batch.step, self.sampler.steps_per_epoch)
        with torch.no_grad():
            window.join(items_U, encode(self.system, items_U))
        return window

    def _close(self, window: Window, batch: Batch) -> ClosedWindow:
        """Fit the encoder to the free vectors; the drift is their relative distance from CE(c)."""
        items_U = window.host_items_U
        with torch.no_grad():
            ids_U = sent(torch.from_numpy(items_U), self.sampler.device)
            free_UD = self.vectors.free(ids_U)
        content_UD = window.start_UD
        drift = ((free_UD - content_UD).norm(dim=1) / content_UD.norm(dim=1).clamp_min(_EPS)).mean()
        pseudo_loss = fit_encoder(
            self.system,
            items_U,
            held_by_all(self.system.group, free_UD),
            batch=self.spec.encoder_batch,
            passes=self.spec.encoder_passes,
            chunk=self.spec.encoder_batch,
            order=lambda turn: counter.permutation(
                counter.key(self.seed, counter.Purpose.EPOCH_END, batch.epoch, turn),
                len(items_U),
                self.sampler.device,
            ),
            progress=self.sampler.progress(batch.step + 1 - window.steps, window.steps),
        )
        self.content = None
        return ClosedWindow(window.steps, len(items_U), window.occurrences, drift, pseudo_loss)
