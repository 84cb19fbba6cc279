"""The item table of a window: vectors that the CF's gradients move.

Legend: I items of the catalogue, U items of the window, N items of one batch, D width.
"""

from typing import Literal

import torch
from torch import Tensor

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
    """Vectors h of the window's items and the displaced h̃."""

    def __init__(self, items_U: Tensor, vectors_UD: Tensor, catalogue: int, frozen: bool) -> None:
        """`frozen`: the filter goes on reading h while h̃ moves."""
        self.items_U = items_U
        self.start_UD = vectors_UD
        self.table_UD = vectors_UD.clone()
        self.slots_I = torch.full((catalogue,), -1, dtype=torch.long, device=items_U.device)
        self.slots_I[items_U] = torch.arange(len(items_U), device=items_U.device)
        self.frozen = frozen
        self.steps = 0
        self.occurrences = 0

    def read(self, slots_N: Tensor) -> Tensor:
        """The vectors [N, D] that the filter sees."""
        return (self.start_UD if self.frozen else self.table_UD)[slots_N]

    def move(self, slots_N: Tensor, displacement_ND: Tensor) -> None:
        """h̃ ← h̃ + displacement on distinct rows; every other row stays bit-equal."""
        self.table_UD.index_add_(0, slots_N, displacement_ND)

    def drift(self) -> Tensor:
        """Mean ‖h̃ − h‖ / ‖h‖ of the window's items."""
        moved_U: Tensor = (self.table_UD - self.start_UD).norm(dim=1)
        relative_U: Tensor = moved_U / self.start_UD.norm(dim=1).clamp_min(_EPS)
        return relative_U.mean()
