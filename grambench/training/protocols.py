"""What the loop and the strategies ask of one another: batches, strategies, and a step's results.

Legend: B users, N items of a view, D width.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from grambench.data.batches.base import SampleBatch
from grambench.data.batches.epochs import EpochSampler


class View(Protocol):
    """A batch whose indices refer to the vectors of `items_N`; only the filter reads the other fields."""

    @property
    def items_N(self) -> Tensor:
        """Item ids to encode."""

    @property
    def host_items_N(self) -> NDArray[np.int64]:
        """`items_N` on the host, which determines the shapes of the encoder's calls."""

    @property
    def occurrences(self) -> int:
        """Item occurrences, excluding padding."""

    def buffers(self) -> tuple[Tensor, ...]:
        """All tensors except `items_N`; their shapes depend only on the number of users."""

    def over(self, items_N: Tensor, buffers: Sequence[Tensor]) -> Self:
        """The view with its tensors replaced by these."""

    def apart(self) -> Self:
        """The view over its items twice: candidates index the first N vectors, histories the N after them."""


Batch = SampleBatch[View]
"""The training samples of one CF step, in the terms that every domain shares."""
Sampler = EpochSampler[Any]
"""Draws the batches."""


@dataclass(frozen=True, slots=True)
class StepResult:
    """Result of one CF step; tensors stay on the device."""

    loss: Tensor
    """Loss summed over the users, of this rank's part."""
    users: int
    """Of the whole batch."""
    occurrences: int
    """Of this rank's part."""
    unique_items: int
    """Items newly encoded for this step by this rank (multi-step: when they join the window)."""
    window: "ClosedWindow | None" = None
    batch_items: int | None = None
    """Distinct items of the batch that fall to this rank; None: `unique_items`."""


@dataclass(frozen=True, slots=True)
class ClosedWindow:
    """Statistics of a window; tensors stay on the device."""

    steps: int
    unique_items: int
    occurrences: int
    drift: Tensor
    """Mean ‖h̃ − h‖ / ‖h‖ of its items."""
    pseudo_loss: Tensor
    """Mean ½ ‖h̃ − CE(c)‖² of its items during the encoder's last pass."""
    spread_drift: Tensor | None = None
    """Mean ‖h̃ − h‖ of its items over their mean ‖h − h̄‖; None: not measured by the strategy."""
    untouched_items: int = 0
    """Items that were encoded for the window but not read by any of its steps."""


@dataclass(frozen=True, slots=True)
class Cached:
    """What the filter read in place of vectors encoded for the step: a sample of the items."""

    items_N: NDArray[np.int64]
    """Ids on the host."""
    vectors_ND: Tensor
    """As they are after the step."""
    ages_N: NDArray[np.int64]
    """CF steps done since each was encoded, that of the encoding included."""
    content_ND: Tensor | None = None
    """CE(c) of the encoder that the window began with; None: encode them with the current one."""


State = dict[str, Tensor | NDArray[Any] | int | float]
"""Values by name; missing ones have their initial value."""


@runtime_checkable
class ReadsCached(Protocol):
    """A strategy whose filter reads vectors of an earlier encoder, or vectors moved since."""

    def cached(self) -> Cached | None:
        """A sample of what the last step read; None: no step yet."""
        ...


@runtime_checkable
class KeepsVectors(Protocol):
    """A strategy whose steps read vectors, or states, that are there already."""

    def rehearse(self, batch: Batch) -> None:
        """Do the work of a CF step, on any vectors and without updates of modules; nothing of it is kept."""
        ...


class Strategy(Protocol):
    """A way to train both modules."""

    window_steps: int

    def warm_up(self, batch: Batch) -> None:
        """Do the work of a step without changing weights, so that the first step is as fast as others."""

    def step(self, batch: Batch) -> StepResult:
        """One CF step, including an encoder step if the strategy takes one."""
        ...

    def state_dict(self) -> State:
        """State between two steps, apart from weights and optimisers."""
        ...

    def load_state_dict(self, state: State) -> None:
        """Restore the state, so that the next step is the one that would have followed."""
