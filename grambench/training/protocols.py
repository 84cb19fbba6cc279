"""What the loop and the strategies ask of one another: batches, strategies, and a step's results.

Legend: B users, N items of a view, D width.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from grambench.data.batches.base import SampleBatch
from grambench.data.batches.epochs import EpochSampler


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


Batch = SampleBatch[View]
"""The training samples of one CF step, in the terms that every domain shares."""
Sampler = EpochSampler[Any]
"""Draws the batches."""


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

    def state_dict(self) -> State:
        """What it remembers between two steps, beside weights and optimisers."""
        ...

    def load_state_dict(self, state: State) -> None:
        """Load it; the next step is then the one that would have followed."""
