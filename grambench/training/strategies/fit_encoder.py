"""Encoder steps at the end of a window: fit the table over shuffled mini-batches of items.

Legend: U items, N of a mini-batch or a part of one, D width.
"""

import functools
import itertools
from collections.abc import Callable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from grambench import gram
from grambench.data.batches.base import PlannedShare
from grambench.models.encoders.packed import PackedCall, PackedInput, PackedRows
from grambench.training.phases import System, encode, loss_backward, pseudo_loss_backward
from grambench.training.strategies.item_table import Targets
from grambench.transfer import read


def fit_encoder(
    system: System,
    items_U: NDArray[np.int64],
    targets: Targets,
    *,
    batch: int,
    passes: int,
    chunk: int,
    order: Callable[[int], Tensor],
    progress: PlannedShare | None = None,
) -> Tensor:
    """Encoder steps on ½ ‖h̃ − CE(c)‖², each the mean over a mini-batch (eq. 2, 9).

    Args:
        system: provides the encoder and its optimiser.
        items_U: ids on the host.
        targets: h̃, on the device.
        batch: items per encoder step.
        passes: number of passes over the items.
        chunk: items whose graph is held at once; gradients of larger steps are accumulated.
        order: index of a pass -> its permutation [U], on the device.
        progress: what the window takes of the planned training, over which the encoder's steps are spread:
            at that of the window's end alone, an encoder fitted once would have a rate of almost 0, and one
            fitted once an epoch no warm-up.

    Returns:
        The mean pseudo-loss per item during the last pass.
    """
    orders = map(order, range(passes))
    shuffled = ((items_U[read(rows_U)], rows_U) for rows_U in orders)
    steps = passes * -(-len(items_U) // batch)
    spread: Iterator[PlannedShare | None] = progress.split(steps) if progress else itertools.repeat(None)

    def step(items_N: NDArray[np.int64], rows_N: Tensor) -> list[Tensor]:
        targets_ND = targets(items_N, rows_N)
        system.encoder_optimizer.schedule(next(spread))
        if len(items_N) == batch and (call := _fixed_call(system, items_N, chunk)):
            return [_fixed_step(system, call, targets_ND)]
        encode_, backward = (functools.partial(phase, system) for phase in (encode, pseudo_loss_backward))
        own_N = system.group.shares(items_N)[system.group.rank]
        losses = gram.pseudo_loss_backward(encode_, own_N, targets_ND, len(items_N), chunk, backward)
        system.sum_gradients(system.encoder_optimizer)
        system.encoder_optimizer.update()
        return losses if system.group.size == 1 else [system.group.sum(_total(losses, targets_ND))]

    return gram.fit_encoder_to_table(shuffled, batch, step)


def _total(losses: list[Tensor], targets_ND: Tensor) -> Tensor:
    """The sum of this rank's losses; 0 without items."""
    return torch.stack([targets_ND.new_zeros(()), *losses]).sum()


def _fixed_call(system: System, items_N: NDArray[np.int64], chunk: int) -> PackedCall | None:
    """A whole mini-batch as one call on fixed tensors; None if disabled or if it takes several calls."""
    layout = system.encode.layout
    if not system.fixed.encoder_steps or not isinstance(layout, PackedRows) or len(items_N) > chunk:
        return None
    calls = list(layout.calls(system.encode.tokens, items_N))
    if len(calls) != 1:
        return None
    system.encode.count(items_N, 1)
    return calls[0][0]


def _fixed_step(system: System, call: PackedCall, targets_ND: Tensor) -> Tensor:
    """An encoder step on fixed tensors; counts entirely as the encoder's time, including the optimiser."""

    def moves(call: PackedInput, targets_ND: Tensor) -> tuple[Tensor]:
        residual_ND = system.encode.encoder.packed(call) - targets_ND
        loss = loss_backward(system, 0.5 * residual_ND.square().sum(), len(targets_ND))
        system.encoder_optimizer.update()
        return (loss,)

    def touched() -> list[Tensor]:
        return [system.guard.found, *system.encoder_optimizer.touched()]

    with system.clock.encoding():
        (loss,) = system.fixed.encoder_step(call, targets_ND, moves, touched)
    return loss
