"""When a window of multi-step GRAM ends: after so many CF steps, or when its vectors have drifted."""

from dataclasses import dataclass
from typing import Protocol

from grambench.training.phases import Batch
from grambench.training.table import Window
from grambench.transfer import read


class WindowRule(Protocol):
    """Decides how far a window looks ahead and when it closes."""

    @property
    def most_steps(self) -> int:
        """CF steps of the longest window."""

    def steps_ahead(self, window_steps: int, batch: Batch) -> int:
        """CF steps from `batch` on whose items the table must hold now; 0: it holds what is needed."""

    def is_over(self, window: Window, batch: Batch) -> bool:
        """True when the window closes with this batch."""


@dataclass(frozen=True, slots=True)
class FixedWindow:
    """`most_steps` CF steps; a window of at most an epoch also ends with the epoch."""

    most_steps: int
    steps_per_epoch: int

    def steps_ahead(self, window_steps: int, batch: Batch) -> int:
        """The whole window when it opens."""
        if window_steps:
            return 0
        if self.most_steps > self.steps_per_epoch:
            return self.most_steps
        return min(self.most_steps, self.steps_per_epoch - batch.step % self.steps_per_epoch)

    def is_over(self, window: Window, batch: Batch) -> bool:
        """Full, or at the end of the epoch or of training."""
        within_epoch = self.most_steps <= self.steps_per_epoch
        return window.steps == self.most_steps or batch.ends_training or (batch.ends_epoch and within_epoch)


@dataclass(frozen=True, slots=True)
class DriftWindow:
    """Ends when the mean relative drift of the touched items reaches `limit` (`gram-auto`).

    The drift is read every `check_steps` CF steps, which is also the shortest window; in between
    nothing waits for the device. The table grows by the items of as many steps at a time, so that no
    item is encoded that the window does not touch. The longest window is an epoch, or `ceiling` steps.
    """

    limit: float
    check_steps: int
    ceiling: int
    steps_per_epoch: int

    @property
    def most_steps(self) -> int:
        """CF steps of the longest window."""
        return min(self.ceiling, self.steps_per_epoch)

    def steps_ahead(self, window_steps: int, batch: Batch) -> int:
        """The steps until the next check."""
        if window_steps % self.check_steps:
            return 0
        rest = self.steps_per_epoch - batch.step % self.steps_per_epoch
        return min(self.check_steps, rest, self.most_steps - window_steps)

    def is_over(self, window: Window, batch: Batch) -> bool:
        """Drifted, full, or at the end of the epoch or of training."""
        if window.steps >= self.most_steps or batch.ends_epoch or batch.ends_training:
            return True
        if window.steps % self.check_steps:
            return False
        return not float(read(window.drift())) < self.limit  # a drift that is no number ends it too
