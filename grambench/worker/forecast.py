"""What a trial will cost, from counts of its sampler and short measurements; no weight changes.

A step is measured on growing parts of a batch for as long as there is time: a whole batch may take minutes.
Legend: N items, D width.
"""

import collections
import contextlib
import ctypes
import dataclasses
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from statistics import fmean
from typing import Any, Generic, TypeVar

import numpy as np
import psutil
import torch
from numpy.typing import NDArray
from torch import nn

from grambench.analysis import forecast as cost
from grambench.config.spec import Spec
from grambench.config.strategies import row_of
from grambench.data.batches.base import PlannedShare
from grambench.domains.training import TrainSampler
from grambench.events import types as ev
from grambench.models.encoders.free import FreeItemEncoder, NoItemEncoder, free_vectors
from grambench.models.encoders.states import CachedItemEncoder, FrozenStates, LayerStates
from grambench.models.encoders.text import TextEncoder
from grambench.models.filters.lm_kt import LMKT
from grambench.training.memory_plan import GraphPlan, most_held_bytes
from grambench.training.optim import ScheduledAdam
from grambench.training.phases import System, dry_run, encode, warm_up_encoder
from grambench.training.protocols import Batch, KeepsVectors, Strategy
from grambench.training.strategies.no_finetune import NoFinetune, TrainedPooling
from grambench.training.strategies.speedyfeed import SpeedyFeed

T = TypeVar("T")
LEAST_S, MOST_S, OF_WARM_UP = 0.12, 2.0, 1 / 8
"""Seconds of each measurement of a trial that is about to start: a share of its warm-up, within bounds."""
_LOOKED_AT = 16
"""Batches over which counts are averaged."""
_SMALL = 2
"""Users or items whose graph is measured."""
_GROWTH, _CALLS = 4, 3
"""Factor from a part that is timed to the next one, and calls of the last."""
_LINE_S = 0.5
"""If the first part takes less, a second one is timed in any case: on a large model, nearly all of the first
one's seconds are a call's own cost, such as gradients of every weight."""
_SAMPLE = 1 << 16
"""Numbers of each parameter on which an update is timed."""


@dataclass(frozen=True, slots=True)
class Parts(Generic[T]):
    """A call that is measured on parts of its input."""

    most: int
    """Users or items of the largest part."""
    prepare: Callable[[int], T]
    """Makes a part of so many; not measured."""
    call: Callable[[T], None]
    size: Callable[[T], float]
    """Of a part, with which its cost grows."""


@dataclass(frozen=True, slots=True)
class Probe:
    """A trial that could start now."""

    spec: Spec
    """The run's settings with the trial's own."""
    name: str
    """The strategy's."""
    system: System
    sampler: TrainSampler
    strategy: Strategy
    plan: GraphPlan
    base_bytes: int
    """`used_bytes` once the system was built."""
    budget_s: float
    """Seconds of each measurement."""

    def forecast(self, *, counts_epoch: bool = False) -> ev.TrialForecast:
        """Count, measure and predict; `counts_epoch`: also the distinct items of an epoch."""
        began = time.perf_counter()
        batches, draw_s = self._batches()
        drawn = cost.Drawn(
            self.sampler.samples / self.sampler.batch_size,
            fmean(batch.occurrences().occurrences for batch in batches),
            fmean(len(batch.unique().host_items_N) for batch in batches),
        )
        windows, ahead_s = self._windows(self.strategy.window_steps)
        measured = self._filter_step if isinstance(self.strategy, KeepsVectors) else self._one_step
        with self._on_plain_steps():
            work, seconds, graph = measured(batches)
            if windows:
                seconds, graph = self._at_windows(batches[0], seconds, graph)
            once_s = self._once()
        seconds = dataclasses.replace(seconds, draw=draw_s + ahead_s / drawn.batches)

        def predicted(windows: list[cost.WindowWork]) -> ev.TrialForecast:
            multi, memory = self.spec.multi_step, self._memory(graph, windows)
            sizes = {"encoder_batch": multi.encoder_batch, "encoder_passes": multi.encoder_passes}
            return cost.forecast(drawn, work, windows, seconds, memory, **sizes, note=self._note(once_s))

        found = predicted(windows)
        if windows and (least := self._least_window()):
            found = cost.between(found, predicted(self._windows(least)[0]))
        return dataclasses.replace(
            found,
            once_s=once_s,
            reuse_of_epoch=self._reuse_of_epoch(drawn) if counts_epoch else None,
            seconds=time.perf_counter() - began,
        )

    @contextlib.contextmanager
    def _on_plain_steps(self) -> Iterator[None]:
        """Parts of a batch are not captured as CUDA graphs, whose steps are faster than what is measured."""
        fixed = self.system.fixed
        before = fixed.filter_steps, fixed.encoder_steps
        fixed.filter_steps = fixed.encoder_steps = False
        try:
            yield
        finally:
            fixed.filter_steps, fixed.encoder_steps = before

    # --- counts --------------------------------------------------------------------------------

    def _batches(self) -> tuple[list[Batch], float]:
        """Some whole batches of the first epoch, the first one among them, and seconds to draw one."""
        sampler, began = self.sampler, self._now_s()
        whole = max(1, min(sampler.samples // sampler.batch_size, sampler.total_steps))
        steps = sorted(set(np.linspace(0, whole - 1, _LOOKED_AT).astype(int).tolist()))
        batches: list[Batch] = [sampler.batch(step) for step in steps]
        for batch in batches:
            batch.unique()
        at_once = max(1, sampler.drawn_ahead // sampler.batch_size)
        drawn = sum(min(at_once, whole - block * at_once) for block in {step // at_once for step in steps})
        return batches, (self._now_s() - began) / drawn

    def _windows(self, longest: int) -> tuple[list[cost.WindowWork], float]:
        """The windows of an epoch, and seconds to collect their items; none where each step is complete."""
        of_epoch, total = self.sampler.steps_per_epoch, self.sampler.total_steps
        if longest == 1:
            return [], 0.0
        most = min(longest, total)
        whole, rest = divmod(of_epoch, most)
        lengths = [(float(whole), most, 0), (1.0, rest, whole * most)]
        if most > of_epoch or total < of_epoch:
            lengths = [(of_epoch / most, most, 0)]
        windows, ahead_s = [], 0.0
        for times, steps, first in lengths:
            if times and steps:
                began = self._now_s()
                items_N = self.sampler.items_ahead(first, steps)
                ahead_s += times * (self._now_s() - began)
                windows.append(cost.WindowWork(times, len(items_N), self._tokens(items_N)))
        return windows, ahead_s

    def _least_window(self) -> int | None:
        """CF steps of the shortest window where the drift ends windows; None: their lengths are known."""
        least = getattr(getattr(self.strategy, "rule", None), "check_steps", self.strategy.window_steps)
        return least if least < self.strategy.window_steps else None

    def _reuse_of_epoch(self, drawn: cost.Drawn) -> float | None:
        items = len(self.sampler.items_ahead(0, self.sampler.steps_per_epoch))
        steps = min(drawn.batches, self.sampler.total_steps)
        return drawn.occurrences * steps / items if items else None

    def _tokens(self, items_N: NDArray[np.int64]) -> int:
        return int(self.system.encode.tokens.lengths[items_N].sum())

    def _encoded(self, batch: Batch) -> NDArray[np.int64]:
        """What the encoder encodes of a batch."""
        takes_all = row_of(self.name).encodes == "occurrences"
        return (batch.occurrences() if takes_all else batch.unique()).host_items_N

    def _size(self, batch: Batch) -> int:
        """What a batch costs grows with it: tokens that are read, or without text the occurrences."""
        if isinstance(self.system.filter, LMKT):
            view: Any = batch.occurrences()
            return self.system.filter.positions(view)
        return self._tokens(self._encoded(batch)) if self._reads_text else batch.occurrences().occurrences

    @property
    def _reads_text(self) -> bool:
        return not isinstance(self.system.encode, FreeItemEncoder | NoItemEncoder)

    @property
    def _states(self) -> FrozenStates[Any] | None:
        """States of a frozen part that steps read."""
        found = self.strategy if isinstance(self.strategy, TrainedPooling) else self.system.encode
        return found.states if isinstance(found, TrainedPooling | CachedItemEncoder) else None

    def _note(self, once_s: float) -> str:
        if once_s:
            return f"before or in the first epoch {once_s:.2g} s more: a frozen part encodes every item once"
        if isinstance(self.strategy, SpeedyFeed):
            return "an upper bound: vectors from the cache are not encoded"
        return ""

    # --- measurements --------------------------------------------------------------------------

    def _one_step(self, batches: list[Batch]) -> tuple[cost.StepWork, cost.Seconds, float]:
        """Of a strategy whose steps are complete: the warm-up, which computes a step's gradients."""
        first = batches[0]
        sizes = [self._size(batch) for batch in batches]
        parts = Parts(first.users, lambda users: self._part(first, users), self.strategy.warm_up, self._size)
        graph = self._held(parts, self._share_held(first) * max(sizes))
        mean_s = self._grown(parts, fmean(sizes))
        update_s = sum(
            map(self._update_seconds, (self.system.filter_optimizer, self.system.encoder_optimizer))
        )
        is_encoded = not isinstance(self.system.encode, NoItemEncoder)
        work = cost.StepWork(
            fmean(len(self._encoded(batch)) for batch in batches) * is_encoded,
            fmean(sizes) * self._reads_text,
        )
        return work, cost.Seconds(draw=0.0, step=mean_s + update_s), graph

    def _held(self, parts: Parts[T], whole: float) -> float:
        """The most bytes that graphs of a call of size `whole` hold at once, along a line through two parts.

        Copies of weights do not grow with the parts.
        """
        two = [parts.prepare(min(parts.most, count)) for count in (_SMALL, 2 * _SMALL)]
        smaller, larger = ((parts.size(part), self._held_by(partial(parts.call, part))) for part in two)
        return cost.along(smaller, larger, max(whole, smaller[0]))

    def _held_by(self, run: Callable[[], None]) -> float:
        """The most bytes that graphs hold at once, with those of a checkpointed layer that is run again."""
        encoder, parameters = self.system.encode.encoder, self._parameters()
        held = float(most_held_bytes(parameters, run))
        encoder = encoder.encoder if isinstance(encoder, LayerStates) else encoder
        if isinstance(encoder, TextEncoder) and (layers := encoder.checkpointed_layers):
            with encoder.keeping_all():
                held += most_held_bytes(parameters, run) / layers
        return held

    def _share_held(self, batch: Batch) -> float:
        """Share of a batch whose graph is held at once."""
        plan, sizes = self.plan, row_of(self.name).plan
        if "micro_batch" in sizes:
            return plan.micro_batch / batch.users
        if "encoder_chunk" in sizes and plan.encoder_chunk is not None:
            return min(1.0, plan.encoder_chunk / len(self._encoded(batch)))
        return 1.0

    def _filter_step(self, batches: list[Batch]) -> tuple[cost.StepWork, cost.Seconds, float]:
        """Of a strategy whose steps read vectors that are there already."""
        assert isinstance(self.strategy, KeepsVectors)
        first, rehearse = batches[0], self.strategy.rehearse
        parts = Parts(first.users, lambda users: self._part(first, users), rehearse, lambda part: part.users)
        graph, took_s = self._held(parts, first.users), self._grown(parts, first.users)
        update_s = self._update_seconds(self.system.filter_optimizer)
        if isinstance(self.strategy, TrainedPooling):
            update_s += self._update_seconds(self.system.encoder_optimizer)
            self.strategy.states.forget()  # training computes them in calls of its own
        return cost.StepWork(0, 0), cost.Seconds(draw=0.0, step=took_s + update_s), graph

    def _part(self, batch: Batch, users: int) -> Batch:
        """A part of a batch, after computing frozen states that are missing for it."""
        part = next(batch.split(users))
        self._require(self._encoded(part))
        return part

    def _require(self, items_N: NDArray[np.int64]) -> NDArray[np.int64]:
        """The items, after computing frozen states that are missing for them."""
        if self._states is not None:
            self._states.require(items_N)
        return items_N

    def _once(self) -> float:
        """Seconds to encode once what is frozen; 0 where it is there by now."""
        system, states, sampler = self.system, self._states, self.sampler
        if isinstance(system.encode, CachedItemEncoder):
            items_N = np.arange(len(system.encode.tokens))
        else:
            items_N = sampler.items_ahead(0, sampler.steps_per_epoch)
        if not isinstance(self.strategy, NoFinetune) and (states is None or states.file is not None):
            return 0.0
        items_N = np.random.default_rng(0).permutation(items_N)

        @torch.no_grad()
        def run(items_N: NDArray[np.int64]) -> None:
            if states is None:
                encode(system, items_N)
            else:
                collections.deque(states.computed(items_N), 0)

        lengths_I = (system.encode if states is None else states).tokens.lengths

        def size(items_N: NDArray[np.int64]) -> int:
            return int(lengths_I[items_N].sum())

        with dry_run(system):
            return self._grown(Parts(len(items_N), lambda items: items_N[:items], run, size), size(items_N))

    def _at_windows(self, batch: Batch, seconds: cost.Seconds, graph: float) -> tuple[cost.Seconds, float]:
        """The same with what a window costs when it opens and closes."""
        system, items_N = self.system, batch.unique().host_items_N
        items_N = np.random.default_rng(0).permutation(items_N)
        tokens = self._tokens(items_N)
        chunk = min(self.spec.multi_step.encoder_batch, self.plan.encoder_chunk or len(items_N), len(items_N))
        held_tokens = tokens * chunk / len(items_N)

        @torch.no_grad()
        def forward(items_N: NDArray[np.int64]) -> None:
            encode(system, items_N)

        def fit(items_N: NDArray[np.int64]) -> None:
            warm_up_encoder(system, items_N)

        def part(items: int) -> NDArray[np.int64]:
            return self._require(items_N[:items])

        with dry_run(system):
            parts = Parts(chunk, part, fit, self._tokens)
            held, both_s = self._held(parts, held_tokens), self._grown(parts, held_tokens)
            forward(part(_SMALL))
            forward_s = self._grown(Parts(len(items_N), part, forward, self._tokens), tokens)
        seconds = dataclasses.replace(
            seconds,
            forward=forward_s / max(1, tokens),
            both=both_s / max(1.0, held_tokens),
            update=self._update_seconds(system.encoder_optimizer),
        )
        return seconds, max(graph, held)

    def _memory(self, graph: float, windows: list[cost.WindowWork]) -> cost.Bytes:
        encoder, row = self.system.encode.encoder, self.system.encode.encoder.width * 4
        rows = len(self.system.encode.tokens) + 2 * max((window.items for window in windows), default=0)
        kept = [value for value in self.strategy.state_dict().values() if isinstance(value, torch.Tensor)]
        free = free_vectors(encoder)
        touched = free.rows_ID.nbytes if free is not None and free.touched_only else 0
        optimizers = (self.system.encoder_optimizer, self.system.filter_optimizer)
        trained = sum(parameter.nbytes for optimizer in optimizers for parameter in optimizer.parameters)
        vectors = rows * row + sum(tensor.nbytes for tensor in kept)
        if isinstance(self.strategy, TrainedPooling):
            vectors += self.strategy.states.file_bytes
        encode = self.system.encode
        states_bytes = encode.states.file_bytes if isinstance(encode, CachedItemEncoder) else 0
        vectors += states_bytes if self.spec.encoder.keeps_on_device(states_bytes) else 0
        base = self.base_bytes
        if self.system.clock.device.type == "cpu":  # with what the libraries have allocated at first calls
            base = max(base, used_bytes(self.system.clock.device))
        return cost.Bytes(base, trained + touched, int(graph), vectors)

    def _parameters(self) -> list[torch.nn.Parameter]:
        return [*self.system.encode.encoder.parameters(), *self.system.filter.parameters()]

    def _grown(self, parts: Parts[T], whole: float) -> float:
        """Seconds of a call of size `whole`, along a line through the largest parts for which there is time.

        Preparing a part counts in what there is. The call was made before.
        """
        part, points = 1, [(0.0, 0.0)]
        while True:
            began, prepared = self._now_s(), parts.prepare(part)
            seconds = [self._seconds(partial(parts.call, prepared))]
            took_s = self._now_s() - began
            has_time, needs_line = took_s * _GROWTH < self.budget_s, len(points) == 1 and took_s < _LINE_S
            if part == parts.most or not (has_time or needs_line):
                break
            points.append((parts.size(prepared), seconds[0]))
            part = min(parts.most, part * (_GROWTH if has_time else 2))
        while len(seconds) < _CALLS and (self._now_s() - began) * (1 + 1 / len(seconds)) <= self.budget_s:
            seconds.append(self._seconds(partial(parts.call, prepared)))
        return cost.along(points[-1], (parts.size(prepared), fmean(seconds)), whole)

    def _now_s(self) -> float:
        """Seconds of computing: on a CPU those of this thread, so that other work does not count."""
        return time.thread_time() if self.system.clock.device.type == "cpu" else time.perf_counter()

    def _seconds(self, call: Callable[[], object]) -> float:
        self.system.clock.read()  # waits for the device
        began = self._now_s()
        call()
        self.system.clock.read()
        return self._now_s() - began

    def _update_seconds(self, optimizer: ScheduledAdam) -> float:
        """Seconds of an update, from one of the first numbers of each parameter."""
        numbers = sum(parameter.numel() for parameter in optimizer.parameters)
        parts = [
            nn.Parameter(parameter.new_zeros(min(parameter.numel(), _SAMPLE)))
            for parameter in optimizer.parameters
        ]
        adam = ScheduledAdam(parts, optimizer.spec, decayed=parts)

        def update() -> float:
            for part in parts:
                part.grad = torch.zeros_like(part)
            return self._seconds(lambda: adam.step(PlannedShare(0.0, 1.0)))

        seconds = [update() for _ in range(_CALLS)]
        return fmean(seconds[1:]) * numbers / max(1, sum(map(len, parts)))


def used_bytes(device: torch.device) -> int:
    """Memory in use: what torch has allocated on a GPU, or on a CPU the process's resident memory.

    On a CPU what was freed is returned first, so that earlier work does not count.
    """
    if device.type == "cuda":
        return int(torch.cuda.memory_allocated(device))
    with contextlib.suppress(OSError, AttributeError):  # another C library than glibc
        ctypes.CDLL(None).malloc_trim(0)
    return int(psutil.Process().memory_info().rss)
