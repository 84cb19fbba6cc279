"""Timed rounds of the sections of `benchmarks.measure`: sides in turns, a trial's steps, what was new."""

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from benchmarks.harness import Sample, interleave
from benchmarks.trials import Trial


class Novelties:
    """Counts what the device has not met before: shapes of the encoder's calls, and allocations of memory."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._shapes: set[tuple[int, ...]] = set()
        self.shapes = 0
        """New ones since the last `begin`."""
        self.allocations: int | None = None
        """Since then; None: this torch does not count them, or there is no CUDA device."""

    @contextmanager
    def counted(self, encoder: nn.Module) -> Iterator[None]:
        """Count the backbone's calls during the enclosed work."""

        def note(_module: nn.Module, _arguments: object, named: dict[str, Any]) -> None:
            self._shapes.add(tuple(named["inputs_embeds"].shape[:2]))

        shapes, allocations = len(self._shapes), self._allocated()
        backbone = encoder.get_submodule("backbone")
        handle = backbone.register_forward_pre_hook(note, with_kwargs=True)
        try:
            yield
        finally:
            handle.remove()
        self.shapes, now = len(self._shapes) - shapes, self._allocated()
        self.allocations = None if now is None or allocations is None else now - allocations

    def _allocated(self) -> int | None:
        if self._device.type != "cuda":
            return None
        return torch.cuda.memory_stats(self._device).get("num_device_alloc")

    def __str__(self) -> str:
        allocations = "unknown" if self.allocations is None else self.allocations
        return f"new shapes {self.shapes}, device allocations {allocations}"


def turns(
    sides: Mapping[str, Callable[[], object]], rounds: int, until_s: float, warm_ups: int = 0
) -> dict[str, Sample]:
    """`interleave` with the order turned round each time; no round is begun that would end too late."""
    values: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(rounds):
        began_s, warming = time.monotonic(), 0 if number else warm_ups
        order = list(sides) if number % 2 == 0 else list(reversed(list(sides)))
        measured = interleave({name: sides[name] for name in order}, 1, warming)
        for name, sample in measured.items():
            values[name] += sample.values
        now_s = time.monotonic()
        if now_s + (now_s - began_s) / (1 + warming) > until_s:
            break
    return {name: Sample(tuple(found)) for name, found in values.items()}


def per_second(seconds: Sample, amount: float = 1.0) -> Sample:
    """A rate from seconds."""
    return Sample(tuple(amount / value for value in seconds.values))


@dataclass(slots=True)
class Probe:
    """Some steps of a trial by its own clock, which waits for the device at both ends only.

    A probe of multi-step GRAM ends with a window, so that what a window costs is in it.
    """

    trial: Trial
    steps: int
    step: int = 0
    occurrences: int = 0
    unique_items: int = 0
    finite: bool = True
    novelties: list[str] = field(default_factory=list)
    """Of each call."""
    _met: Novelties = field(init=False)

    def __post_init__(self) -> None:
        self._met = Novelties(self.trial.sampler.device)

    def warm_up(self) -> "Probe":
        """The work of a step without its update, and a step that is not timed."""
        self.trial.strategy.warm_up(self.trial.sampler.batch(self.step))
        self()
        self.occurrences = self.unique_items = 0
        self.novelties.clear()
        return self

    def __call__(self) -> float:
        """Seconds a sample."""
        clock, samples = self.trial.system.clock, 0
        before_s, _ = clock.read()
        with self._met.counted(self.trial.modules.encoder):
            clock.start()
            samples = self._take()
            clock.stop()
        self.novelties.append(str(self._met))
        return (clock.read()[0] - before_s) / samples

    def _take(self) -> int:
        """The steps; the samples that they trained on."""
        strategy, samples, done = self.trial.strategy, 0, 0
        while True:
            result = strategy.step(self.trial.sampler.batch(self.step))
            self.step, done = self.step + 1, done + 1
            samples += result.users
            self.occurrences += result.occurrences
            self.unique_items += result.unique_items
            if done >= self.steps and (strategy.window_steps == 1 or result.window is not None):
                break
        self.finite = self.finite and math.isfinite(float(result.loss))
        return samples

    @property
    def reuse(self) -> float:
        """R: occurrences over the items that the strategy encoded anew for them."""
        return self.occurrences / self.unique_items
