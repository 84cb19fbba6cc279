"""Stops a trial with a non-finite loss before its weights are non-finite, without waiting for the device."""

import torch
from torch import Tensor

from grambench.transfer import read


class NonFiniteGuard:
    """Remembers on the device whether a loss, or its gradient, was not finite.

    `found` is what Adam calls `found_inf`: from then on every update is skipped on the device itself, so that
    the weights stay those of the last good step until the host looks.
    """

    def __init__(self, device: torch.device) -> None:
        self.found = torch.zeros((), dtype=torch.float32, device=device)
        """1 from the first bad number on, else 0."""
        self.good_steps = torch.zeros((), dtype=torch.int64, device=device)
        """Steps counted before it."""
        self.at_once = device.type == "cpu"
        """True where looking costs nothing."""

    def see(self, loss: Tensor, gradient: Tensor | None = None) -> None:
        """Take a loss, and the gradient that it sends to the item vectors."""
        bad = loss.detach().isfinite().logical_not()
        if gradient is not None:
            bad = bad | gradient.isfinite().all().logical_not()
        self.found.copy_(torch.maximum(self.found, bad.to(self.found.dtype)))

    def count_step(self) -> None:
        """A step is over."""
        self.good_steps += self.found == 0

    def bad_step(self) -> int | None:
        """The first bad step, from 1; None: all were good. A marked wait."""
        return int(read(self.good_steps)) + 1 if read(self.found) else None
