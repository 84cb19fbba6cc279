"""What the batches of all domains share: their place in a block, their parts, and their views.

Legend: B users, S samples of a block.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from operator import itemgetter
from typing import Any, ClassVar, Generic, NamedTuple, Self, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from grambench.data.batches.block import Block, Indexed, Place

Samples = tuple[Tensor, Tensor, Tensor]
"""A domain's three tensors of a set of samples, in the order of its batch's fields."""
ViewT = TypeVar("ViewT", covariant=True)


class PlannedShare(NamedTuple):
    """What a step takes of the planned training: shares of its samples, 0 to 1."""

    before: float
    """Trained before the step."""
    after: float
    """Trained after it."""

    def split(self, parts: int) -> Iterator["PlannedShare"]:
        """Equal parts, in order."""
        ends = [self.before + (self.after - self.before) * part / parts for part in range(parts + 1)]
        return map(PlannedShare, ends, ends[1:])


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
    of_users: int | None = field(default=None, repr=False, kw_only=True)
    """Users of the whole batch, if this is a rank's part of one."""
    progress: PlannedShare | None = field(default=None, repr=False, compare=False, kw_only=True)
    """What the step takes of the planned training; None: a batch outside of it."""
    keys_B: Tensor = field(repr=False, compare=False, kw_only=True)
    """What each user's random numbers in this epoch are drawn from, in whatever part the user is."""

    @staticmethod
    @abstractmethod
    def block_of(samples: Samples, step_ends: Sequence[int]) -> Block:
        """The samples of some steps, ready to be indexed; `step_ends` as `Block` takes them."""

    @abstractmethod
    def view(self, indexed: Indexed) -> ViewT:
        """The batch over these items."""

    def candidates(self) -> NDArray[np.int64]:
        """Ids, on the host, of what the loss scores: candidates, or the questions asked; with repetitions."""
        raise NotImplementedError

    def __post_init__(self) -> None:
        if self.place is None:
            one, two, three = (getattr(self, name) for name in self.tensors)
            block = self.block_of((one, two, three), [self.rows])
            object.__setattr__(self, "place", Place(block, 0, slice(0, self.rows)))

    @property
    def at(self) -> Place:
        """The batch's place in its block; requires that it has one."""
        assert self.place is not None
        return self.place

    @property
    def users(self) -> int:
        """Users of the whole batch, over which its loss is a mean."""
        return self.rows if self.of_users is None else self.of_users

    @property
    def rows(self) -> int:
        """B: users at hand."""
        return len(getattr(self, self.tensors[0]))

    def occurrences(self) -> ViewT:
        """The view of E2E: each appearance is an item of its own."""
        return self.view(self.at.block.occurrences_of(self.at.rows))

    def unique(self) -> ViewT:
        """The view of GRAM: each distinct item once, ascending."""
        at = self._whole_step().at
        return self.view(at.block.unique_of(at.step, at.rows))

    def read_by_rank(self) -> list[NDArray[np.int64]]:
        """The distinct items, ascending, of each rank's part of the batch, on the host."""
        at = self._whole_step().at
        return at.block.read_by_rank(at.step)

    def repeated(self) -> Self:
        """Every user twice, so that every item repeats."""
        return self._changed(lambda tensor: torch.cat((tensor, tensor)), None)

    def split(self, users: int) -> Iterator[Self]:
        """Micro-batches of at most `users` users."""
        rows = self.at.rows
        for start in range(rows.start, rows.stop, users):
            yield self._cut(replace(self.at, rows=slice(start, min(start + users, rows.stop))))

    def part(self, rank: int, ranks: int) -> Self:
        """The users of one of several ranks, in order and as equal in number as possible; maybe none."""
        if ranks == 1:
            return self
        whole = self._whole_step()
        block, step = whole.at.block.cut(ranks), whole.at.step * ranks + rank
        rows = slice(block.step_starts[step], block.step_ends[step])
        return whole._cut(Place(block, step, rows), self.users)

    def _whole_step(self) -> Self:
        """The batch with a place of which it is a whole step: a micro-batch gets a block of its own."""
        return self if self.at.is_whole_step() else replace(self, place=None)

    def _cut(self, place: Place, of_users: int | None = None) -> Self:
        first, rows = self.at.rows.start, place.rows
        return self._changed(itemgetter(slice(rows.start - first, rows.stop - first)), place, of_users)

    def _changed(
        self, change: Callable[[Tensor], Tensor], place: Place | None, of_users: int | None = None
    ) -> Self:
        names = (*self.tensors, "keys_B")
        changed: dict[str, Any] = {name: change(getattr(self, name)) for name in names}
        return replace(self, place=place, of_users=of_users, **changed)
