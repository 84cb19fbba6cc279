"""What a trial will cost, from counts of its sampler and short measurements; no weight changes.

A step is measured on growing parts of a batch for as long as there is time: a whole batch may take minutes.
Legend: N items, D width.
"""

import contextlib
import ctypes
import dataclasses
import functools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import fmean
from time import process_time

import numpy as np
import psutil
import torch
from numpy.typing import NDArray

from grambench import gram
from grambench.analysis import forecast as cost
from grambench.config.spec import Spec
from grambench.config.strategies import row_of
from grambench.domains.training import TrainSampler
from grambench.events import types as ev
from grambench.models.encoders.free import FreeItemEncoder, NoItemEncoder, free_vectors
from grambench.models.encoders.states import CachedItemEncoder
from grambench.training.memory_plan import GraphPlan, most_held_bytes
from grambench.training.optim import ScheduledAdam
from grambench.training.phases import System, dry_run, encode, filter_loss, warm_up_encoder
from grambench.training.protocols import Batch, Strategy
from grambench.training.strategies.no_finetune import NoFinetune, TrainedPooling
from grambench.training.strategies.speedyfeed import SpeedyFeed

LEAST_S, MOST_S, OF_WARM_UP = 0.08, 2.0, 1 / 8
"""Seconds of each measurement of a trial that is about to start: a share of its warm-up, within bounds."""
_LOOKED_AT = 16
"""Batches over which counts are averaged."""
_FIRST, _GROWTH, _REPEATS = 2, 4, 3
"""Users or items of the first part that is measured, factor to the next one, and calls of the last."""
_SAMPLE = 1 << 20
"""Parameters on which an update is timed."""


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
        windows, ahead_s = self._windows()
        measured = self._one_step if not windows and not self._is_frozen else self._filter_step
        with self._on_plain_steps():
            work, seconds, graph = measured(batches)
            if windows:
                seconds, graph = self._at_windows(batches[0], seconds, graph)
        multi = self.spec.multi_step
        found = cost.forecast(
            drawn,
            work,
            windows,
            dataclasses.replace(seconds, draw=draw_s + ahead_s / drawn.batches),
            self._memory(graph, windows),
            encoder_batch=multi.encoder_batch,
            encoder_passes=multi.encoder_passes,
            note=self._note(),
        )
        epoch = self._reuse_of_epoch(drawn) if counts_epoch else None
        return dataclasses.replace(found, reuse_of_epoch=epoch, seconds=time.perf_counter() - began)

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
        sampler, began = self.sampler, time.perf_counter()
        whole = max(1, min(sampler.samples // sampler.batch_size, sampler.total_steps))
        steps = sorted(set(np.linspace(0, whole - 1, _LOOKED_AT).astype(int).tolist()))
        batches: list[Batch] = [sampler.batch(step) for step in steps]
        for batch in batches:
            batch.unique()
        at_once = max(1, sampler.drawn_ahead // sampler.batch_size)
        drawn = sum(min(at_once, whole - block * at_once) for block in {step // at_once for step in steps})
        return batches, (time.perf_counter() - began) / drawn

    def _windows(self) -> tuple[list[cost.WindowWork], float]:
        """The windows of an epoch, and seconds to collect their items; none where each step is complete."""
        of_epoch, total = self.sampler.steps_per_epoch, self.sampler.total_steps
        most = min(self.strategy.window_steps, total)
        if self.strategy.window_steps == 1:
            return [], 0.0
        whole, rest = divmod(of_epoch, most)
        lengths = [(float(whole), most, 0), (1.0, rest, whole * most)]
        if most > of_epoch or total < of_epoch:
            lengths = [(of_epoch / most, most, 0)]
        windows, ahead_s = [], 0.0
        for times, steps, first in lengths:
            if times and steps:
                began = time.perf_counter()
                items_N = self.sampler.items_ahead(first, steps)
                ahead_s += times * (time.perf_counter() - began)
                windows.append(cost.WindowWork(times, len(items_N), self._tokens(items_N)))
        return windows, ahead_s

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
        """What a batch costs grows with it: the tokens that are encoded, or without text the occurrences."""
        return self._tokens(self._encoded(batch)) if self._reads_text else batch.occurrences().occurrences

    @property
    def _reads_text(self) -> bool:
        return not isinstance(self.system.encode, FreeItemEncoder | NoItemEncoder)

    @property
    def _is_frozen(self) -> bool:
        return isinstance(self.strategy, NoFinetune | TrainedPooling)

    def _note(self) -> str:
        if self._is_frozen:
            return "the first epoch also encodes every item once"
        if isinstance(self.strategy, SpeedyFeed):
            return "an upper bound: vectors from the cache are not encoded"
        if row_of(self.name).colours == "auto":
            return "as if every window were of the greatest length"
        return ""

    # --- measurements --------------------------------------------------------------------------

    def _one_step(self, batches: list[Batch]) -> tuple[cost.StepWork, cost.Seconds, float]:
        """Of a strategy whose steps are complete: the warm-up, which computes a step's gradients."""
        first = batches[0]
        small = next(first.split(_FIRST))
        held = most_held_bytes(self._parameters(), lambda: self.strategy.warm_up(small))
        users, took_s = self._grown(
            first.users, lambda users: self.strategy.warm_up(next(first.split(users)))
        )
        sizes = [self._size(batch) for batch in batches]
        mean_s = took_s * fmean(sizes) / max(1, self._size(next(first.split(users))))
        update_s = sum(
            map(self._update_seconds, (self.system.filter_optimizer, self.system.encoder_optimizer))
        )
        is_encoded = not isinstance(self.system.encode, NoItemEncoder)
        work = cost.StepWork(
            fmean(len(self._encoded(batch)) for batch in batches) * is_encoded,
            fmean(sizes) * self._reads_text,
        )
        graph = held * max(1.0, self._share_held(first) * max(sizes) / max(1, self._size(small)))
        return work, cost.Seconds(draw=0.0, step=mean_s + update_s), graph

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
        first, system = batches[0], self.system
        width, device = system.encode.encoder.width, system.clock.device
        dtype = next(system.encode.encoder.parameters()).dtype

        def run(users: int) -> None:
            view = next(first.split(users)).unique()
            vectors_ND = torch.zeros(len(view.host_items_N), width, dtype=dtype, device=device)
            loss = functools.partial(filter_loss, system, view)
            gram.filter_backward(loss, vectors_ND, users, system.guard.see)

        with dry_run(system):
            small = min(_FIRST, first.users)
            held = most_held_bytes(self._parameters(), functools.partial(run, small))
            users, took_s = self._grown(first.users, run)
        step_s = took_s * first.users / users + self._update_seconds(system.filter_optimizer)
        return cost.StepWork(0, 0), cost.Seconds(draw=0.0, step=step_s), held * first.users / small

    def _at_windows(self, batch: Batch, seconds: cost.Seconds, graph: float) -> tuple[cost.Seconds, float]:
        """The same with what a window costs when it opens and closes."""
        system, items_N = self.system, batch.unique().host_items_N
        items_N = np.random.default_rng(0).permutation(items_N)
        chunk = min(self.spec.multi_step.encoder_batch, self.plan.encoder_chunk or len(items_N), len(items_N))

        def forward(items: int) -> None:
            with torch.no_grad():
                encode(system, items_N[:items])

        with dry_run(system):
            held = most_held_bytes(self._parameters(), lambda: warm_up_encoder(system, items_N[:_FIRST]))
            fitted, both_s = self._grown(chunk, lambda items: warm_up_encoder(system, items_N[:items]))
            forward(_FIRST)
            opened, forward_s = self._grown(len(items_N), forward)
        held_tokens = self._tokens(items_N) * chunk / len(items_N)
        seconds = dataclasses.replace(
            seconds,
            forward=forward_s / max(1, self._tokens(items_N[:opened])),
            both=both_s / max(1, self._tokens(items_N[:fitted])),
            update=self._update_seconds(system.encoder_optimizer),
        )
        return seconds, max(graph, held * max(1.0, held_tokens / max(1, self._tokens(items_N[:_FIRST]))))

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
        modules = self.system.encode.encoder, self.system.filter
        return [p for module in modules for p in module.parameters() if p.requires_grad]

    def _grown(self, most: int, call: Callable[[int], None]) -> tuple[int, float]:
        """Seconds of the largest part, of at most `most`, for which there is time; it was called before.

        Time is that of this process, so that a busy machine does not make the parts smaller; of several
        calls the fastest was disturbed least.
        """
        part, began = min(_FIRST, most), self._spent_s()
        took_s = self._seconds(lambda: call(part))
        while part < most and (self._spent_s() - began) * _GROWTH < self.budget_s:
            part, began = min(most, part * _GROWTH), self._spent_s()
            took_s = self._seconds(lambda: call(part))  # noqa: B023
        for calls in range(1, _REPEATS):
            if (self._spent_s() - began) * (calls + 1) / calls > self.budget_s:
                break
            took_s = min(took_s, self._seconds(lambda: call(part)))
        return part, took_s

    def _spent_s(self) -> float:
        """Seconds of computing: of this process on a CPU, where its threads share them."""
        on_cpu = self.system.clock.device.type == "cpu"
        return process_time() / torch.get_num_threads() if on_cpu else time.perf_counter()

    def _seconds(self, call: Callable[[], object]) -> float:
        self.system.clock.read()  # waits for the device
        began = time.perf_counter()
        call()
        self.system.clock.read()
        return time.perf_counter() - began

    def _update_seconds(self, optimizer: ScheduledAdam) -> float:
        """Seconds of an update, from one of Adam on a sample of as many parameters."""
        numbers = sum(parameter.numel() for parameter in optimizer.parameters)
        if not numbers:
            return 0.0
        sample = torch.zeros(min(numbers, _SAMPLE), device=self.system.clock.device)
        sample.grad = torch.zeros_like(sample)
        adam = torch.optim.Adam([sample], fused=True)
        adam.step()
        return self._seconds(adam.step) * numbers / len(sample)


def used_bytes(device: torch.device) -> int:
    """Memory in use: what torch has allocated on a GPU, or on a CPU the process's resident memory.

    On a CPU what was freed is returned first, so that earlier work does not count.
    """
    if device.type == "cuda":
        return int(torch.cuda.memory_allocated(device))
    with contextlib.suppress(OSError, AttributeError):  # another C library than glibc
        ctypes.CDLL(None).malloc_trim(0)
    return int(psutil.Process().memory_info().rss)
