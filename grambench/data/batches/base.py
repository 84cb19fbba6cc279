"""What the batches of all domains share: their place in a block, their parts, and their views.

Legend: B users, S samples of a block.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from operator import itemgetter
from typing import Any, ClassVar, Generic, Self, TypeVar

from torch import Tensor

from grambench.data.batches.block import Block, Indexed, Place

Samples = tuple[Tensor, Tensor, Tensor]
"""A domain's three tensors of a set of samples, in the order of its batch's fields."""
ViewT = TypeVar("ViewT", covariant=True)


@dataclass(frozen=True, slots=True)
class SampleBatch(ABC, Generic[ViewT]):
    """Training samples of one step, as item ids of the catalogue; a domain adds its three tensors."""

    tensors: ClassVar[tuple[str, str, str]]
    """Names of these fields."""

    epoch: int
    """From 0."""
    step: int
    """CF steps before this one, over all epochs."""
    ends_epoch: bool
    ends_training: bool
    place: Place | None = field(default=None, repr=False, compare=False, kw_only=True)
    """Left out: it becomes a block of its own."""

    @staticmethod
    @abstractmethod
    def block_of(samples: Samples, step_ends: Sequence[int]) -> Block:
        """The samples of some steps, ready to be indexed; `step_ends` as `Block` takes them."""

    @abstractmethod
    def view(self, indexed: Indexed) -> ViewT:
        """The batch over these items."""

    def __post_init__(self) -> None:
        if self.place is None:
            one, two, three = (getattr(self, name) for name in self.tensors)
            block = self.block_of((one, two, three), [self.users])
            object.__setattr__(self, "place", Place(block, 0, slice(0, self.users)))

    @property
    def at(self) -> Place:
        """The batch's place in its block; requires that it has one."""
        assert self.place is not None
        return self.place

    @property
    def users(self) -> int:
        """B."""
        return len(getattr(self, self.tensors[0]))

    def occurrences(self) -> ViewT:
        """The view of E2E: each appearance is an item of its own."""
        return self.view(self.at.block.occurrences_of(self.at.rows))

    def unique(self) -> ViewT:
        """The view of GRAM: each distinct item once, ascending."""
        if not self.at.is_whole_step():
            return replace(self, place=None).unique()
        return self.view(self.at.block.unique_of(self.at.step))

    def repeated(self) -> Self:
        """Every user twice, so that every item repeats."""
        return self._changed(lambda tensor: tensor.repeat(2, 1), None)

    def split(self, users: int) -> Iterator[Self]:
        """Micro-batches of at most `users` users."""
        first = self.at.rows.start
        for start in range(0, self.users, users):
            stop = min(start + users, self.users)
            place = replace(self.at, rows=slice(first + start, first + stop))
            yield self._changed(itemgetter(slice(start, stop)), place)

    def _changed(self, change: Callable[[Tensor], Tensor], place: Place | None) -> Self:
        changed: dict[str, Any] = {name: change(getattr(self, name)) for name in self.tensors}
        return replace(self, place=place, **changed)
