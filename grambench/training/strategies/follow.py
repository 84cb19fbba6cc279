"""The encoder follows: steps on the pseudo-loss over shuffled mini-batches of items.

Legend: U items, N of a part, D width.
"""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from grambench.models.encoders.packed import PackedCall, PackedInput, PackedRows
from grambench.training.phases import System, encode
from grambench.transfer import read


def follow(
    system: System,
    items_U: NDArray[np.int64],
    targets_UD: Tensor,
    *,
    batch: int,
    passes: int,
    chunk: int,
    order: Callable[[int], Tensor],
) -> Tensor:
    """Encoder steps on ½ ‖h̃ − CE(c)‖², each the mean over a mini-batch (eq. 2, 9).

    Args:
        system: its encoder and the encoder's optimiser are used.
        items_U: ids on the host.
        targets_UD: h̃, on the device.
        batch: items of an encoder step.
        passes: over the items.
        chunk: items whose graph is held at once; an encoder step of more is accumulated.
        order: the permutation [U] of a pass, on the device.

    Returns:
        the mean over the items of the pseudo-loss during the last pass.
    """
    count = len(items_U)
    losses: list[Tensor] = []
    for turn in range(passes):
        losses.clear()
        shuffled_U = order(turn)
        host_items_U = items_U[read(shuffled_U)]
        for start in range(0, count, batch):
            stop = min(start + batch, count)
            rows = slice(start, stop)
            system.encoder_optimizer.schedule()
            if stop - start == batch and (call := _fixed_call(system, host_items_U[rows], chunk)):
                losses.append(_fixed_step(system, call, targets_UD[shuffled_U[rows]]))
                continue
            for low in range(start, stop, chunk):
                rows = slice(low, min(low + chunk, stop))
                residual_ND = encode(system, host_items_U[rows]) - targets_UD[shuffled_U[rows]]
                loss = 0.5 * residual_ND.square().sum()
                with system.clock.encoding():
                    (loss / (stop - start)).backward()
                system.guard.see(loss)
                losses.append(loss.detach())
            system.encoder_optimizer.update()
    return torch.stack(losses).sum() / count


def _fixed_call(system: System, items_N: NDArray[np.int64], chunk: int) -> PackedCall | None:
    """A whole mini-batch as one call over fixed tensors; None where that is off, or it takes several."""
    layout = system.encode.layout
    if not system.fixed.encoder_steps or not isinstance(layout, PackedRows) or len(items_N) > chunk:
        return None
    calls = list(layout.calls(system.encode.tokens, items_N))
    if len(calls) != 1:
        return None
    system.encode.count(items_N, 1)
    return calls[0][0]


def _fixed_step(system: System, call: PackedCall, targets_ND: Tensor) -> Tensor:
    """The encoder's step over fixed tensors; its seconds, the optimiser's included, are the encoder's."""

    def moves(call: PackedInput, targets_ND: Tensor) -> tuple[Tensor]:
        loss = 0.5 * (system.encode.encoder.packed(call) - targets_ND).square().sum()
        (loss / len(targets_ND)).backward()
        system.guard.see(loss)
        system.encoder_optimizer.update()
        return (loss.detach(),)

    def touched() -> list[Tensor]:
        return [system.guard.found, *system.encoder_optimizer.touched()]

    with system.clock.encoding():
        (loss,) = system.fixed.encoder_step(call, targets_ND, moves, touched)
    return loss
