"""The viewer's settings of the plot: axis, smoothing, cursor, target and the highlighted label."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

XAxis = Literal["seconds", "steps", "joules"]
X_AXES: tuple[XAxis, ...] = ("seconds", "steps", "joules")
SMOOTH = 0.5
"""Weight of the newest value in the moving average."""
_CURSOR_STEP = 0.02


@dataclass(frozen=True, slots=True)
class View:
    """Settings of the plot."""

    x_axis: XAxis = "seconds"
    logarithmic: bool = False
    """What the x-axis shows."""
    smooth: bool = False
    target: float | None = None
    """A score drawn as a line; the leaderboard shows when a trial reached it."""
    cursor: float | None = None
    """Position of the read-out on the x-axis, 0 to 1."""
    highlighted: str | None = None
    """The label that alone has its colour; None: all have."""

    def next_axis(self, has_energy: bool) -> XAxis:
        """The x-axis after this one; joules only if they are measured."""
        axes = X_AXES if has_energy else X_AXES[:2]
        place = axes.index(self.x_axis) if self.x_axis in axes else -1
        return axes[(place + 1) % len(axes)]

    def moved_cursor(self, steps: int) -> float:
        """The cursor some steps to the right; it appears at the right end."""
        now = self.cursor if self.cursor is not None else (1.0 + _CURSOR_STEP if steps < 0 else -_CURSOR_STEP)
        return min(1.0, max(0.0, now + steps * _CURSOR_STEP))

    def next_highlight(self, labels: Sequence[str], steps: int) -> str | None:
        """The label `steps` after the highlighted one; None, for all, lies between the last and the first."""
        ring = [None, *labels]
        now = ring.index(self.highlighted) if self.highlighted in ring else 0
        return ring[(now + steps) % len(ring)]


PLAIN = View()
"""The default settings."""


def smoothed(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """An exponential moving average of the values."""
    averages: list[tuple[float, float]] = []
    for x, y in points:
        averages.append((x, y if not averages else SMOOTH * y + (1 - SMOOTH) * averages[-1][1]))
    return averages
