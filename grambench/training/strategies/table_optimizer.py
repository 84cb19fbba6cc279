"""How far an item vector moves for its gradient: SGD, row-wise Adagrad, or Adagrad relative to the spread.

Legend: I items of the catalogue, U items of the window, N items of one batch, D width.
"""

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from grambench.gram import row_adagrad
from grambench.training.group import Group
from grambench.training.strategies.item_table import TINY, Window, spread


class TableOptimizer:
    """Moves only touched rows, in the precision of the table: fp32 (fp64 for an fp64 encoder).

    Accumulators are always fp64 and on the device: a step reads nothing on the host.
    """

    def __init__(
        self,
        rule: Literal["adagrad", "sgd", "relative"],
        lr: float,
        catalogue: int,
        device: torch.device,
        group: Group | None = None,
    ) -> None:
        """`sgd` with lr 1 is the paper's eq. 6; the other rules keep one accumulator per item.

        `group`: the ranks that share the table; each keeps the accumulators of the rows that it holds.
        """
        self.rule, self.lr, self.group = rule, lr, group or Group(alone=True)
        self.items_I = np.arange(0 if rule == "sgd" else catalogue)
        self.held = self.group.held(catalogue)
        self.accumulator_I = torch.zeros(
            0 if rule == "sgd" else self.held + 1, dtype=torch.float64, device=device
        )
        """The last entry is that of padding, whose gradient is 0."""
        self.totals_2 = torch.zeros(2, dtype=torch.float64, device=device)
        """`relative`: the sum of ‖g‖² over all touched rows, and their number."""
        self.spread = torch.zeros((), dtype=torch.float64, device=device)
        """`relative`: spread of the open window's items."""

    def begin_epoch(self) -> None:
        """Reset the accumulated squares."""
        self.accumulator_I.zero_()
        self.totals_2.zero_()

    def measure(self, window: Window) -> None:
        """Update the spread of a window's items; call it whenever items have joined."""
        if self.rule == "relative":
            self.spread.copy_(spread(window.start_UD, self.group))

    def displacement(self, items_N: Tensor, gradient_ND: Tensor) -> Tensor:
        """The displacement of distinct rows `items_N` (a `Group.slot` each) for the gradient of the SUM loss.

        `adagrad`: see `gram.row_adagrad`.

        `relative`: G ← G + ‖g‖², Ḡ the mean of ‖g‖² over all rows touched in this epoch, s the spread of the
        window's items, displacement −lr · s · g / √(G + Ḡ). A first displacement is at most lr · s, and
        shorter for gradients that are weak relative to other rows'. It is invariant to adding a constant to
        all vectors. If vectors are c times as long and the filter divides them by c, gradients are 1/c as
        long and displacements c times as long: the same path on another scale.
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
        touched = (items_N < self.held).sum()
        self.totals_2 += self.group.sum(torch.stack((lengths_N.sum(), touched.double())))
        mean_square = self.totals_2[0] / self.totals_2[1].clamp_min(1)
        scale_N = self.lr * self.spread / (squares_N + mean_square).sqrt().clamp_min(TINY)
        return -scale_N[:, None].to(gradient_ND.dtype) * gradient_ND

    def touched(self) -> list[Tensor]:
        """Tensors that `displacement` modifies."""
        return [self.accumulator_I, self.totals_2]

    def state_dict(self) -> dict[str, Tensor]:
        """The accumulators; for `relative` also its totals and spread."""
        relative = {"totals": self.totals_2, "spread": self.spread} if self.rule == "relative" else {}
        return {"accumulator": self.group.at_leader(self.items_I, self.accumulator_I[:-1]), **relative}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore the state."""
        own_O = torch.as_tensor(state["accumulator"])[self.group.rank :: self.group.size]
        self.accumulator_I[: len(own_O)].copy_(own_O)
        if self.rule == "relative":
            self.totals_2.copy_(torch.as_tensor(state["totals"]))
            self.spread.copy_(torch.as_tensor(state["spread"]))
