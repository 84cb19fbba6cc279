"""The clock of a trial: seconds of training, and the encoder's share of them.

CUDA work is asynchronous: the encoder's share is measured by events that are read later, at points where
the loop synchronises anyway. Time while the process was stopped does not count.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

import torch
from torch import Tensor

_LONG_NS = 400_000_000
"""Shorter encoder work cannot contain a stop."""


class Stops(Protocol):
    """Records when the process was stopped, for example by SIGSTOP."""

    def settle(self) -> None:
        """Return once all stops so far are recorded."""

    def within_s(self, since_s: float, until_s: float) -> float:
        """Seconds of stops between two times of the monotonic clock."""
        ...


class _NoStops:
    def settle(self) -> None:
        return

    def within_s(self, _since_s: float, _until_s: float) -> float:
        return 0.0


class TrainClock:
    """Runs only while the trial trains, not during evaluation, saving or waiting for a turn."""

    def __init__(self, device: torch.device) -> None:
        self._cuda = device.type == "cuda"
        self.device = device
        self.stops: Stops = _NoStops()
        """The record of stops of the process."""
        self._total_ns = 0
        self._since_ns: int | None = None
        self._stopped_ns = 0
        self._encode_ns = 0
        self._pending: list[tuple[torch.cuda.Event, torch.cuda.Event, int, int]] = []
        self._long: list[tuple[int, int]] = []
        """Start and end of encoder work that may contain a stop."""

    @property
    def running(self) -> bool:
        """Whether the clock is between `start` and `stop`."""
        return self._since_ns is not None

    def resume_from(self, total_s: float, encode_s: float) -> None:
        """Continue from the readings of an earlier clock."""
        self._total_ns, self._encode_ns = round(total_s * 1e9), round(encode_s * 1e9)

    def start(self) -> None:
        """Start counting once all earlier work is done."""
        self._synchronize()
        self._since_ns = time.monotonic_ns()

    def stop(self) -> None:
        """Stop counting once all pending work is done."""
        self._synchronize()
        if self._since_ns is not None:
            until_ns = time.monotonic_ns()
            self.stops.settle()
            stopped_ns = self._stopped_within_ns(self._since_ns, until_ns)
            self._total_ns += until_ns - self._since_ns - stopped_ns
            self._stopped_ns += stopped_ns
            self._since_ns = None

    def read(self) -> tuple[float, float]:
        """Seconds of training, and those in the encoder; synchronises."""
        self._synchronize()
        now_ns, running_ns = time.monotonic_ns(), 0
        self.stops.settle()
        if self._since_ns is not None:
            running_ns = now_ns - self._since_ns - self._stopped_within_ns(self._since_ns, now_ns)
        for begin, end, since_ns, until_ns in self._pending:
            took_ns = int(begin.elapsed_time(end) * 1e6)
            self._encode_ns += max(0, took_ns - self._stopped_within_ns(since_ns, until_ns))
        for since_ns, until_ns in self._long:
            self._encode_ns -= self._stopped_within_ns(since_ns, until_ns)
        self._pending.clear()
        self._long.clear()
        return (self._total_ns + running_ns) / 1e9, self._encode_ns / 1e9

    def counted_s(self, begin_s: float, end_s: float) -> float:
        """Seconds between two times of the monotonic clock while the clock was running."""
        since_ns = self._since_ns
        return 0.0 if since_ns is None else max(0.0, end_s - max(begin_s, since_ns / 1e9))

    def stopped_s(self) -> float:
        """Seconds of stops that this clock has excluded so far."""
        self.stops.settle()
        running_ns = 0
        if self._since_ns is not None:
            running_ns = self._stopped_within_ns(self._since_ns, time.monotonic_ns())
        return (self._stopped_ns + running_ns) / 1e9

    @contextmanager
    def encoding(self) -> Iterator[None]:
        """Count the enclosed work as the encoder's."""
        end = self._begin_encoding()
        yield
        end()

    @contextmanager
    def encoding_behind(self, vectors_ND: Tensor) -> Iterator[None]:
        """Count the enclosed backward pass as the encoder's once it reaches the item vectors."""
        ends: list[Callable[[], None]] = []
        handle = vectors_ND.register_hook(lambda _: ends.append(self._begin_encoding()))
        yield
        handle.remove()
        for end in ends:
            end()

    @contextmanager
    def dry_run(self) -> Iterator[None]:
        """Do not count the enclosed work in the encoder's seconds."""
        before_ns = self._encode_ns
        yield
        self._encode_ns = before_ns
        self._pending.clear()
        self._long.clear()

    def _stopped_within_ns(self, since_ns: int, until_ns: int) -> int:
        return round(self.stops.within_s(since_ns / 1e9, until_ns / 1e9) * 1e9)

    def _begin_encoding(self) -> Callable[[], None]:
        since_ns = time.monotonic_ns()
        if not self._cuda:

            def count() -> None:
                until_ns = time.monotonic_ns()
                self._encode_ns += until_ns - since_ns
                if until_ns - since_ns > _LONG_NS:
                    self._long.append((since_ns, until_ns))

            return count
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        begin.record()

        def mark() -> None:
            end.record()
            self._pending.append((begin, end, since_ns, time.monotonic_ns()))

        return mark

    def _synchronize(self) -> None:
        if self._cuda:
            torch.cuda.synchronize(self.device)
