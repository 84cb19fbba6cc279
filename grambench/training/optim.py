"""Adam or AdamW with a schedule of its learning rate and clipping of its gradient."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from grambench.config.optimizer import Optimizer, RowOptimizer
from grambench.data.batches.base import PlannedShare
from grambench.models.encoders.free import FreeVectors
from grambench.models.pooling import AdditiveAttention
from grambench.training.guard import NonFiniteGuard
from grambench.training.schedules import rate_at
from grambench.training.touched_rows import TouchedRowsAdam
from grambench.transfer import read

BETAS = (0.9, 0.999)
EPS = 1e-8
_ROOM = 1e-6
"""Added to the norm by which a gradient is divided, as torch's `clip_grad_norm_` does."""


def decaying(module: nn.Module) -> set[nn.Parameter]:
    """The parameters that weight decay shrinks: matrices that every step reads whole.

    Not among them are biases, gates, weights of norms and learnt vectors, as these have one dimension; the
    query of additive attention; and tables of embeddings, of which a step reads some rows.
    """
    spared = {
        parameter
        for part in module.modules()
        for parameter in part.parameters(recurse=False)
        if parameter.ndim < 2 or isinstance(part, (nn.Embedding, nn.LayerNorm, FreeVectors))
    }
    queries = (part.query.weight for part in module.modules() if isinstance(part, AdditiveAttention))
    return {*module.parameters()} - spared - {*queries}


class ScheduledAdam:
    """Adam of a module, and of free vectors beside it; encoder and filter take different numbers of steps."""

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        spec: Optimizer,
        free: FreeVectors | None = None,
        free_spec: RowOptimizer | None = None,
        decayed: Iterable[nn.Parameter] = (),
    ) -> None:
        """
        Args:
            parameters: those with `requires_grad` are trained.
            spec: their learning rate, weight decay and clipping.
            free: free vectors to train as well, all rows or only the touched ones.
            free_spec: the same of `free`, which never decays; None: as `spec`.
            decayed: those that `spec.weight_decay` shrinks, as from `decaying`.
        """
        self.parameters = [parameter for parameter in parameters if parameter.requires_grad]
        """Parameters with a dense gradient, in the order in which a checkpoint numbers them."""
        self._free_at = len(self.parameters)
        """Where dense free vectors follow."""
        self._rows = TouchedRowsAdam(free, BETAS, EPS) if free is not None and free.touched_only else None
        self.spec, self.free_spec = spec, free_spec or spec
        self.steps = 0
        clips = self._free_at and spec.clip_norm is not None
        self._clipping = self.parameters[0].new_zeros(3, dtype=torch.float64) if clips else None
        """The module's updates, how many of them were clipped, and the sum of their gradients' norms."""
        self._guard: NonFiniteGuard | None = None
        self._is_clipped = False
        if free is not None and not free.touched_only:
            self.parameters.append(free.rows_ID)
        groups = self._groups(decayed)
        self._specs = [rates for _, rates in groups]
        """Learning rates of Adam's parameter groups."""
        kind = torch.optim.AdamW if spec.weight_decay else torch.optim.Adam
        self._adam = (
            kind([group for group, _ in groups], betas=BETAS, eps=EPS, fused=True) if groups else None
        )
        """None for a baseline without a content encoder."""

    def _groups(self, decayed: Iterable[nn.Parameter]) -> list[tuple[dict[str, Any], RowOptimizer]]:
        """Adam's parameter groups, and where their learning rates come from."""
        shrunk = {*decayed} if self.spec.weight_decay else set()
        module, free = self.parameters[: self._free_at], self.parameters[self._free_at :]
        parts = (
            ([parameter for parameter in module if parameter not in shrunk], self.spec, 0.0),
            ([parameter for parameter in module if parameter in shrunk], self.spec, self.spec.weight_decay),
            (free, self.free_spec, 0.0),
        )
        return [
            ({"params": members, "lr": rates.lr, "weight_decay": decay}, rates)
            for members, rates, decay in parts
            if members
        ]

    def attach_guard(self, guard: NonFiniteGuard) -> None:
        """Skip all updates once the guard has found a non-finite number, also in a gradient to be clipped."""
        self._guard = guard
        if self._adam is not None:
            self._adam.found_inf = guard.found  # type: ignore[attr-defined] # read by the fused kernel
        if self._rows is not None:
            self._rows.found_inf = guard.found

    def state_dict(self) -> dict[str, Tensor]:
        """Moments and step count of each updated parameter, the optimiser's own step count, and clipping."""
        state = {"steps": torch.tensor(self.steps)}
        if self._clipping is not None:
            state["clipping"] = self._clipping
        for number, parameter in enumerate(self.parameters):
            kept = self._adam.state.get(parameter, {}) if self._adam is not None else {}
            state |= {f"{number}.{name}": tensor for name, tensor in kept.items()}
        if self._rows is not None:
            state |= {f"{len(self.parameters)}.{name}": t for name, t in self._rows.state_dict().items()}
        return state

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Restore the state; existing tensors keep their addresses, for CUDA graphs."""
        self.steps = int(state["steps"])
        if self._clipping is not None:
            self._clipping.copy_(state["clipping"])
        for number, parameter in enumerate(self.parameters):
            prefix = f"{number}."
            own = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
            if own and self._adam is not None:
                there = self._adam.state[parameter]
                for name, value in own.items():
                    if name in there:
                        there[name].copy_(value)
                    else:
                        there[name] = value.to(parameter.device)
        if self._rows is not None:
            prefix = f"{len(self.parameters)}."  # the rows' index among dense parameters
            rows = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
            self._rows.load_state_dict(rows)

    def rate(self, progress: PlannedShare | None = None) -> float:
        """Learning rate of an update at this progress, not that of free vectors; with `noam`, of the next."""
        return rate_at(self.spec, self.steps + 1, progress)

    def clipped(self) -> tuple[float | None, float | None]:
        """Share of the module's updates that were clipped, and the mean norm of their gradients before that.

        None: `clip_norm` is unset, or there was no update. Synchronises.
        """
        if self._clipping is None:
            return None, None
        updates, clipped, norms = read(self._clipping).tolist()
        return (clipped / updates, norms / updates) if updates else (None, None)

    def step(self, progress: PlannedShare | None = None) -> None:
        """One update from the gradients, which are then cleared.

        `progress`: what it takes of the planned training; only `linear` and `cosine` read it.

        Raises:
            ValueError: such a schedule without the progress.
        """
        self.schedule(progress)
        self.update()

    def schedule(self, progress: PlannedShare | None = None) -> None:
        """Set the learning rate of the next update, and count it: the host's part of a step."""
        if self._adam is None and self._rows is None:
            return
        groups = self._adam.param_groups if self._adam is not None else []
        for group, spec in zip(groups, self._specs, strict=True):
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(rate_at(spec, self.steps + 1, progress))
            else:
                group["lr"] = rate_at(spec, self.steps + 1, progress)
        if self._rows is not None:
            self._rows.lr.fill_(rate_at(self.free_spec, self.steps + 1, progress))
        self.steps += 1

    def clip(self) -> None:
        """Scale the gradients of the whole batch down to `clip_norm`, those of free vectors apart.

        A step that updates both modules clips both first, as a gradient that is not finite blocks either.
        Until the gradients are cleared, further calls do nothing.
        """
        if self._is_clipped:
            return
        self._is_clipped = True
        module, free = self.parameters[: self._free_at], self.parameters[self._free_at :]
        if self.spec.clip_norm is not None:
            self._scale(_gradients(module), self.spec.clip_norm, self._clipping)
        if self.free_spec.clip_norm is not None:
            rows = _gradients(free) if self._rows is None else self._rows.merged()
            self._scale(rows, self.free_spec.clip_norm)

    def _scale(self, gradients: list[Tensor], limit: float, counts: Tensor | None = None) -> None:
        """`counts`: `_clipping`, to which the update is added."""
        if not gradients:
            return
        norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))
        if self._guard is not None:
            self._guard.see(norm)
        one = torch.ones_like(norm)
        torch._foreach_mul_(gradients, torch.where(norm > limit, limit / (norm + _ROOM), one))
        if counts is not None:
            update = torch.stack((one, norm > limit, norm))
            counts += torch.where(norm.isfinite(), update, torch.zeros_like(update))

    def update(self) -> None:
        """The update itself, at the rate set by `schedule`; can be captured in a CUDA graph."""
        self.clip()
        if self._adam is not None:
            self._adam.step()
        if self._rows is not None:
            self._rows.step()
        self.discard()

    def make_capturable(self, device: torch.device) -> None:
        """Allocate what an update reads or writes; on CUDA the learning rate moves to the device too."""
        if self._adam is None:
            return
        if device.type == "cuda":
            for group, spec in zip(self._adam.param_groups, self._specs, strict=True):
                group["lr"] = torch.tensor(spec.lr, dtype=torch.float32, device=device)
                group["capturable"] = True
        for parameter in self.parameters:
            if not self._adam.state[parameter]:
                self._adam.state[parameter] = {
                    "step": torch.zeros((), dtype=torch.float32, device=device),
                    "exp_avg": torch.zeros_like(parameter),
                    "exp_avg_sq": torch.zeros_like(parameter),
                }

    def touched(self) -> list[Tensor]:
        """Tensors that an update modifies."""
        moments = (
            [tensor for state in self._adam.state.values() for tensor in state.values()] if self._adam else []
        )
        rows = self._rows.touched() if self._rows is not None else []
        counts = [] if self._clipping is None else [self._clipping]
        return [*self.parameters, *moments, *rows, *counts]

    def discard(self) -> None:
        """Clear the gradients."""
        self._is_clipped = False
        if self._adam is not None:
            self._adam.zero_grad(set_to_none=True)
        if self._rows is not None:
            self._rows.discard()


def _gradients(parameters: Iterable[nn.Parameter]) -> list[Tensor]:
    return [parameter.grad for parameter in parameters if parameter.grad is not None]
