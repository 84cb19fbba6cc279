"""Adam with a constant learning rate or the Noam schedule."""

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from grambench.config.optimizer import Optimizer
from grambench.models.encoders.free import FreeVectors
from grambench.training.guard import NonFiniteGuard
from grambench.training.touched_rows import TouchedRowsAdam

BETAS = (0.9, 0.999)
EPS = 1e-8


class ScheduledAdam:
    """Adam with a schedule over its own step count (encoder and filter take different numbers of steps)."""

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        spec: Optimizer,
        free: FreeVectors | None = None,
        free_spec: Optimizer | None = None,
    ) -> None:
        """
        Args:
            parameters: those with `requires_grad` are trained.
            spec: their learning rate.
            free: free vectors to train as well, all rows or only the touched ones.
            free_spec: the learning rate of `free`; None: as `spec`.
        """
        self.parameters = [parameter for parameter in parameters if parameter.requires_grad]
        """Parameters with a dense gradient."""
        self._rows = TouchedRowsAdam(free, BETAS, EPS) if free is not None and free.touched_only else None
        self.spec, self.free_spec = spec, free_spec or spec
        self.steps = 0
        groups = [(self.parameters.copy(), self.spec)]
        if free is not None and not free.touched_only:
            self.parameters.append(free.rows_ID)
            groups.append(([free.rows_ID], self.free_spec))
        self._specs = [rates for members, rates in groups if members]
        """Learning rates of Adam's parameter groups."""
        tables = [{"params": members, "lr": self._rate(rates)} for members, rates in groups if members]
        self._adam = torch.optim.Adam(tables, betas=BETAS, eps=EPS, fused=True) if tables else None
        """None for a baseline without a content encoder."""

    def attach_guard(self, guard: NonFiniteGuard) -> None:
        """Skip all updates once the guard has found a non-finite number."""
        if self._adam is not None:
            self._adam.found_inf = guard.found  # type: ignore[attr-defined] # read by the fused kernel
        if self._rows is not None:
            self._rows.found_inf = guard.found

    def state_dict(self) -> dict[str, Tensor]:
        """Moments and step count of each updated parameter, and the optimiser's own step count."""
        state = {"steps": torch.tensor(self.steps)}
        for number, parameter in enumerate(self.parameters):
            kept = self._adam.state.get(parameter, {}) if self._adam is not None else {}
            state |= {f"{number}.{name}": tensor for name, tensor in kept.items()}
        if self._rows is not None:
            state |= {f"{len(self.parameters)}.{name}": t for name, t in self._rows.state_dict().items()}
        return state

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Restore the state; existing tensors keep their addresses, for CUDA graphs."""
        self.steps = int(state["steps"])
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

    def rate(self) -> float:
        """Learning rate of the next step, not that of free vectors."""
        return self._rate(self.spec)

    def _rate(self, spec: Optimizer) -> float:
        if spec.schedule == "constant":
            return spec.lr
        warmup, step = spec.warmup_steps, self.steps + 1
        # Vaswani et al. (2017), section 5.3, scaled so that the peak at the end of the warm-up is lr
        return spec.lr * min(step / warmup, math.sqrt(warmup / step))

    def step(self) -> None:
        """One update from the gradients, which are then cleared."""
        self.schedule()
        self.update()

    def schedule(self) -> None:
        """Set the learning rate of the next update, and count it: the host's part of a step."""
        if self._adam is None and self._rows is None:
            return
        groups = self._adam.param_groups if self._adam is not None else []
        for group, spec in zip(groups, self._specs, strict=True):
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(self._rate(spec))
            else:
                group["lr"] = self._rate(spec)
        if self._rows is not None:
            self._rows.lr.fill_(self._rate(self.free_spec))
        self.steps += 1

    def update(self) -> None:
        """The update itself, at the rate set by `schedule`; can be captured in a CUDA graph."""
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
                group["lr"] = torch.tensor(self._rate(spec), dtype=torch.float32, device=device)
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
        return [*self.parameters, *moments, *rows]

    def discard(self) -> None:
        """Clear the gradients."""
        if self._adam is not None:
            self._adam.zero_grad(set_to_none=True)
        if self._rows is not None:
            self._rows.discard()
