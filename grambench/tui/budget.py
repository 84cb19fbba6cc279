"""How often the dashboard may draw, so that training keeps the CPUs."""

from collections.abc import Callable
from time import monotonic, process_time

LONGEST_S = 2.0
"""Seconds after which a change is drawn, whatever the cost."""


class Budget:
    """Limits how often the dashboard draws, so that this process uses at most a share of one CPU."""

    def __init__(
        self,
        share: float,
        clock: Callable[[], float] = monotonic,
        spent: Callable[[], float] = process_time,
    ) -> None:
        """Both clocks in seconds: wall time, and this process's CPU time."""
        self._share, self._clock, self._spent = share, clock, spent
        self._drawn_at = -LONGEST_S
        self._spent_at = spent()

    def allows_drawing(self) -> bool:
        """True once enough time has passed for the cost of the last drawing."""
        waited_s = self._clock() - self._drawn_at
        return waited_s >= min(LONGEST_S, (self._spent() - self._spent_at) / self._share)

    def drawn(self) -> None:
        """Record that a drawing begins."""
        self._drawn_at, self._spent_at = self._clock(), self._spent()
