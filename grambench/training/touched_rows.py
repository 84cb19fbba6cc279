"""Adam for free item vectors whose cost scales with the batch's items, not the catalogue.

Legend: I items of the catalogue, N rows with a gradient, D width.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from grambench.models.encoders.free import FreeVectors, RowGradient
from grambench.models.rows import rows_at


class TouchedRowsAdam:
    """Adam that updates only rows with a gradient, like `torch.optim.SparseAdam`.

    All other rows keep their values and moments, whereas dense Adam decays the moments and moves the rows
    along them. The bias correction counts the optimiser's own steps. Rows with a gradient at every step are
    updated as by dense Adam.
    """

    def __init__(self, vectors: FreeVectors, betas: tuple[float, float], eps: float) -> None:
        self.vectors, self.betas, self.eps = vectors, betas, eps
        self.mean_ID = torch.zeros_like(vectors.rows_ID, requires_grad=False)
        self.square_ID = torch.zeros_like(self.mean_ID)
        self.steps = torch.zeros((), dtype=torch.float64, device=self.mean_ID.device)
        self.lr = torch.zeros_like(self.steps)
        """Learning rate of the next update."""
        self.found_inf = torch.zeros((), device=self.mean_ID.device)
        """1 if updates are to be skipped; read on the device, without synchronising."""

    def state_dict(self) -> dict[str, Tensor]:
        """Moments of all rows and the step count, under dense Adam's names."""
        return {"exp_avg": self.mean_ID, "exp_avg_sq": self.square_ID, "step": self.steps}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Restore the state; also accepts dense Adam's, which is empty before its first step."""
        own = self.state_dict()
        for name, tensor in state.items():
            own[name].copy_(tensor)

    def touched(self) -> list[Tensor]:
        """Tensors that an update modifies."""
        return [self.vectors.rows_ID, *self.state_dict().values()]

    @torch.no_grad()
    def step(self) -> None:
        """Update the rows with gradients from backward passes since the last `discard`."""
        if not self.vectors.row_gradients:
            return
        items_N, gradient_ND = coalesced(self.vectors.row_gradients)
        held = self.found_inf != 0
        self.steps += held.logical_not()
        (beta_1, beta_2), rows_ID = self.betas, self.vectors.rows_ID
        mean_ND, square_ND, row_ND = (rows_at(x, items_N) for x in (self.mean_ID, self.square_ID, rows_ID))
        new_mean_ND = mean_ND.lerp(gradient_ND, 1 - beta_1)
        new_square_ND = beta_2 * square_ND + (1 - beta_2) * gradient_ND.square()
        scale_ND = new_square_ND.sqrt() / (1 - beta_2**self.steps).sqrt() + self.eps
        new_row_ND = row_ND - self.lr / (1 - beta_1**self.steps) * (new_mean_ND / scale_ND)
        for whole_ID, old_ND, new_ND in (
            (self.mean_ID, mean_ND, new_mean_ND),
            (self.square_ID, square_ND, new_square_ND),
            (rows_ID, row_ND, new_row_ND),
        ):
            whole_ID.index_copy_(0, items_N, torch.where(held, old_ND, new_ND))

    def merged(self) -> list[Tensor]:
        """The gradient [N, D] of the dense matrix, without the rows that are zero, for changes in place."""
        if not self.vectors.row_gradients:
            return []
        items_N, begins_N, gradient_ND = _sums(self.vectors.row_gradients)
        once_ND = gradient_ND.masked_fill(~begins_N[:, None], 0)  # later summed again by `coalesced`
        self.vectors.row_gradients[:] = [(items_N, once_ND)]
        return [once_ND]

    def discard(self) -> None:
        """Clear the gradients."""
        self.vectors.row_gradients.clear()


def coalesced(gradients: Sequence[RowGradient]) -> RowGradient:
    """Ids [N], ascending, each with the sum of all gradients of its item.

    Duplicate ids are kept, since dropping them would make the host wait for the number of distinct ids: each
    duplicate has the whole sum, so that writing its row twice is harmless.
    """
    items_N, _, gradient_ND = _sums(gradients)
    return items_N, gradient_ND


def _sums(gradients: Sequence[RowGradient]) -> tuple[Tensor, Tensor, Tensor]:
    """As `coalesced`, with a mask [N] of the first of each item's duplicates."""
    items_N, order_N = torch.cat([items_N for items_N, _ in gradients]).sort()
    gradient_ND = rows_at(torch.cat([gradient_ND for _, gradient_ND in gradients]), order_N)
    begins_N = torch.ones_like(items_N, dtype=torch.bool)
    begins_N[1:] = items_N[1:] != items_N[:-1]
    slot_N = begins_N.cumsum(0) - 1
    summed_ND = torch.zeros_like(gradient_ND).index_add_(0, slot_N, gradient_ND)
    return items_N, begins_N, rows_at(summed_ND, slot_N)
