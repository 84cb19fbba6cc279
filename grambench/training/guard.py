"""Stops a trial with a non-finite loss before its weights become non-finite, without synchronising."""

import torch
from torch import Tensor

from grambench.transfer import read


class NonFiniteGuard:
    """Records on the device whether a loss, or its gradient, was not finite.

    Adam reads `found` as its `found_inf`: once it is set, every update is skipped on the device, so that the
    weights remain those of the last good step until the host checks.
    """

    def __init__(self, device: torch.device) -> None:
        self.found = torch.zeros((), dtype=torch.float32, device=device)
        """1 from the first non-finite number on, else 0."""
        self.good_steps = torch.zeros((), dtype=torch.int64, device=device)
        """Steps before the first bad one."""
        self.at_once = device.type == "cpu"
        """Whether checking is free."""

    def see(self, loss: Tensor, gradient: Tensor | None = None) -> None:
        """Check a loss and, if given, its gradient with respect to the item vectors."""
        bad = loss.detach().isfinite().logical_not()
        if gradient is not None:
            bad = bad | gradient.isfinite().all().logical_not()
        self.found.copy_(torch.maximum(self.found, bad.to(self.found.dtype)))

    def count_step(self) -> None:
        """Count a finished step."""
        self.good_steps += self.found == 0

    def bad_step(self) -> int | None:
        """The first bad step (1-based); None if there is none. Synchronises."""
        return int(read(self.good_steps)) + 1 if read(self.found) else None
