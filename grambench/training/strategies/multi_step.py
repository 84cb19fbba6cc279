"""Multi-step GRAM: the CF trains for N steps against a moving item table, then the encoder follows.

Legend: U items of the window, N items of one batch, D width.
"""

import torch
from torch import Tensor

from grambench.config.spec import MultiStep as MultiStepSpec
from grambench.data import counter
from grambench.training.phases import (
    Batch,
    ClosedWindow,
    Sampler,
    StepResult,
    System,
    encode,
    filter_backward,
    rehearsal,
)
from grambench.training.table import TableOptimizer, Window

FOLLOW = 3


class MultiStep:
    """`gram-<N>s` and `gram-<x>e` (Algorithm 1 with N > 1)."""

    def __init__(
        self, system: System, sampler: Sampler, spec: MultiStepSpec, window_steps: int, seed: int
    ) -> None:
        """A window holds `window_steps` CF steps; one of at most an epoch also ends with the epoch."""
        self.system, self.sampler, self.spec = system, sampler, spec
        self.window_steps = window_steps
        self.seed = seed
        self.catalogue = len(system.encode.tokens)
        self.window: Window | None = None
        self.windows = 0
        self.table_optimizer = TableOptimizer(
            spec.table_optimizer, spec.table_lr, self.catalogue, sampler.device
        )
        self._epoch = -1

    def warm_up(self, batch: Batch) -> None:
        """The filter's gradients of a batch, and one mini-batch of the encoder, dropped."""
        with rehearsal(self.system):
            view = batch.unique()
            with torch.no_grad():
                vectors_ND = encode(self.system, view.items_N)
            filter_backward(self.system, view, vectors_ND, batch.users)
            encode(self.system, view.items_N[: self.spec.encoder_batch]).sum().backward()

    def step(self, batch: Batch) -> StepResult:
        """A CF step against the table; the window's last one also teaches the encoder."""
        if batch.epoch != self._epoch:
            self._epoch = batch.epoch
            self.table_optimizer.begin_epoch()
        opened = self.window is None
        window = self.window = self.window or self._open(batch)

        view = batch.within(window.slots_I)
        rows_ND = window.read(view.items_N)
        loss, gradient_ND = filter_backward(self.system, view, rows_ND, batch.users)
        self.system.filter_optimizer.step()
        items_N = window.items_U[view.items_N]
        sum_gradient_ND = gradient_ND * batch.users  # eq. 8: 𝓛 is a sum over the users
        window.move(view.items_N, self.table_optimizer.displacement(items_N, sum_gradient_ND))

        window.steps += 1
        window.occurrences += view.occurrences
        closed = self._close(window) if self._is_last(window, batch) else None
        unique_items = len(window.items_U) if opened else 0
        return StepResult(loss, batch.users, view.occurrences, unique_items, closed)

    def _open(self, batch: Batch) -> Window:
        """h_i = CE(c_i), without a graph, for every item of the window's steps."""
        steps = self.window_steps
        if steps <= self.sampler.steps_per_epoch:
            steps = min(steps, self.sampler.steps_per_epoch - batch.step % self.sampler.steps_per_epoch)
        items_U = self.sampler.items_ahead(batch.step, steps)
        with torch.no_grad():
            vectors_UD = encode(self.system, items_U)
        return Window(items_U, vectors_UD, self.catalogue, self.spec.update == "frozen")

    def _is_last(self, window: Window, batch: Batch) -> bool:
        within_epoch = self.window_steps <= self.sampler.steps_per_epoch
        full = window.steps == self.window_steps
        return full or batch.ends_training or (batch.ends_epoch and within_epoch)

    def _close(self, window: Window) -> ClosedWindow:
        """Encoder steps on the pseudo-loss ½ ‖h̃ − CE(c)‖² over shuffled mini-batches of items."""
        count = len(window.items_U)
        losses: list[Tensor] = []
        for turn in range(self.spec.encoder_passes):
            losses.clear()
            draw_key = counter.key(self.seed, FOLLOW, self.windows, turn)
            shuffled_U = counter.permutation(draw_key, count, window.items_U.device)
            for rows_N in torch.split(shuffled_U, self.spec.encoder_batch):
                vectors_ND = encode(self.system, window.items_U[rows_N])
                residual_ND = vectors_ND - window.table_UD[rows_N]
                loss = 0.5 * residual_ND.square().sum()
                with self.system.clock.encoding():
                    (loss / len(rows_N)).backward()
                self.system.encoder_optimizer.step()
                losses.append(loss.detach())
        self.window = None
        self.windows += 1
        pseudo_loss = torch.stack(losses).sum() / count
        return ClosedWindow(window.steps, count, window.occurrences, window.drift(), pseudo_loss)
