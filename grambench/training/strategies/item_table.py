"""The item table of a window: vectors of its items, and the same vectors moved by the CF's gradients.

Several ranks know of all items; the rows of each are held by the rank that `Group.holds` it.
Legend: I items of the catalogue, U items of the window, or on several ranks those of its rows that a rank
holds, N items of one batch, D width.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from grambench.training.group import Group, by_id
from grambench.transfer import sent

_EPS = 1e-12
TINY = 1e-30
"""Below any relevant length; its reciprocal is still finite in fp32."""
_COINCIDE = 1e-6
"""Vectors coincide if their distance from their mean is below this fraction of their length."""

Targets = Callable[[NDArray[np.int64], Tensor], Tensor]
"""Ids of a mini-batch, and their rows among all the items -> h̃ [N, D] of this rank's share of them."""


def held_by_all(group: Group, targets_UD: Tensor) -> Targets:
    """Targets that every rank holds."""
    return lambda _, rows_N: targets_UD[rows_N[group.rank :: group.size]]


class Rows:
    """The tensors of a window, which the next window may reuse; they are reallocated only to grow.

    The rows of items are followed by a row of zeros for padding.
    """

    def __init__(self, catalogue: int, width: int, dtype: torch.dtype, device: torch.device) -> None:
        self.slots_I = torch.full((catalogue + 1,), -1, dtype=torch.long, device=device)
        """Row of each item in the table; -1: not in the window. The last entry is that of padding."""
        self.start = torch.zeros(1, width, dtype=dtype, device=device)
        self.table = torch.zeros_like(self.start)
        self.moves = 0
        """Number of reallocations so far."""

    @property
    def room(self) -> int:
        """Capacity in items."""
        return len(self.table) - 1

    def clear(self) -> None:
        """Remove all items."""
        self.slots_I[:-1].fill_(-1)

    def grow(self, used: int, room: int) -> None:
        """Reallocate for `room` items; the first `used` rows are kept."""
        self.start, self.table = (_grown(rows, used, room) for rows in (self.start, self.table))
        self.slots_I[-1:].fill_(room)  # assigning a scalar would wait for the device
        self.moves += 1


class Window:
    """Vectors h of the window's items, and displaced vectors h̃; items may join while it is open."""

    def __init__(
        self,
        catalogue: int,
        width: int,
        dtype: torch.dtype,
        device: torch.device,
        frozen: bool,
        rows: Rows | None = None,
        group: Group | None = None,
    ) -> None:
        """
        Args:
            catalogue: number of items.
            width: D.
            dtype: of the vectors.
            device: of the vectors.
            frozen: the filter keeps reading h while h̃ moves.
            rows: of a closed window, to be reused; None: allocate new ones.
            group: the ranks that share the rows; None: all rows are held here.
        """
        self.group = group or Group(alone=True)
        self.host_items_U = np.empty(0, np.int64)
        """All its items, on several ranks, too."""
        self.rows_held = 0
        self.rows = rows or Rows(self.group.held(catalogue), width, dtype, device)
        self.rows.clear()
        self._known_I, self._touched_I = np.zeros(catalogue, bool), np.zeros(catalogue, bool)
        self.frozen = frozen
        self.joined_U = np.empty(0, np.int32)
        """CF steps that the window had taken when each item joined."""
        self.steps = 0
        self.occurrences = 0

    @property
    def slots_I(self) -> Tensor:
        """Row of each item in the table; -1: not in the window. The last entry is that of padding.

        Several ranks index it with `Group.slot`.
        """
        return self.rows.slots_I

    def __len__(self) -> int:
        return len(self.host_items_U)

    @property
    def start_UD(self) -> Tensor:
        """h, encoded when the item joined."""
        return self.rows.start[: self.rows_held]

    @property
    def table_UD(self) -> Tensor:
        """h̃."""
        return self.rows.table[: self.rows_held]

    def unknown(self, items_N: NDArray[np.int64]) -> NDArray[np.int64]:
        """The distinct ids that are not in the window yet."""
        return items_N[~self._known_I[items_N]]

    def join(self, items_N: NDArray[np.int64], vectors_ND: Tensor) -> None:
        """Append rows for new items; the vectors are those of the items that this rank holds."""
        own_N = items_N[self.group.holds(items_N)]
        before, count = self.rows_held, self.rows_held + len(own_N)
        if count > self.rows.room:  # double the capacity, so that joining takes amortised linear time
            self.rows.grow(before, count if not before else max(count, 2 * before))
        self.rows.start[before:count] = vectors_ND
        self.rows.table[before:count] = vectors_ND
        self.host_items_U, self.rows_held = np.concatenate((self.host_items_U, items_N)), count
        self.joined_U = np.append(self.joined_U, np.full(len(items_N), self.steps, np.int32))
        self._known_I[items_N] = True
        device, places_N = self.slots_I.device, torch.from_numpy(self.group.slot(own_N))
        self.slots_I[sent(places_N, device)] = torch.arange(before, count, device=device)

    def touch(self, items_N: NDArray[np.int64]) -> None:
        """Record that a step has read these items."""
        self._touched_I[items_N] = True

    @property
    def touched_U(self) -> NDArray[np.bool_]:
        """Which of the window's items its steps have read so far."""
        return self._touched_I[self.host_items_U]

    def read(self, slots_N: Tensor) -> Tensor:
        """The vectors [N, D] for the filter."""
        return (self.rows.start if self.frozen else self.rows.table)[slots_N]

    def move(self, slots_N: Tensor, displacement_ND: Tensor) -> None:
        """h̃ ← h̃ + displacement on distinct rows; all other rows stay bit-equal."""
        self.rows.table.index_add_(0, slots_N, displacement_ND)

    def state_dict(self) -> dict[str, Tensor | NDArray[Any] | int | float]:
        """Items, both vectors of each, and the counts."""
        return {
            "items": self.host_items_U,
            "start": self.group.at_leader(self.host_items_U, self.start_UD, self.slots_I),
            "table": self.group.at_leader(self.host_items_U, self.table_UD, self.slots_I),
            "steps": self.steps,
            "occurrences": self.occurrences,
            "touched": self.touched_U,
            "joined": self.joined_U,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore the state into an empty window."""
        items_U = np.asarray(state["items"])
        start_UD, table_UD = (torch.as_tensor(state[name]) for name in ("start", "table"))
        own_U = self.group.holds(items_U)
        self.join(items_U, start_UD[own_U].to(self.slots_I.device))
        self.table_UD.copy_(table_UD[own_U])
        self.steps, self.occurrences = int(state["steps"]), int(state["occurrences"])
        all_U = np.ones(len(self), bool)  # in version 0.1 a window encoded only items that it read
        read_U = np.asarray(state.get("touched", all_U), bool)
        self.touch(self.host_items_U[read_U])
        self.joined_U = np.asarray(state.get("joined", self.joined_U), np.int32)

    def touched_rows(self) -> Tensor | slice:
        """Rows of the touched items, as indices; a full slice if all of them are (or none is)."""
        touched_U = self.touched_U
        if touched_U.all() or not touched_U.any():
            return slice(None)
        own_U = touched_U[self.group.holds(self.host_items_U)]
        return sent(torch.from_numpy(own_U.nonzero()[0]), self.slots_I.device)

    def targets(self) -> Targets:
        """h̃ of the touched items, in the order of `host_items_U`."""
        if self.group.size == 1:
            return held_by_all(self.group, self.table_UD[self.touched_rows()])
        return self._fetched

    def _fetched(self, items_N: NDArray[np.int64], rows_N: Tensor) -> Tensor:
        exchange = self.group.exchange(self.group.shares(items_N), by_id, rows_N.device)
        return exchange.fetch(self.rows.table[self.slots_I[exchange.slots(rows_N)]])

    def drift(self) -> Tensor:
        """Mean ‖h̃ − h‖ / ‖h‖ of the touched items."""
        rows = self.touched_rows()
        start_UD = self.start_UD[rows]
        moved_U: Tensor = (self.table_UD[rows] - start_UD).norm(dim=1)
        relative_U: Tensor = moved_U / start_UD.norm(dim=1).clamp_min(_EPS)
        return self.group.mean(relative_U)

    def spread_drift(self) -> Tensor:
        """Mean ‖h̃ − h‖ of the touched items, over their spread.

        A ratio of means rather than a mean of ratios: the ratio of an item near the mean vector would be
        unbounded. Invariant to translation and scaling of all vectors.
        """
        rows = self.touched_rows()
        start_UD = self.start_UD[rows]
        moved_U: Tensor = (self.table_UD[rows] - start_UD).norm(dim=1)
        return self.group.mean(moved_U.double()) / spread(start_UD, self.group).clamp_min(TINY)


def spread(vectors_UD: Tensor, group: Group) -> Tensor:
    """Mean ‖h − h̄‖ of vectors h with mean h̄; fp64.

    A mean of distances is less sensitive to outliers than a root mean square. If the vectors coincide (a
    single item, a collapsed encoder), it is their mean length.
    """
    distance = group.mean((vectors_UD - group.mean(vectors_UD)).norm(dim=1).double())
    length = group.mean(vectors_UD.norm(dim=1).double())
    return torch.where(distance > _COINCIDE * length, distance, length)


def _grown(rows: Tensor, used: int, room: int) -> Tensor:
    larger = rows.new_empty(room + 1, rows.shape[1])
    larger[:used] = rows[:used]
    larger[room:].fill_(0)
    return larger
