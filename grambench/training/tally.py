"""Counters of a trial, and the events that report them."""

import dataclasses
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from grambench.events import types as ev
from grambench.models.encoders.buckets import EncodingCounts
from grambench.training.phases import System
from grambench.training.protocols import Batch, ClosedWindow, StepResult

REPORT_S = 0.5
"""Seconds between progress events; each synchronises."""
RANKS_S = 2.0
"""Training seconds between two samples of the ranks; the first is taken with the first report."""
REUSE_STEPS = 8
"""Of so many steps one is looked at for what a rank alone would have to encode."""


@dataclass(slots=True)
class Totals:
    """Counters since the start of the trial, or since a snapshot of them."""

    steps: int = 0
    samples: int = 0
    occurrences: int = 0
    unique_items: int = 0
    batch_items: int = 0

    def add(self, result: StepResult) -> None:
        """Count one CF step."""
        self.steps += 1
        self.samples += result.users
        self.occurrences += result.occurrences
        self.unique_items += result.unique_items
        self.batch_items += result.unique_items if result.batch_items is None else result.batch_items


@dataclass(slots=True)
class _Start:
    """Counters at the start of an epoch."""

    train_s: float = 0.0
    totals: Totals = dataclasses.field(default_factory=Totals)
    items: int = 0
    tokens: int = 0


class _Sums(NamedTuple):
    """Counters of all ranks."""

    totals: Totals
    encoded: EncodingCounts
    loss: float
    """Since the last report, summed over the users."""


class Tally:
    """Counts steps, and emits progress, window and epoch events.

    A rank counts its own part; what is reported or kept are the sums over all ranks. Every rank therefore
    reports after the same steps.
    """

    def __init__(
        self,
        system: System,
        emit: Callable[[ev.Event], None],
        memory: Callable[[], tuple[int | None, int | None, int | None]],
    ) -> None:
        self.system, self._emit, self._memory = system, emit, memory
        self.totals = Totals()
        self.last_loss: tuple[float, int] | None = None
        """The latest finite mean loss per user, and the step at which it was read."""
        self.last_drift: float | None = None
        self._start = _Start()
        self._loss = torch.zeros(())
        self._loss_users = 0
        self._reported_ns = 0
        self._ranks_train_s = [0.0, -math.inf]
        """Training seconds at this process's start, and at the last sample of the ranks."""
        self._items_before = 0
        """Items encoded before this process."""
        self._reuse = np.zeros(3, dtype=np.int64)
        """Sums of `_reuse` since its start."""
        self._windows = 0
        self._window_encode_s = 0.0
        system.group.counts = lambda: system.clock.running

    def count(self, result: StepResult, batch: Batch) -> None:
        """Count one CF step."""
        if self.system.group.size > 1 and self.totals.steps % REUSE_STEPS == 0:
            self._reuse += _reuse(batch)
        self.totals.add(result)
        self.system.guard.count_step()
        self._loss = self._loss.to(result.loss.device) + result.loss
        self._loss_users += result.users

    def is_due(self) -> bool:
        """Whether the last report is at least `REPORT_S` old."""
        return time.monotonic_ns() - self._reported_ns >= REPORT_S * 1e9

    def report_news(self, batch: Batch) -> None:
        """Emit the counters if there were steps since the last report."""
        if self._loss_users:
            self.report(batch)

    def report(self, batch: Batch) -> None:
        """Emit the counters and the mean loss per user since the last report."""
        train_s, encode_s = self.system.clock.read()
        totals, encoded, summed = self._sums()
        loss = summed / self._loss_users if self._loss_users else None
        if loss is not None and math.isfinite(loss):
            self.last_loss = loss, self.totals.steps
        self._loss, self._loss_users = torch.zeros_like(self._loss), 0
        current, peak_allocated, peak_reserved = self._memory()
        encoder_clipped, encoder_norm = self.system.encoder_optimizer.clipped()
        filter_clipped, filter_norm = self.system.filter_optimizer.clipped()
        self._emit(
            ev.Progress(
                epoch=batch.epoch + 1,
                step=self.totals.steps,
                train_s=train_s,
                encode_s=encode_s,
                samples=totals.samples,
                occurrences=totals.occurrences,
                unique_items=totals.unique_items,
                items_encoded=encoded.items,
                tokens_encoded=encoded.tokens,
                loss=loss,
                batch_items=totals.batch_items,
                encoder_lr=self.system.encoder_optimizer.rate(batch.progress),
                filter_lr=self.system.filter_optimizer.rate(batch.progress),
                memory_allocated_bytes=current,
                peak_allocated_bytes=peak_allocated,
                peak_reserved_bytes=peak_reserved,
                encoder_clipped=encoder_clipped,
                encoder_gradient_norm=encoder_norm,
                filter_clipped=filter_clipped,
                filter_gradient_norm=filter_norm,
            )
        )
        self._report_ranks(train_s, peak_allocated)
        self._reported_ns = time.monotonic_ns()

    def _report_ranks(self, train_s: float, peak_bytes: int | None) -> None:
        """Emit a sample of each rank, where there are several and the last samples are old enough."""
        group, (began_s, sampled_s) = self.system.group, self._ranks_train_s
        (due,) = group.greatest(group.leads and train_s - sampled_s >= RANKS_S)
        if group.size == 1 or not due:
            return
        self._ranks_train_s[1] = train_s
        on_cpu = self.system.clock.device.type == "cpu"
        own = (
            train_s - began_s,
            group.waited_s if on_cpu else -1,
            group.received_bytes,
            self.system.encode.counts.items - self._items_before,
            -1 if peak_bytes is None else peak_bytes,
            *self._reuse.tolist(),
        )
        for rank, (ran_s, wait_s, received, items, peak, *reuse) in enumerate(group.gather(own)):
            waited_s = None if wait_s < 0 else wait_s
            memory = None if peak < 0 else int(peak)
            sample = ev.RankSample(rank, ran_s, waited_s, int(received), int(items), memory, *map(int, reuse))
            self._emit(sample)

    def report_window(self, window: ClosedWindow) -> bool:
        """Emit a closed window; False if its drift or pseudo-loss is not finite."""
        self._windows += 1
        encode_s = self.system.clock.read()[1]
        since_s, self._window_encode_s = self._window_encode_s, encode_s
        drift, pseudo_loss = _number(window.drift), _number(window.pseudo_loss)
        (occurrences,) = map(int, self.system.group.total(window.occurrences))
        self.last_drift = self.last_drift if drift is None else drift
        self._emit(
            ev.WindowClosed(
                window=self._windows,
                step=self.totals.steps,
                steps=window.steps,
                unique_items=window.unique_items,
                occurrences=occurrences,
                drift=drift,
                pseudo_loss=pseudo_loss,
                encoder_s=encode_s - since_s,
                reuse_ratio=occurrences / window.unique_items if window.unique_items else None,
                spread_drift=None if window.spread_drift is None else _number(window.spread_drift),
                untouched_items=window.untouched_items,
            )
        )
        return drift is not None and pseudo_loss is not None

    def begin_after(self, seconds: float) -> None:
        """Start the clock at what frozen states have cost: no epoch's, window's or rank's seconds have it."""
        self.system.clock.resume_from(seconds, seconds)
        self._window_encode_s = self._ranks_train_s[0] = seconds
        self.begin_epoch()

    def begin_epoch(self) -> None:
        """Record the counters at the start of an epoch."""
        totals, encoded, _ = self._sums()
        began_s = self.system.clock.read()[0]
        self._start = _Start(began_s, totals, encoded.items, encoded.tokens)

    def report_epoch(self, epoch: int) -> None:
        """Emit a finished epoch."""
        before, (totals, encoded, _) = self._start, self._sums()
        self._emit(
            ev.EpochFinished(
                epoch=epoch,
                steps=totals.steps - before.totals.steps,
                train_s=self.system.clock.read()[0] - before.train_s,
                samples=totals.samples - before.totals.samples,
                occurrences=totals.occurrences - before.totals.occurrences,
                unique_items=totals.unique_items - before.totals.unique_items,
                items_encoded=encoded.items - before.items,
                tokens_encoded=encoded.tokens - before.tokens,
            )
        )

    def _sums(self) -> _Sums:
        """The counters of all ranks; those of steps and samples are the same on each."""
        own, encoded = self.totals, self.system.encode.counts
        items = own.occurrences, own.unique_items, own.batch_items
        numbers = (*items, *dataclasses.astuple(encoded), float(self._loss))
        occurrences, unique, of_batches, *counts, loss = self.system.group.total(*numbers)
        totals = Totals(own.steps, own.samples, int(occurrences), int(unique), int(of_batches))
        return _Sums(totals, EncodingCounts(*map(int, counts)), loss)

    def state_dict(self) -> dict[str, Any]:
        """The state as JSON; call it right after a report, so that no loss is pending."""
        train_s, encode_s = self.system.clock.read()
        totals, encoded, _ = self._sums()
        return {
            "totals": dataclasses.asdict(totals),
            "start": dataclasses.asdict(self._start),
            "encoded": dataclasses.asdict(encoded),
            "train_s": train_s,
            "encode_s": encode_s,
            "windows": self._windows,
            "window_encode_s": self._window_encode_s,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resume counting from a state; what all ranks had counted is the leader's from now on."""
        self.totals, encoded = Totals(**state["totals"]), EncodingCounts(**state["encoded"])
        if not self.system.group.leads:
            self.totals, encoded = Totals(self.totals.steps, self.totals.samples), EncodingCounts()
        self._start = _Start(**{**state["start"], "totals": Totals(**state["start"]["totals"])})
        self.system.encode.counts, self._items_before = encoded, encoded.items
        self._ranks_train_s[0] = state["train_s"]
        self.system.clock.resume_from(state["train_s"], state["encode_s"])
        self.system.guard.good_steps.fill_(self.totals.steps)
        self._windows, self._window_encode_s = state["windows"], state["window_encode_s"]


def _reuse(batch: Batch) -> tuple[int, int, int]:
    """Item appearances in a rank's part of a batch, distinct items among them, and those of the whole."""
    place = batch.at
    own_N, all_N = (place.block.occurrences_of(rows).host_items_N for rows in (place.rows, place.whole()))
    return len(own_N), len(np.unique(own_N)), len(np.unique(all_N))


def _number(value: Tensor) -> float | None:
    number = float(value)
    return number if math.isfinite(number) else None
