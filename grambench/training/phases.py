"""The phases of the strategies, named as in the paper: functions of `gram` with a trial's clock and guard.

Legend: N items of a view, D width.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from grambench import gram
from grambench.models.encoders.buckets import ItemEncoder
from grambench.models.filters.base import Filter
from grambench.training.fixed_shapes import FixedShapes
from grambench.training.group import ByTokens, Exchange, Group
from grambench.training.guard import NonFiniteGuard
from grambench.training.optim import ScheduledAdam
from grambench.training.protocols import Batch, View
from grambench.training.timing import TrainClock


@dataclass(slots=True)
class System:
    """Both modules, their optimisers and the trial's clock: everything a strategy needs."""

    encode: ItemEncoder
    filter: Filter
    encoder_optimizer: ScheduledAdam
    filter_optimizer: ScheduledAdam
    clock: TrainClock
    served: ItemEncoder | None = None
    """The encoder for evaluation; None: `encode`."""
    group: Group = field(default_factory=Group)
    """The ranks that train together."""
    owners: ByTokens = field(init=False)
    """Which rank encodes which item of a batch."""
    guard: NonFiniteGuard = field(init=False)
    """Blocks both optimisers once a loss is not finite."""
    fixed: FixedShapes = field(init=False)
    """Runs steps on fixed shapes, as CUDA graphs on CUDA; off unless `use_fixed_shapes` was called."""

    def __post_init__(self) -> None:
        self.owners = ByTokens(self.encode.tokens.lengths)
        self.guard = NonFiniteGuard(self.clock.device)
        self.fixed = FixedShapes(self.clock.device, len(self.encode.tokens))
        for optimizer in (self.encoder_optimizer, self.filter_optimizer):
            optimizer.attach_guard(self.guard)

    def use_fixed_shapes(self, filter_steps: bool = True, encoder_steps: bool = True) -> None:
        """Run these steps on fixed shapes from now on; not on several ranks, whose parts differ in shape."""
        if self.group.size > 1:
            return
        self.fixed.filter_steps, self.fixed.encoder_steps = filter_steps, encoder_steps
        for optimizer in (self.encoder_optimizer, self.filter_optimizer):
            optimizer.make_capturable(self.clock.device)

    def exchange(self, batch: Batch) -> Exchange:
        """Who encodes the distinct items of a batch, and who reads them."""
        return self.group.exchange(batch.read_by_rank(), self.owners, self.clock.device)

    def sum_gradients(self, *optimizers: ScheduledAdam) -> None:
        """Before an update: sum the gradients of these optimisers over all ranks, in one message."""
        if self.group.size > 1:
            parameters = [parameter for optimizer in optimizers for parameter in optimizer.parameters]
            self.group.sum_gradients(parameters, self.guard.found)


def filter_loss(system: System, view: View, vectors_ND: Tensor) -> Tensor:
    """The CF's loss, summed over the users of the view; 0, with a graph, if a rank has none of them."""
    return system.filter.loss(vectors_ND, view) if len(view.buffers()[0]) else 0 * vectors_ND.sum()


def filter_backward(system: System, view: View, vectors_ND: Tensor, users: int) -> tuple[Tensor, Tensor]:
    """Steps (2) and (3) of Algorithm 1 up to the pseudo-target: the CF's loss and ∂𝓛/∂h.

    Accumulates the gradient of the mean loss over `users` in the filter's parameters. The graph is cut at
    the item vectors.

    Returns:
        The loss summed over the users of the view, and the gradient [N, D] of the mean loss.
    """

    def gradients(view: View, vectors_ND: Tensor) -> tuple[Tensor, Tensor]:
        return gram.filter_backward(
            lambda leaf_ND: filter_loss(system, view, leaf_ND), vectors_ND, users, system.guard.see
        )

    loss, gradient_ND = system.fixed.run(
        "filter",
        view,
        gradients,
        vectors_ND,
        touched=lambda: [system.guard.found],
        parameters=system.filter_optimizer.parameters,
    )
    return loss, gradient_ND[: len(vectors_ND)]


def loss_backward(system: System, loss: Tensor, divisor: int) -> Tensor:
    """`gram.loss_backward`, checked by the guard; the divisor is that of the whole batch."""
    return gram.loss_backward(loss, divisor, system.guard.see)


def encoder_backward(system: System, vectors_ND: Tensor, gradient_ND: Tensor) -> None:
    """`gram.encoder_backward`: backpropagate ∂𝓛/∂h through the graph of the vectors."""
    if not len(vectors_ND) or not vectors_ND.requires_grad:  # a rank without items; nothing is trained
        return
    with system.clock.encoding():
        gram.encoder_backward(vectors_ND, gradient_ND)


def pseudo_loss_backward(system: System, loss: Tensor, items: int) -> Tensor:
    """Gradients of a loss of the encoder only, divided by the items of the whole mini-batch."""
    if not loss.requires_grad:  # nothing of the encoder is trained
        system.guard.see(loss)
        return loss.detach()
    with system.clock.encoding():
        return loss_backward(system, loss, items)


def warm_up_encoder(system: System, items_N: NDArray[np.int64]) -> None:
    """Run the encoder forward and backward on the items; the caller must clear its gradients."""
    vectors_ND = encode(system, items_N)
    encoder_backward(system, vectors_ND, torch.ones_like(vectors_ND))


@contextmanager
def dry_run(system: System, touched: Sequence[Tensor] = ()) -> Iterator[None]:
    """Restore gradients, counts, seconds, random states and touched tensors on exit."""
    state, counts = gram.RandomState.capture(system.clock.device), replace(system.encode.counts)
    kept = [(tensor, tensor.detach().clone()) for tensor in (system.guard.found, *touched)]
    optimizers = (system.encoder_optimizer, system.filter_optimizer)
    steps = [optimizer.steps for optimizer in optimizers]
    with system.clock.dry_run():
        yield
    system.encode.counts = counts
    for optimizer, number in zip(optimizers, steps, strict=True):
        optimizer.discard()
        optimizer.steps = number
    with torch.no_grad():
        for tensor, value in kept:
            tensor.copy_(value)
    state.restore()


def encode(system: System, items_N: NDArray[np.int64]) -> Tensor:
    """Item vectors [N, D] of ids on the host, with a graph unless gradients are disabled."""
    with system.clock.encoding():
        return system.encode(items_N)
