"""Drops the samples of host and workers that say nothing new."""

from collections.abc import Callable
from dataclasses import fields
from typing import Any

from grambench.events.disturbance import FOREIGN_CPUS, THRESHOLDS
from grambench.events.types import Event, HostSample, ProcessSample
from grambench.views.numbers import gib_step

_STEPS: dict[type[Event], dict[str, float]] = {
    HostSample: {"cpu_percent": 1.0, "busy_cpus": FOREIGN_CPUS / 5},
    ProcessSample: {"cpu_percent": 20 * FOREIGN_CPUS},
}
"""Sample -> field -> smallest change worth a line: one that is shown, or a fifth of a disturbance."""


class Thinning:
    """Emits a sample when a number visibly changes or crosses a threshold, else at a low rate."""

    def __init__(self, emit: Callable[[Event], None]) -> None:
        """`emit` takes the samples that are kept."""
        self._emit = emit
        self._told: dict[str, tuple[float, Event]] = {}
        """Source -> when its newest line was written, and the sample in it."""

    def tell_all(self) -> None:
        """Emit the next sample of every source: a phase, a turn or a worker begins or ends."""
        self._told.clear()

    def emit(self, source: str, sample: HostSample | ProcessSample, now_s: float, every_s: float) -> None:
        """Take a sample.

        Args:
            source: what was sampled.
            sample: what was read.
            now_s: monotonic seconds.
            every_s: seconds after which the source's sample is emitted in any case.
        """
        told_s, before = self._told.get(source, (now_s, None))
        if before is not None and _disturbs(before, sample):
            self.tell_all()  # so that each worker's next line follows the host's
        elif before is not None and now_s - told_s < every_s and not _says_more(before, sample):
            return
        self._emit(sample)
        self._told[source] = now_s, sample


def _says_more(before: Event, now: Event) -> bool:
    steps = _STEPS[type(now)]
    for name in (each.name for each in fields(now) if each.name != "seconds"):
        old, new = getattr(before, name), getattr(now, name)
        if old == new:
            continue
        if not (isinstance(old, int | float) and isinstance(new, int | float)):
            return True
        if name in THRESHOLDS:
            if _crosses(name, old, new):
                return True
        elif abs(new - old) >= (gib_step(new) if name.endswith("_bytes") else steps.get(name, 0)):
            return True
    return False


def _disturbs(before: Event, now: Event) -> bool:
    """Whether a disturbance by the host may have begun or ended."""
    if not isinstance(before, HostSample) or not isinstance(now, HostSample):
        return False
    moved = abs((now.busy_cpus or 0.0) - (before.busy_cpus or 0.0)) >= FOREIGN_CPUS
    return moved or any(
        _crosses(name, getattr(before, name), getattr(now, name)) for name in THRESHOLDS if hasattr(now, name)
    )


def _crosses(name: str, old: Any, new: Any) -> bool:
    return ((old or 0.0) >= THRESHOLDS[name]) != ((new or 0.0) >= THRESHOLDS[name])
