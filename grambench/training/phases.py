"""The phases that the strategies are made of, named as in the paper.

Legend: B users, N items of a view, D width.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from grambench.models.encoders.buckets import ItemEncoder
from grambench.training.fixed_shapes import FixedShapes
from grambench.training.guard import Guard
from grambench.training.optim import ScheduledAdam
from grambench.training.random_state import RandomState
from grambench.training.timing import TrainClock


class View(Protocol):
    """A batch whose indices point into the vectors of `items_N`; the rest is the filter's to read."""

    @property
    def items_N(self) -> Tensor:
        """Item ids to encode."""

    @property
    def host_items_N(self) -> NDArray[np.int64]:
        """`items_N` on the host, where the shapes of the encoder's calls are decided."""

    @property
    def occurrences(self) -> int:
        """Item appearances, padding excluded."""

    def buffers(self) -> tuple[Tensor, ...]:
        """All tensors but `items_N`, in shapes that follow from the number of users alone."""

    def over(self, items_N: Tensor, buffers: Sequence[Tensor]) -> Self:
        """The view with these tensors in place of its own."""


class Batch(Protocol):
    """The training samples of one CF step, in the terms that every domain shares."""

    @property
    def epoch(self) -> int:
        """From 0."""

    @property
    def step(self) -> int:
        """CF steps before this one, over all epochs."""

    @property
    def ends_epoch(self) -> bool: ...

    @property
    def ends_training(self) -> bool: ...

    @property
    def users(self) -> int: ...

    def occurrences(self) -> View:
        """Each appearance is an item of its own."""

    def unique(self) -> View:
        """Each distinct item once, ascending."""

    def split(self, users: int) -> Iterator[Self]:
        """Micro-batches."""

    def repeated(self) -> Self:
        """The same users twice, so that every item appears again."""


class Sampler(Protocol):
    """Draws the batches."""

    @property
    def device(self) -> torch.device: ...

    @property
    def steps_per_epoch(self) -> int: ...

    def items_ahead(self, step: int, steps: int) -> NDArray[np.int64]:
        """Distinct item ids of the batches of `steps` steps from `step` on, ascending."""


class Filter(Protocol):
    """A collaborative filter (an `nn.Module`)."""

    def parameters(self) -> Iterator[nn.Parameter]: ...

    def loss(self, item_vectors_ND: Tensor, batch: Any) -> Tensor:
        """Loss SUMMED over the users of the view."""


@dataclass(slots=True)
class System:
    """Both modules with their optimisers and the trial's clock: all that a strategy needs."""

    encode: ItemEncoder
    filter: Filter
    encoder_optimizer: ScheduledAdam
    filter_optimizer: ScheduledAdam
    clock: TrainClock
    served: ItemEncoder | None = None
    """What evaluation reads, where it is not `encode`."""
    guard: Guard = field(init=False)
    """Holds both optimisers back once a loss is not finite."""
    fixed: FixedShapes = field(init=False)
    """Runs steps over fixed shapes, as CUDA graphs on CUDA; off unless `use_fixed_shapes` was called."""

    def __post_init__(self) -> None:
        self.guard = Guard(self.clock.device)
        self.fixed = FixedShapes(self.clock.device, len(self.encode.tokens))
        for optimizer in (self.encoder_optimizer, self.filter_optimizer):
            optimizer.obey(self.guard)

    def use_fixed_shapes(self, filter_steps: bool = True, encoder_steps: bool = True) -> None:
        """Run these steps over fixed shapes from now on."""
        self.fixed.filter_steps, self.fixed.encoder_steps = filter_steps, encoder_steps
        for optimizer in (self.encoder_optimizer, self.filter_optimizer):
            optimizer.make_capturable(self.clock.device)


@dataclass(frozen=True, slots=True)
class StepResult:
    """What one CF step did; tensors are left on the device."""

    loss: Tensor
    """Loss summed over the users."""
    users: int
    occurrences: int
    unique_items: int
    """Items that the strategy had to encode anew for this step (multi-step: at the window's start)."""
    window: "ClosedWindow | None" = None


@dataclass(frozen=True, slots=True)
class ClosedWindow:
    """A window in numbers; tensors are left on the device."""

    steps: int
    unique_items: int
    occurrences: int
    drift: Tensor
    """Mean ‖h̃ − h‖ / ‖h‖ of its items."""
    pseudo_loss: Tensor
    """Mean over its items of ½ ‖h̃ − CE(c)‖² during the encoder's last pass."""
    spread_drift: Tensor | None = None
    """Mean ‖h̃ − h‖ of its items over the mean of their ‖h − h̄‖; None: the strategy does not measure it."""
    untouched_items: int = 0
    """Items that were encoded for it, and that no step of it has read."""


State = dict[str, Tensor | NDArray[Any] | int | float]
"""By name; what is absent has its first value."""


class Strategy(Protocol):
    """A way to train both modules: the only thing that differs between two trials."""

    window_steps: int

    def warm_up(self, batch: Batch) -> None:
        """Run the work of a step without changing a weight, so that the first step is as fast as any."""

    def step(self, batch: Batch) -> StepResult:
        """One CF step, with the encoder's step where the strategy has one."""
        ...

    def state(self) -> State:
        """What it remembers between two steps, beside weights and optimisers."""
        ...

    def restore(self, state: State) -> None:
        """Remember it again; the next step is then the one that would have followed."""


def filter_backward(system: System, view: View, vectors_ND: Tensor, users: int) -> tuple[Tensor, Tensor]:
    """Steps (2) and (3) of Algorithm 1 up to the pseudo-target: the CF's loss and ∂𝓛/∂h.

    The filter's parameters receive the gradient of the mean loss over `users`. The graph is cut at
    the item vectors.

    Returns:
        The loss summed over the users of the view, and the gradient [N, D] of the mean loss.
    """

    def gradients(view: View, vectors_ND: Tensor) -> tuple[Tensor, Tensor]:
        leaf_ND = vectors_ND.detach().requires_grad_()
        loss: Tensor = system.filter.loss(leaf_ND, view)
        (loss / users).backward()
        assert leaf_ND.grad is not None
        system.guard.see(loss, leaf_ND.grad)
        return loss.detach(), leaf_ND.grad

    loss, gradient_ND = system.fixed.run(
        "filter",
        view,
        gradients,
        vectors_ND,
        touched=lambda: [system.guard.found],
        parameters=system.filter_optimizer.parameters,
    )
    return loss, gradient_ND[: len(vectors_ND)]


def encoder_backward(system: System, vectors_ND: Tensor, gradient_ND: Tensor) -> None:
    """Step (4) for N = 1: push ∂𝓛/∂h through the graph that is already there.

    The gradient of the pseudo-loss ½ Σ ‖h̃ − CE(c)‖² at h̃ = h − ∂𝓛/∂h is this vector-Jacobian
    product, without a second forward pass or a subtraction of nearly equal numbers.
    """
    with system.clock.encoding():
        torch.autograd.backward(vectors_ND, gradient_ND)


@contextmanager
def rehearsal(system: System, touched: Sequence[Tensor] = ()) -> Iterator[None]:
    """Afterwards gradients, counts, seconds, random states and touched tensors are what they were before."""
    state, counts = RandomState.capture(system.clock.device), replace(system.encode.counts)
    kept = [(tensor, tensor.detach().clone()) for tensor in (system.guard.found, *touched)]
    optimizers = (system.encoder_optimizer, system.filter_optimizer)
    steps = [optimizer.steps for optimizer in optimizers]
    with system.clock.rehearsing():
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
    """Item vectors [N, D] of ids on the host, with a graph unless the caller forbids it."""
    with system.clock.encoding():
        return system.encode(items_N)
