"""When to score the validation part: within epochs if no window is open, and at the end of each epoch."""

from fractions import Fraction

from grambench.config.spec import EVERY_PATTERN


class Validations:
    """Decides after which CF steps a trial is validated, and tracks its patience.

    Within an epoch a validation is due at multiples of a period, counted from the start of the epoch. It is
    deferred while a window is open, because the encoder has not been updated yet. The end of an epoch or of
    training is always validated, even with an open window, and covers a deferred validation. Patience counts
    epochs.
    """

    def __init__(self, every: str, steps_per_epoch: int, patience: int, has_windows: bool) -> None:
        """
        Args:
            every: `evaluation.every`.
            steps_per_epoch: CF steps per epoch.
            patience: consecutive epochs without a better score after which training ends.
            has_windows: the encoder is updated only when a window closes.
        """
        match = EVERY_PATTERN.match(every)
        if match is None:
            raise ValueError(
                f"evaluation.every = {every!r} is neither a number of steps nor a share of an epoch"
            )
        self.period = Fraction(match[1]) if match[1] else Fraction(match[2]) * steps_per_epoch
        """CF steps between validations within an epoch; may be fractional."""
        self.steps_per_epoch, self.patience, self.has_windows = steps_per_epoch, patience, has_windows
        self.stale = 0
        """Consecutive epochs without a better score."""
        self._improved = False
        self._waits = False

    def falls_due(self, steps: int, closed_window: bool, ends_epoch: bool) -> bool:
        """Whether to validate now; call it exactly once after every CF step.

        Args:
            steps: CF steps so far, over all epochs.
            closed_window: the last step closed a window.
            ends_epoch: the last step ended an epoch or training.
        """
        within = (steps - 1) % self.steps_per_epoch + 1
        self._waits |= within // self.period > (within - 1) // self.period
        due = ends_epoch or (self._waits and (closed_window or not self.has_windows))
        self._waits &= not due
        return due

    def scored(self, better: bool, ends_epoch: bool) -> None:
        """Record the result of a validation."""
        self._improved |= better
        if ends_epoch:
            self.stale = 0 if self._improved else self.stale + 1
            self._improved = False

    @property
    def has_no_patience(self) -> bool:
        """Whether training should end."""
        return self.stale >= self.patience

    def state_dict(self) -> dict[str, int | bool]:
        """The state as JSON."""
        return {"stale": self.stale, "improved": self._improved, "waits": self._waits}

    def load_state_dict(self, state: dict[str, int | bool]) -> None:
        """Restore the state; version 0.1 validated only at the end of epochs and stored only `stale`."""
        self.stale = int(state["stale"])
        self._improved, self._waits = bool(state.get("improved", False)), bool(state.get("waits", False))
