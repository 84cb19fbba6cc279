"""When a window of multi-step GRAM ends: after a number of CF steps, or when its vectors have drifted."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from grambench.training.protocols import Batch
from grambench.training.strategies.item_table import Window
from grambench.transfer import read


class WindowRule(Protocol):
    """Decides how far ahead a window encodes items, and when it closes."""

    @property
    def most_steps(self) -> int:
        """CF steps of the longest window."""

    def steps_ahead(self, window_steps: int, batch: Batch) -> int:
        """CF steps from `batch` on whose items the table must now hold; 0: no new items are needed."""

    def is_over(self, window: Window, batch: Batch) -> bool:
        """Whether the window closes with this batch."""

    def state_dict(self) -> dict[str, int]:
        """State between two steps."""

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore the state."""


class StatelessRule:
    """Base of rules without state."""

    __slots__ = ()

    def state_dict(self) -> dict[str, int]:
        """Empty."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Nothing to restore."""


@dataclass(frozen=True, slots=True)
class FixedWindow(StatelessRule):
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
class DriftWindow(StatelessRule):
    """Ends when the mean ‖h̃ − h‖ / ‖h‖ of the touched items reaches `limit`: `gram-auto` of version 0.1.

    The drift is read every `check_steps` CF steps, which is also the shortest window; no other step waits for
    the device. The table is extended by the items of `check_steps` steps at a time, so that only touched
    items are encoded. The longest window is an epoch or `ceiling` steps.
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
        return not float(read(window.drift())) < self.limit  # a NaN drift ends it too


@dataclass(slots=True)
class SpreadWindow:
    """Ends when the touched items have drifted by `limit` times their spread (`gram-auto`).

    The drift is read every `check_steps` CF steps, which is also the shortest window; no other step waits for
    the device. The table holds the items up to the expected end of the window, extrapolated linearly from the
    latest reading. As the drift grows faster at first, windows tend to last longer than expected, and items
    join in a few large blocks; items encoded but not read before the window closes are excluded from the
    encoder's steps. The longest window is an epoch or `ceiling` steps. A drifted window stays open until the
    end of its epoch if the epoch has at most half as many steps left as the window has taken: a new window
    would encode nearly as many items again.
    """

    limit: float
    check_steps: int
    ceiling: int
    steps_per_epoch: int
    _expected: int = field(default=0, init=False)
    """Expected CF steps of a window, from the latest reading; 0: no reading yet."""
    _held: int = field(default=0, init=False)
    """CF steps of the open window whose items are in the table."""

    @property
    def most_steps(self) -> int:
        """CF steps of the longest window."""
        return min(self.ceiling, self.steps_per_epoch)

    def steps_ahead(self, window_steps: int, batch: Batch) -> int:
        """The steps until the expected end, at least until the next check."""
        if window_steps and window_steps < self._held:
            return 0
        end = max(window_steps + self.check_steps, self._expected)
        epoch_end = window_steps + self.steps_per_epoch - batch.step % self.steps_per_epoch
        if not _is_worth_a_window(epoch_end - end, end):
            end = epoch_end
        self._held = min(end, self.most_steps)
        return self._held - window_steps

    def is_over(self, window: Window, batch: Batch) -> bool:
        """Drifted, full, or at the end of the epoch or of training."""
        if window.steps >= self.most_steps or batch.ends_epoch or batch.ends_training:
            return True
        if window.steps % self.check_steps:
            return False
        drift = float(read(window.spread_drift()))
        if not math.isfinite(drift):
            return True
        self._expected = self._end(window.steps, drift)
        rest = self.steps_per_epoch - (batch.step + 1) % self.steps_per_epoch
        return drift >= self.limit and _is_worth_a_window(rest, window.steps)

    def _end(self, steps: int, drift: float) -> int:
        """The first check at or after the step at which linear growth takes the drift to the limit."""
        most = -(-self.most_steps // self.check_steps)
        checks = steps * self.limit / self.check_steps / drift if drift > 0 else math.inf
        return self.check_steps * max(1, math.ceil(min(checks, most)))

    def state_dict(self) -> dict[str, int]:
        """Both step counts."""
        return {"expected": self._expected, "held": self._held}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore the state."""
        self._expected, self._held = int(state["expected"]), int(state["held"])


def _is_worth_a_window(rest: int, steps: int) -> bool:
    """Whether the `rest` of an epoch justifies a new window after one of `steps` steps."""
    return 2 * rest > steps
