"""The item table of a window: vectors that the CF's gradients move.

Legend: I items of the catalogue, U items of the window, N items of one batch, D width.
"""

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from grambench.gram import row_adagrad
from grambench.transfer import sent

_EPS = 1e-12
_TINY = 1e-30
"""Below every length that matters; its reciprocal is still a number in fp32."""
_COINCIDE = 1e-6
"""Vectors coincide when they lie closer to their mean than this share of their length."""


class TableOptimizer:
    """Moves touched rows only, in the precision of the table: fp32 (fp64 for an fp64 encoder).

    What it accumulates is fp64 in any case, and lies on the device: a step reads nothing on the host.
    """

    def __init__(
        self, rule: Literal["adagrad", "sgd", "relative"], lr: float, catalogue: int, device: torch.device
    ) -> None:
        """`sgd` with lr 1 is the paper's eq. 6; the others keep one accumulator an item."""
        self.rule, self.lr, self.catalogue = rule, lr, catalogue
        self.accumulator_I = torch.zeros(
            0 if rule == "sgd" else catalogue + 1, dtype=torch.float64, device=device
        )
        """The last one is the padding's, whose gradient is 0."""
        self.totals_2 = torch.zeros(2, dtype=torch.float64, device=device)
        """`relative`: the sum of ‖g‖² over all rows that were touched, and how many these were."""
        self.spread = torch.zeros((), dtype=torch.float64, device=device)
        """`relative`: of the open window's items."""

    def begin_epoch(self) -> None:
        """Forget the accumulated squares."""
        self.accumulator_I.zero_()
        self.totals_2.zero_()

    def measure(self, window: "Window") -> None:
        """Take the spread of a window's items, whenever some have joined."""
        if self.rule == "relative":
            self.spread.copy_(spread(window.start_UD))

    def displacement(self, items_N: Tensor, gradient_ND: Tensor) -> Tensor:
        """What is added to the rows of `items_N` (distinct ids) for the gradient of the SUM loss.

        `adagrad`: see `gram.row_adagrad`.

        `relative`: G ← G + ‖g‖², Ḡ the mean of ‖g‖² over all rows touched in this epoch, s the spread of the
        window's items, displacement −lr · s · g / √(G + Ḡ). A first displacement is at most lr · s, and is
        shorter the weaker the row's gradient is beside those of the others. Adding a constant to all vectors
        leaves it as it is; vectors c times as long, read by a filter that divides them by c, have gradients
        1/c as long and displacements c times as long: the same path on another scale.
        """
        if self.rule == "sgd":
            return -self.lr * gradient_ND
        if self.rule == "relative":
            return self._relative(items_N, gradient_ND)
        return row_adagrad(self.accumulator_I, items_N, gradient_ND, self.lr)

    def _relative(self, items_N: Tensor, gradient_ND: Tensor) -> Tensor:
        lengths_N = gradient_ND.double().square().sum(dim=1)
        squares_N = self.accumulator_I[items_N] + lengths_N
        self.accumulator_I[items_N] = squares_N
        touched = (items_N < self.catalogue).sum()
        self.totals_2 += torch.stack((lengths_N.sum(), touched.double()))
        mean_square = self.totals_2[0] / self.totals_2[1].clamp_min(1)
        scale_N = self.lr * self.spread / (squares_N + mean_square).sqrt().clamp_min(_TINY)
        return -scale_N[:, None].to(gradient_ND.dtype) * gradient_ND

    def touched(self) -> list[Tensor]:
        """Tensors that a displacement changes."""
        return [self.accumulator_I, self.totals_2]

    def state_dict(self) -> dict[str, Tensor]:
        """The accumulators, and what `relative` keeps beside them."""
        more = {"totals": self.totals_2, "spread": self.spread} if self.rule == "relative" else {}
        return {"accumulator": self.accumulator_I[:-1], **more}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Load them."""
        self.accumulator_I[:-1].copy_(torch.as_tensor(state["accumulator"]))
        if self.rule == "relative":
            self.totals_2.copy_(torch.as_tensor(state["totals"]))
            self.spread.copy_(torch.as_tensor(state["spread"]))


class Rows:
    """The tensors of a window, which the next window may take over: they move only when they grow.

    Behind the rows of items lies one of zeros, the padding's.
    """

    def __init__(self, catalogue: int, width: int, dtype: torch.dtype, device: torch.device) -> None:
        self.slots_I = torch.full((catalogue + 1,), -1, dtype=torch.long, device=device)
        """Row of each item in the table; -1: not in the window. The last one is the padding's."""
        self.start = torch.zeros(1, width, dtype=dtype, device=device)
        self.table = torch.zeros_like(self.start)
        self.moves = 0
        """How often the tensors have moved."""

    @property
    def room(self) -> int:
        """Items that it can hold."""
        return len(self.table) - 1

    def clear(self) -> None:
        """Forget which items it holds."""
        self.slots_I[:-1].fill_(-1)

    def grow(self, used: int, room: int) -> None:
        """Make room for so many items; the first `used` ones stay."""
        self.start, self.table = (_grown(rows, used, room) for rows in (self.start, self.table))
        self.slots_I[-1:].fill_(room)  # an assignment to one entry copies a number, and waits for the device
        self.moves += 1


class Window:
    """Vectors h of the window's items and the displaced h̃; items may join while it is open."""

    def __init__(
        self,
        catalogue: int,
        width: int,
        dtype: torch.dtype,
        device: torch.device,
        frozen: bool,
        rows: Rows | None = None,
    ) -> None:
        """
        Args:
            catalogue: items.
            width: D.
            dtype: of the vectors.
            device: where they lie.
            frozen: the filter goes on reading h while h̃ moves.
            rows: of a window that has closed, to be taken over; None: new ones.
        """
        self.host_items_U = np.empty(0, np.int64)
        self.rows = rows or Rows(catalogue, width, dtype, device)
        self.rows.clear()
        self._known_I, self._touched_I = np.zeros(catalogue, bool), np.zeros(catalogue, bool)
        self.frozen = frozen
        self.steps = 0
        self.occurrences = 0

    @property
    def slots_I(self) -> Tensor:
        """Row of each item in the table; -1: not in the window. The last one is the padding's."""
        return self.rows.slots_I

    def __len__(self) -> int:
        return len(self.host_items_U)

    @property
    def start_UD(self) -> Tensor:
        """h, as encoded when the item joined."""
        return self.rows.start[: len(self)]

    @property
    def table_UD(self) -> Tensor:
        """h̃."""
        return self.rows.table[: len(self)]

    def unknown(self, items_N: NDArray[np.int64]) -> NDArray[np.int64]:
        """Those of the distinct ids that are not in the window yet."""
        return items_N[~self._known_I[items_N]]

    def join(self, items_N: NDArray[np.int64], vectors_ND: Tensor) -> None:
        """Give new items their rows, behind those that are there."""
        before, count = len(self), len(self) + len(items_N)
        if count > self.rows.room:  # room for as many again, so that joining stays linear
            self.rows.grow(before, count if not before else max(count, 2 * before))
        self.rows.start[before:count] = vectors_ND
        self.rows.table[before:count] = vectors_ND
        self.host_items_U = np.concatenate((self.host_items_U, items_N))
        self._known_I[items_N] = True
        device = self.slots_I.device
        self.slots_I[sent(torch.from_numpy(items_N), device)] = torch.arange(before, count, device=device)

    def touch(self, items_N: NDArray[np.int64]) -> None:
        """Note that a step has read these items."""
        self._touched_I[items_N] = True

    @property
    def touched_U(self) -> NDArray[np.bool_]:
        """Which of the window's items its steps have read so far."""
        return self._touched_I[self.host_items_U]

    def read(self, slots_N: Tensor) -> Tensor:
        """The vectors [N, D] that the filter sees."""
        return (self.rows.start if self.frozen else self.rows.table)[slots_N]

    def move(self, slots_N: Tensor, displacement_ND: Tensor) -> None:
        """h̃ ← h̃ + displacement on distinct rows; every other row stays bit-equal."""
        self.rows.table.index_add_(0, slots_N, displacement_ND)

    def state_dict(self) -> dict[str, Tensor | NDArray[Any] | int | float]:
        """Items, both vectors of each, and the counts."""
        return {
            "items": self.host_items_U,
            "start": self.start_UD,
            "table": self.table_UD,
            "steps": self.steps,
            "occurrences": self.occurrences,
            "touched": self.touched_U,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Load them into a window without items."""
        self.join(np.asarray(state["items"]), torch.as_tensor(state["start"]).to(self.slots_I.device))
        self.table_UD.copy_(torch.as_tensor(state["table"]))
        self.steps, self.occurrences = int(state["steps"]), int(state["occurrences"])
        all_U = np.ones(len(self), bool)  # a window of version 0.1 has read every item that it encoded
        read_U = np.asarray(state.get("touched", all_U), bool)
        self.touch(self.host_items_U[read_U])

    def touched_rows(self) -> Tensor | slice:
        """Rows of the items that were touched: all of them as a slice, otherwise their numbers."""
        touched_U = self.touched_U
        if touched_U.all() or not touched_U.any():
            return slice(None)
        return sent(torch.from_numpy(touched_U.nonzero()[0]), self.slots_I.device)

    def drift(self) -> Tensor:
        """Mean ‖h̃ − h‖ / ‖h‖ of the items that were touched."""
        rows = self.touched_rows()
        start_UD = self.start_UD[rows]
        moved_U: Tensor = (self.table_UD[rows] - start_UD).norm(dim=1)
        relative_U: Tensor = moved_U / start_UD.norm(dim=1).clamp_min(_EPS)
        return relative_U.mean()

    def spread_drift(self) -> Tensor:
        """Mean ‖h̃ − h‖ of the items that were touched, over their spread.

        A ratio of two means, not the mean of ratios: an item that happens to lie near the others' mean
        would have a ratio without bound. Invariant to a constant that is added to all vectors, and to their
        scale.
        """
        rows = self.touched_rows()
        start_UD = self.start_UD[rows]
        moved_U: Tensor = (self.table_UD[rows] - start_UD).norm(dim=1)
        return moved_U.double().mean() / spread(start_UD).clamp_min(_TINY)


def spread(vectors_UD: Tensor) -> Tensor:
    """Mean ‖h − h̄‖ of vectors h, h̄ their mean; fp64.

    A mean of distances, which one outlier moves less than it does a root mean square. Where the vectors
    coincide (a single item, an encoder that has collapsed) it is the mean length of the vectors.
    """
    distance = (vectors_UD - vectors_UD.mean(dim=0)).norm(dim=1).double().mean()
    length = vectors_UD.norm(dim=1).double().mean()
    return torch.where(distance > _COINCIDE * length, distance, length)


def _grown(rows: Tensor, used: int, room: int) -> Tensor:
    larger = rows.new_empty(room + 1, rows.shape[1])
    larger[:used] = rows[:used]
    larger[room:].fill_(0)
    return larger
