"""Measures what NVML's calls cost this process."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(slots=True)
class NvmlCost:
    """Calls of NVML so far, failed ones included."""

    calls: int = 0
    seconds: float = 0.0
    """Wall time inside them."""
    slowest: str = ""
    """Name of the slowest call; empty: there was none."""
    slowest_s: float = 0.0


class MeteredNvml:
    """Wraps pynvml's functions: each call is counted and timed; constants pass through."""

    def __init__(self, module: Any, clock: Callable[[], float]) -> None:
        """`clock`: monotonic seconds."""
        self._module, self._clock = module, clock
        self.cost = NvmlCost()

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._module, name)
        is_call = name.startswith("nvml") and callable(found)
        return functools.partial(self._call, name, found) if is_call else found

    def _call(self, name: str, function: Callable[..., Any], *args: Any, **options: Any) -> Any:
        began_s = self._clock()
        try:
            return function(*args, **options)
        finally:
            cost, seconds = self.cost, self._clock() - began_s
            cost.calls += 1
            cost.seconds += seconds
            if seconds > cost.slowest_s or not cost.slowest:
                cost.slowest, cost.slowest_s = name, seconds
