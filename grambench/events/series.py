"""Time series of bounded memory."""

from dataclasses import dataclass, field


@dataclass(slots=True)
class Series:
    """Points (x, y) in order; when full, every second point is dropped and the stride doubles.

    A day of samples takes as much memory as an hour; the newest point is always kept: the last slot
    holds the newest point of its stride.
    """

    capacity: int = 2048
    xs: list[float] = field(default_factory=list)
    ys: list[float] = field(default_factory=list)
    _stride: int = 1
    _seen: int = 0

    def add(self, x: float, y: float) -> None:
        """Append a point. A falling x (a trial resumed from its checkpoint) cuts off what it repeats."""
        while self.xs and x < self.xs[-1]:
            self.xs.pop()
            self.ys.pop()
            self._seen = 0
        if self._seen % self._stride and self.xs:
            self.xs[-1], self.ys[-1] = x, y
        else:
            self.xs.append(x)
            self.ys.append(y)
        self._seen += 1
        if len(self.xs) >= max(2, self.capacity - self.capacity % 2):
            self.xs, self.ys = self.xs[1::2], self.ys[1::2]
            self._stride *= 2

    def __len__(self) -> int:
        return len(self.xs)

    @property
    def last(self) -> float | None:
        """Newest y."""
        return self.ys[-1] if self.ys else None
