"""Clocks of a trial: training seconds, and of these the seconds in the encoder.

On a CUDA device work is asynchronous: the encoder's share is taken by events that are read late, at
points where the loop synchronises anyway.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor


class TrainClock:
    """Runs only while the trial trains; evaluation, saving and waiting for a turn are outside."""

    def __init__(self, device: torch.device) -> None:
        self._cuda = device.type == "cuda"
        self.device = device
        self._total_ns = 0
        self._since_ns: int | None = None
        self._encode_ns = 0
        self._pending: list[tuple[torch.cuda.Event, torch.cuda.Event]] = []

    @property
    def running(self) -> bool:
        """True between `start` and `stop`."""
        return self._since_ns is not None

    def go_on(self, total_s: float, encode_s: float) -> None:
        """Count on from these readings of an earlier clock."""
        self._total_ns, self._encode_ns = round(total_s * 1e9), round(encode_s * 1e9)

    def start(self) -> None:
        """Begin to count, once all earlier work is done."""
        self._synchronize()
        self._since_ns = time.monotonic_ns()

    def stop(self) -> None:
        """Stop counting, once all work under way is done."""
        self._synchronize()
        if self._since_ns is not None:
            self._total_ns += time.monotonic_ns() - self._since_ns
            self._since_ns = None

    def read(self) -> tuple[float, float]:
        """Seconds of training and of these in the encoder; a marked point: it synchronises."""
        self._synchronize()
        running = time.monotonic_ns() - self._since_ns if self._since_ns is not None else 0
        for begin, end in self._pending:
            self._encode_ns += int(begin.elapsed_time(end) * 1e6)
        self._pending.clear()
        return (self._total_ns + running) / 1e9, self._encode_ns / 1e9

    @contextmanager
    def encoding(self) -> Iterator[None]:
        """Count the enclosed work as the encoder's."""
        end = self._begin_encoding()
        yield
        end()

    @contextmanager
    def encoding_behind(self, vectors_ND: Tensor) -> Iterator[None]:
        """Count the enclosed backward pass as the encoder's from the moment it reaches the item vectors."""
        ends: list[Callable[[], None]] = []
        handle = vectors_ND.register_hook(lambda _: ends.append(self._begin_encoding()))
        yield
        handle.remove()
        for end in ends:
            end()

    @contextmanager
    def rehearsing(self) -> Iterator[None]:
        """Forget what the enclosed work adds to the encoder's seconds."""
        before_ns = self._encode_ns
        yield
        self._encode_ns = before_ns
        self._pending.clear()

    def _begin_encoding(self) -> Callable[[], None]:
        if not self._cuda:
            since_ns = time.monotonic_ns()

            def count() -> None:
                self._encode_ns += time.monotonic_ns() - since_ns

            return count
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        begin.record()

        def mark() -> None:
            end.record()
            self._pending.append((begin, end))

        return mark

    def _synchronize(self) -> None:
        if self._cuda:
            torch.cuda.synchronize(self.device)
