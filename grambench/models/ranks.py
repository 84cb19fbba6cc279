"""How ranks share a list of pieces of work: piece i is done by rank i % size, and its result read by all."""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor


class Ranks(Protocol):
    """The ranks that share a list; see `training.group.Group`."""

    @property
    def rank(self) -> int:
        """This process."""

    @property
    def size(self) -> int:
        """W."""

    def join(self, own: Sequence[Tensor], count: int, empty: Tensor) -> Tensor:
        """The results of all `count` pieces in one row, from those that each rank has computed; collective.

        `empty` has the type and width of a result, and no rows.
        """


class Alone:
    """One process, which does everything itself."""

    rank, size = 0, 1

    def join(self, own: Sequence[Tensor], count: int, empty: Tensor) -> Tensor:
        """All results in one row."""
        del count, empty
        return torch.cat(list(own))


ALONE = Alone()
