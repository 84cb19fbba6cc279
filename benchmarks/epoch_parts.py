"""An epoch of gram-1e: trained whole, in three timed parts, and predicted from probes of what it consists of.

All seconds are those of the trial's own clock, which waits for the device at both ends of what is timed.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from benchmarks.trials import Trial
from grambench.training.phases import filter_backward
from grambench.training.protocols import ClosedWindow
from grambench.training.strategies.item_table import Window


def seconds_of(made: Trial, work: Callable[[], object]) -> float:
    """Seconds of some work by the trial's clock."""
    clock = made.system.clock
    before_s, _ = clock.read()
    clock.start()
    work()
    clock.stop()
    return clock.read()[0] - before_s


def step_seconds(made: Trial, steps: range) -> list[float]:
    """Seconds of each of some steps, the drawing of its batch included."""

    def take(step: int) -> None:
        made.strategy.step(made.sampler.batch(step))

    return [seconds_of(made, partial(take, step)) for step in steps]


@dataclass(slots=True)
class WholeEpoch:
    """Epochs of `gram-1e` step by step, in three parts that wait for the device at their ends."""

    trial: Trial
    step: int = 0
    parts: list[tuple[float, float, float]] = field(default_factory=list)
    """Seconds of the first step, which opens the window, of those between, of the last, which closes it."""
    encode_s: list[float] = field(default_factory=list)
    windows: list[ClosedWindow] = field(default_factory=list)
    losses: list[Tensor] = field(default_factory=list)
    """Of each step, summed over its users; on the device."""

    def __call__(self) -> float:
        """Seconds of an epoch."""
        sampler, clock = self.trial.sampler, self.trial.system.clock
        steps = sampler.steps_per_epoch
        begin_s, encoded_s = clock.read()
        clock.start()
        edges = [begin_s]
        for within in range(steps):
            result = self.trial.strategy.step(sampler.batch(self.step + within))
            self.losses.append(result.loss)
            if result.window is not None:
                self.windows.append(result.window)
            if within in (0, steps - 2, steps - 1):
                edges.append(clock.read()[0])
        clock.stop()
        self.step += steps
        opening_s, between_s, closing_s = (b - a for a, b in pairwise(edges))
        self.parts.append((opening_s, between_s, closing_s))
        self.encode_s.append(clock.read()[1] - encoded_s)
        return edges[-1] - edges[0]


class Parts:
    """Probes of what an epoch of gram-1e consists of; seconds for a whole epoch."""

    def __init__(self, made: Trial, steps: int, items: int, at_once: int = 0) -> None:
        """
        Args:
            made: a trial of gram-1e.
            steps: CF steps of a probe; fewer where the epoch has fewer.
            items: encoded in a probe; fewer where the epoch has fewer.
            at_once: items, some of them again and again, in a call of e2e; 0: as many as in a mini-batch.
        """
        self.made = made
        self.steps = made.sampler.steps_per_epoch
        self.items = made.sampler.items_ahead(0, self.steps)
        device, width = made.sampler.device, made.modules.encoder.width
        self.window = Window(len(made.system.encode.tokens), width, torch.float32, device, False)
        self.window.join(self.items, torch.randn(len(self.items), width, device=device))
        self.probed_steps = min(steps, self.steps)
        self.probed = np.random.default_rng(0).permutation(self.items)[:items]
        lengths = made.system.encode.tokens.lengths
        self.scale = float(lengths[self.items].sum() / lengths[self.probed].sum())
        """Tokens of the epoch's items over those of the probed ones."""
        self.at_once = at_once or made.spec.multi_step.encoder_batch

    def cf_only(self, first: int) -> float:
        """Drawing, gathering, the filter and its optimiser, on a table of random vectors."""
        last = min(first + self.probed_steps, self.steps)
        seconds = seconds_of(self.made, lambda: self._cf_steps(range(first, last)))
        return seconds * self.steps / (last - first)

    def bare_pass(self) -> float:
        """The encoder without a graph."""
        with torch.no_grad():
            return self.scale * seconds_of(self.made, lambda: self.made.system.encode(self.probed))

    def training_pass(self) -> float:
        """The encoder forward and backward, in mini-batches as when a window closes."""
        seconds = self.scale * seconds_of(self.made, self._training_steps)
        self.made.system.encoder_optimizer.discard()
        return seconds

    def e2e_pass(self) -> float:
        """The encoder forward and backward, as many items at once as e2e encodes."""
        repeated = np.resize(self.probed, self.at_once)
        scale = float(self.made.system.encode.tokens.lengths[self.items].sum())
        scale /= float(self.made.system.encode.tokens.lengths[repeated].sum())
        seconds = seconds_of(self.made, lambda: self.made.system.encode(repeated).square().sum().backward())
        self.made.system.encoder_optimizer.discard()
        return scale * seconds

    def _cf_steps(self, steps: range) -> None:
        system = self.made.system
        for step in steps:
            batch = self.made.sampler.batch(step)
            view = batch.unique()
            rows_ND = self.window.read(self.window.slots_I[view.items_N])
            filter_backward(system, view, rows_ND, batch.users)
            system.filter_optimizer.step()

    def _training_steps(self) -> None:
        size = self.made.spec.multi_step.encoder_batch
        for start in range(0, len(self.probed), size):
            self.made.system.encode(self.probed[start : start + size]).square().sum().backward()
