"""The item table of a window: vectors that the CF's gradients move.

Legend: I items of the catalogue, U items of the window, N items of one batch, D width.
"""

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from grambench.transfer import sent

_EPS = 1e-12


class TableOptimizer:
    """Moves touched rows only, in the precision of the table: fp32 (fp64 for an fp64 encoder).

    The accumulators, one number an item, are fp64 in any case.
    """

    def __init__(
        self, rule: Literal["adagrad", "sgd"], lr: float, catalogue: int, device: torch.device
    ) -> None:
        """`sgd` with lr 1 is the paper's eq. 6; `adagrad` keeps one accumulator an item."""
        self.rule, self.lr = rule, lr
        self.accumulator_I = torch.zeros(
            catalogue if rule == "adagrad" else 0, dtype=torch.float64, device=device
        )

    def begin_epoch(self) -> None:
        """Forget the accumulated squares."""
        self.accumulator_I.zero_()

    def displacement(self, items_N: Tensor, gradient_ND: Tensor) -> Tensor:
        """What is added to the rows of `items_N` (distinct ids) for the gradient of the SUM loss.

        Row-wise Adagrad: G ← G + mean(g²), displacement −lr · g / √G.
        """
        if self.rule == "sgd":
            return -self.lr * gradient_ND
        squares_N = self.accumulator_I[items_N] + gradient_ND.square().mean(dim=1).double()
        self.accumulator_I[items_N] = squares_N
        scale_N = self.lr / (squares_N + _EPS).sqrt()
        return -scale_N[:, None].to(gradient_ND.dtype) * gradient_ND


class Window:
    """Vectors h of the window's items and the displaced h̃; items may join while it is open."""

    def __init__(
        self, catalogue: int, width: int, dtype: torch.dtype, device: torch.device, frozen: bool
    ) -> None:
        """`frozen`: the filter goes on reading h while h̃ moves."""
        self.host_items_U = np.empty(0, np.int64)
        self.slots_I = torch.full((catalogue,), -1, dtype=torch.long, device=device)
        """Row of each item in the table; -1: not in the window."""
        self._known_I = np.zeros(catalogue, bool)
        self._start = torch.empty(0, width, dtype=dtype, device=device)
        self._table = torch.empty_like(self._start)
        self.frozen = frozen
        self.steps = 0
        self.occurrences = 0

    def __len__(self) -> int:
        return len(self.host_items_U)

    @property
    def start_UD(self) -> Tensor:
        """h, as encoded when the item joined."""
        return self._start[: len(self)]

    @property
    def table_UD(self) -> Tensor:
        """h̃."""
        return self._table[: len(self)]

    def unknown(self, items_N: NDArray[np.int64]) -> NDArray[np.int64]:
        """Those of the distinct ids that are not in the window yet."""
        return items_N[~self._known_I[items_N]]

    def join(self, items_N: NDArray[np.int64], vectors_ND: Tensor) -> None:
        """Give new items their rows, behind those that are there."""
        before, count = len(self), len(self) + len(items_N)
        if count > len(self._table):  # room for as many again, so that joining stays linear
            room = count if not before else max(count, 2 * before)
            self._start, self._table = (_grown(rows, before, room) for rows in (self._start, self._table))
        self._start[before:count] = vectors_ND
        self._table[before:count] = vectors_ND
        self.host_items_U = np.concatenate((self.host_items_U, items_N))
        self._known_I[items_N] = True
        device = self.slots_I.device
        self.slots_I[sent(torch.from_numpy(items_N), device)] = torch.arange(before, count, device=device)

    def read(self, slots_N: Tensor) -> Tensor:
        """The vectors [N, D] that the filter sees."""
        return (self._start if self.frozen else self._table)[slots_N]

    def move(self, slots_N: Tensor, displacement_ND: Tensor) -> None:
        """h̃ ← h̃ + displacement on distinct rows; every other row stays bit-equal."""
        self._table.index_add_(0, slots_N, displacement_ND)

    def state(self) -> dict[str, Tensor | NDArray[Any] | int | float]:
        """Items, both vectors of each, and the counts."""
        return {
            "items": self.host_items_U,
            "start": self.start_UD,
            "table": self.table_UD,
            "steps": self.steps,
            "occurrences": self.occurrences,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """The inverse of `state`, for a window without items."""
        self.join(np.asarray(state["items"]), torch.as_tensor(state["start"]).to(self.slots_I.device))
        self.table_UD.copy_(torch.as_tensor(state["table"]))
        self.steps, self.occurrences = int(state["steps"]), int(state["occurrences"])

    def drift(self) -> Tensor:
        """Mean ‖h̃ − h‖ / ‖h‖ of the window's items."""
        moved_U: Tensor = (self.table_UD - self.start_UD).norm(dim=1)
        relative_U: Tensor = moved_U / self.start_UD.norm(dim=1).clamp_min(_EPS)
        return relative_U.mean()


def _grown(rows: Tensor, used: int, room: int) -> Tensor:
    larger = rows.new_empty(room, rows.shape[1])
    larger[:used] = rows[:used]
    return larger
