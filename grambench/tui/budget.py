"""How often the dashboard may draw, so that training keeps the processors."""

from collections.abc import Callable
from time import monotonic, process_time

LONGEST_S = 2.0
"""Seconds after which something new is drawn, whatever that costs."""


class Budget:
    """Limits how often is drawn, so that this process takes no more than a share of one processor."""

    def __init__(
        self,
        share: float,
        clock: Callable[[], float] = monotonic,
        spent: Callable[[], float] = process_time,
    ) -> None:
        """Both clocks in seconds: the wall's, and this process's on the processors."""
        self._share, self._clock, self._spent = share, clock, spent
        self._drawn_at = -LONGEST_S
        self._spent_at = spent()

    def allows_drawing(self) -> bool:
        """True once enough time has passed for what the last drawing cost."""
        waited_s = self._clock() - self._drawn_at
        return waited_s >= min(LONGEST_S, (self._spent() - self._spent_at) / self._share)

    def drawn(self) -> None:
        """A drawing begins."""
        self._drawn_at, self._spent_at = self._clock(), self._spent()
