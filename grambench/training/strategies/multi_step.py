"""Multi-step GRAM: the CF is trained on a moving item table, to which the encoder is then fitted.

Legend: U items of the window, N items of one batch, D width.
"""

import numpy as np
import torch
from torch import Tensor

from grambench.config.spec import MultiStep as MultiStepSpec
from grambench.data.batches import counter
from grambench.training.group import Exchange, by_id
from grambench.training.phases import System, dry_run, encode, filter_backward, warm_up_encoder
from grambench.training.protocols import Batch, Cached, ClosedWindow, Sampler, State, StepResult, View
from grambench.training.strategies.fit_encoder import fit_encoder
from grambench.training.strategies.item_table import Rows, Window, held_by_all
from grambench.training.strategies.staleness import sampled
from grambench.training.strategies.table_optimizer import TableOptimizer
from grambench.training.strategies.windows import WindowRule
from grambench.transfer import sent

_ROOM = 1.05
"""Capacity relative to the items of the first window: other epochs draw other negatives."""


class MultiStep:
    """`gram-<N>s`, `gram-<x>e` and `gram-auto` (Algorithm 1, N > 1); `rule` decides when a window ends."""

    def __init__(
        self,
        system: System,
        sampler: Sampler,
        spec: MultiStepSpec,
        rule: WindowRule,
        seed: int,
        encoder_chunk: int | None = None,
    ) -> None:
        """`encoder_chunk`: items whose graph is held at once; gradients of larger steps are accumulated."""
        self.system, self.sampler, self.spec, self.rule = system, sampler, spec, rule
        self.window_steps = rule.most_steps
        self.seed = seed
        self.encoder_batch, self.encoder_chunk = spec.encoder_batch, encoder_chunk
        self.chunk = min(spec.encoder_batch, encoder_chunk or spec.encoder_batch)
        self.catalogue = len(system.encode.tokens)
        self.window: Window | None = None
        self.windows = 0
        table = "adagrad" if spec.table_optimizer == "auto" else spec.table_optimizer
        lr = spec.relative_lr if table == "relative" else spec.table_lr
        self.table_optimizer = TableOptimizer(table, lr, self.catalogue, sampler.device, system.group)
        self._epoch = -1
        self._closed: Cached | None = None
        """A sample of the last window, before its end trained the encoder."""
        self._rows: Rows | None = None
        """Tensors of the previous window, if steps run on fixed tensors."""

    def warm_up(self, batch: Batch) -> None:
        """Compute and drop the filter's gradients of a batch, and those of one mini-batch of the encoder."""
        if self.system.fixed.filter_steps or self.system.fixed.encoder_steps:
            with dry_run(self.system):
                self._warm_up_fixed(batch)
            return
        with dry_run(self.system):
            view = batch.unique()
            with torch.no_grad():
                vectors_ND = encode(self.system, view.host_items_N)
            filter_backward(self.system, view, vectors_ND, batch.users)
            warm_up_encoder(self.system, view.host_items_N[: self.chunk])

    def step(self, batch: Batch) -> StepResult:
        """A CF step on the table; the last one of a window also trains the encoder."""
        if batch.epoch != self._epoch:
            self._epoch = batch.epoch
            self.table_optimizer.begin_epoch()
        window = self.window = self.window or self._open()
        joined = self._look_ahead(window, batch)

        view = batch.unique()
        exchange = self._exchange(batch)
        loss = self._filter_step(window, view, exchange, batch)
        window.steps += 1
        window.occurrences += view.occurrences
        for items_N in batch.read_by_rank():
            window.touch(items_N)
        closed = self._close(window, batch) if self.rule.is_over(window, batch) else None
        return StepResult(loss, batch.users, view.occurrences, joined, closed, len(exchange.own_O))

    def rehearse(self, batch: Batch) -> None:
        """See `KeepsVectors`: the gradients of a step, and its moves of a table of zeros."""
        view, window = batch.unique(), self._window_in(None)
        with dry_run(self.system, self.table_optimizer.touched()):
            window.join(view.host_items_N, window.rows.start[:1].expand(len(view.items_N), -1))
            slots_N = window.slots_I[view.items_N]
            _, gradient_ND = filter_backward(self.system, view, window.read(slots_N), batch.users)
            move_ND = self.table_optimizer.displacement(view.items_N, gradient_ND * batch.users)
            window.move(slots_N, move_ND)

    def _exchange(self, batch: Batch) -> Exchange:
        """Who holds the rows that a batch reads."""
        return self.system.group.exchange(batch.read_by_rank(), by_id, self.sampler.device)

    def _filter_step(self, window: Window, view: View, exchange: Exchange, batch: Batch) -> Tensor:
        """Steps (2) and (3) of Algorithm 1: update filter and table; returns the loss summed over users."""
        users = batch.users

        def moves(view: View) -> tuple[Tensor]:
            held_O = exchange.slots(view.items_N)
            slots_O = window.slots_I[held_O]
            vectors_ND = exchange.fetch(window.read(slots_O))
            loss, gradient_ND = filter_backward(self.system, view, vectors_ND, users)
            self.system.sum_gradients(self.system.filter_optimizer)
            self.system.filter_optimizer.update()
            sum_gradient_OD = exchange.give(gradient_ND * users)  # eq. 8: 𝓛 is a sum over the users
            window.move(slots_O, self.table_optimizer.displacement(held_O, sum_gradient_OD))
            return (loss,)

        self.system.filter_optimizer.schedule(batch.progress)
        (loss,) = self.system.fixed.run(
            "step", view, moves, touched=lambda: self._touched(window), version=window.rows.moves
        )
        return loss

    def _warm_up_fixed(self, batch: Batch) -> None:
        """A step on the table and an encoder step, both on fixed tensors; all changes are undone."""
        view, window = batch.unique(), self.window or self._open()
        if self.window is None:  # capacity for any window, so that no graph is captured twice
            ahead_U = self.sampler.items_ahead(batch.step, self.rule.most_steps)
            window.rows.grow(0, max(window.rows.room, min(self.catalogue, int(len(ahead_U) * _ROOM))))
            with torch.no_grad():
                window.join(view.host_items_N, encode(self.system, view.host_items_N))
        if not len(window.unknown(view.host_items_N)):
            with dry_run(self.system, self._touched(window)):
                self._filter_step(window, view, self._exchange(batch), batch)
        items_N = view.host_items_N[: self.spec.encoder_batch]
        with torch.no_grad():
            targets_ND = encode(self.system, items_N)
        with dry_run(self.system, self.system.encoder_optimizer.touched()):
            fit_encoder(
                self.system,
                items_N,
                held_by_all(self.system.group, targets_ND),
                batch=self.spec.encoder_batch,
                passes=1,
                chunk=self.chunk,
                order=lambda _: torch.arange(len(items_N), device=self.sampler.device),
                progress=batch.progress,
            )

    def cached(self) -> Cached | None:
        """See `ReadsCached`: rows of the open window, else of the last one as it closed."""
        return self._sample(self.window) if self.window is not None else self._closed

    def _sample(self, window: Window) -> Cached:
        """Of the items that the window's steps have read."""
        touched = window.touched_U.nonzero()[0]
        places = touched[sampled(self.seed, window.host_items_U[touched])]
        rows = sent(torch.from_numpy(places), self.sampler.device)
        ages_N = window.steps - window.joined_U[places].astype(np.int64)
        return Cached(window.host_items_U[places], window.read(rows), ages_N, window.start_UD[rows])

    def _touched(self, window: Window) -> list[Tensor]:
        """Tensors that a step on the table modifies."""
        table = [window.rows.table, *self.table_optimizer.touched()]
        return [self.system.guard.found, *table, *self.system.filter_optimizer.touched()]

    def state_dict(self) -> State:
        """The open window, the table optimiser's and the rule's state, and the counts."""
        window = {} if self.window is None else self.window.state_dict()
        return {
            **{f"window.{name}": value for name, value in window.items()},
            **{f"rule.{name}": value for name, value in self.rule.state_dict().items()},
            **self.table_optimizer.state_dict(),
            "windows": self.windows,
            "epoch": self._epoch,
        }

    def load_state_dict(self, state: State) -> None:
        """Restore the state."""
        self.windows, self._epoch = int(state["windows"]), int(state["epoch"])
        self.table_optimizer.load_state_dict(state)
        self.rule.load_state_dict(_part(state, "rule."))
        window = _part(state, "window.")
        self.window = self._closed = None
        if window:
            self.window = self._open()
            self.window.load_state_dict(window)

    def _open(self) -> Window:
        keeps = self.system.fixed.filter_steps
        window = self._window_in(self._rows if keeps else None)
        self._rows = window.rows if keeps else None
        return window

    def _window_in(self, rows: Rows | None) -> Window:
        width, device = self.system.encode.encoder.width, self.sampler.device
        dtype = next(self.system.encode.encoder.parameters()).dtype
        frozen, group = self.spec.update == "frozen", self.system.group
        return Window(self.catalogue, width, dtype, device, frozen, rows, group)

    def _look_ahead(self, window: Window, batch: Batch) -> int:
        """Encode the new items of the coming steps, h_i = CE(c_i), without a graph.

        Returns:
            How many of them this rank has encoded.
        """
        steps = self.rule.steps_ahead(window.steps, batch)
        if not steps:
            return 0
        items_N = window.unknown(self.sampler.items_ahead(batch.step, steps))
        own_N = items_N[self.system.group.holds(items_N)]
        if len(items_N):
            with torch.no_grad():
                window.join(items_N, encode(self.system, own_N))
            self.table_optimizer.measure(window)
        return len(own_N)

    def _close(self, window: Window, batch: Batch) -> ClosedWindow:
        """Train the encoder on the pseudo-loss ½ ‖h̃ − CE(c)‖² over shuffled mini-batches of touched items."""
        items_U, device = window.host_items_U[window.touched_U], self.sampler.device
        self._closed = self._sample(window) if self.system.group.size == 1 else None
        pseudo_loss = fit_encoder(
            self.system,
            items_U,
            window.targets(),
            batch=self.spec.encoder_batch,
            passes=self.spec.encoder_passes,
            chunk=self.chunk,
            order=lambda turn: counter.permutation(
                counter.key(self.seed, counter.Purpose.WINDOW_END, self.windows, turn), len(items_U), device
            ),
            progress=self.sampler.progress(batch.step + 1 - window.steps, window.steps),
        )
        self.window = None
        self.windows += 1
        return ClosedWindow(
            window.steps,
            len(items_U),
            window.occurrences,
            window.drift(),
            pseudo_loss,
            window.spread_drift(),
            len(window) - len(items_U),
        )


def _part(state: State, prefix: str) -> State:
    return {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
