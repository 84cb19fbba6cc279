"""The loop that all strategies share: steps, evaluation, early stopping, the best checkpoint."""

import dataclasses
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import Tensor

from grambench.events import types as ev
from grambench.metrics.ranking import NotFiniteError
from grambench.training.phases import Batch, ClosedWindow, StepResult, Strategy, System

REPORT_S = 0.5
"""Seconds between two progress events; each is a synchronised point."""


class Turn(Protocol):
    """The runner's word on whether this worker may train now."""

    def must_wait(self) -> bool:
        """True when training has to pause before the next step."""

    def wait(self) -> None:
        """Return when training may go on."""

    def must_stop(self) -> bool:
        """True when the user ended the trial."""


class Batches(Protocol):
    """The trial's batches."""

    steps_per_epoch: int
    total_steps: int

    def batch(self, step: int) -> Batch:
        """The batch of a CF step, from 0."""


@dataclass(frozen=True, slots=True)
class Effects:
    """What the loop may do to the world."""

    emit: Callable[[ev.Event], None]
    evaluate: Callable[[Literal["validation", "test"]], ev.Evaluated]
    """Score a part with the weights as they are; the loop fills in place and time."""
    save_best: Callable[[int, int], None]
    """Keep the weights (epoch, step)."""
    turn: Turn
    memory: Callable[[], tuple[int | None, int | None, int | None]]
    """torch's current, peak allocated and peak reserved bytes of the device."""


@dataclass(slots=True)
class Totals:
    """Counters since the start of the trial, or since a snapshot of them."""

    steps: int = 0
    samples: int = 0
    occurrences: int = 0
    unique_items: int = 0

    def add(self, result: StepResult) -> None:
        """Count one CF step."""
        self.steps += 1
        self.samples += result.users
        self.occurrences += result.occurrences
        self.unique_items += result.unique_items


class Trainer:
    """Runs one trial to its end."""

    def __init__(
        self, system: System, strategy: Strategy, batches: Batches, effects: Effects, patience: int
    ) -> None:
        self.system, self.strategy, self.batches = system, strategy, batches
        self.effects, self.patience = effects, patience
        self.totals = Totals()
        self.best: ev.Evaluated | None = None
        self._stale = 0
        self._loss = torch.zeros(())
        self._loss_users = 0
        self._reported_ns = 0
        self._windows = 0
        self._window_encode_s = 0.0

    def run(self) -> tuple[ev.Outcome, str]:
        """Train until the last step, early stopping, divergence or the user's stop."""
        self.effects.emit(ev.PhaseEntered("train"))
        self.system.clock.start()
        epoch_start = self._snapshot()
        for step in range(self.batches.total_steps):
            if self.effects.turn.must_wait():
                self._pause()
            if self.effects.turn.must_stop():
                self.system.clock.stop()
                return "stopped", f"stopped after {step} steps"
            batch = self.batches.batch(step)
            result = self.strategy.step(batch)
            self._count(result)
            last = batch.ends_epoch or batch.ends_training
            if not (last or self._due() or result.window):
                continue
            loss = self._report(batch)
            if result.window is not None:
                self._report_window(result.window)
            if loss is not None and not math.isfinite(loss):
                self.system.clock.stop()
                return "diverged", f"the loss was not finite at step {step + 1}"
            if result.window is not None and not _is_finite(result.window):
                self.system.clock.stop()
                return "diverged", f"the drift or the pseudo-loss was not finite at step {step + 1}"
            if last:
                self.system.clock.stop()
                if batch.ends_epoch:
                    self._report_epoch(batch.epoch + 1, epoch_start)
                if ended := self._validate(batch):
                    return ended
                if batch.ends_training:
                    break
                epoch_start = self._snapshot()
                self.effects.emit(ev.PhaseEntered("train"))
                self.system.clock.start()
        self.system.clock.stop()
        return "completed", ""

    def _pause(self) -> None:
        self.system.clock.stop()
        self.effects.turn.wait()
        self.system.clock.start()

    def _count(self, result: StepResult) -> None:
        self.totals.add(result)
        self._loss = self._loss.to(result.loss.device) + result.loss
        self._loss_users += result.users

    def _due(self) -> bool:
        return time.monotonic_ns() - self._reported_ns >= REPORT_S * 1e9

    def _report(self, batch: Batch) -> float | None:
        """Emit the counters; returns the mean loss of a user since the last report."""
        train_s, encode_s = self.system.clock.read()
        loss = float(self._loss) / self._loss_users if self._loss_users else None
        self._loss, self._loss_users = torch.zeros_like(self._loss), 0
        current, peak_allocated, peak_reserved = self.effects.memory()
        self.effects.emit(
            ev.Progress(
                epoch=batch.epoch + 1,
                step=self.totals.steps,
                train_s=train_s,
                encode_s=encode_s,
                samples=self.totals.samples,
                occurrences=self.totals.occurrences,
                unique_items=self.totals.unique_items,
                items_encoded=self.system.encode.counts.items,
                tokens_encoded=self.system.encode.counts.tokens,
                loss=loss,
                encoder_lr=self.system.encoder_optimizer.rate(),
                filter_lr=self.system.filter_optimizer.rate(),
                memory_allocated_bytes=current,
                peak_allocated_bytes=peak_allocated,
                peak_reserved_bytes=peak_reserved,
            )
        )
        self._reported_ns = time.monotonic_ns()
        return loss

    def _report_window(self, window: ClosedWindow) -> None:
        self._windows += 1
        encode_s = self.system.clock.read()[1]
        since_s, self._window_encode_s = self._window_encode_s, encode_s
        self.effects.emit(
            ev.WindowClosed(
                window=self._windows,
                step=self.totals.steps,
                steps=window.steps,
                unique_items=window.unique_items,
                occurrences=window.occurrences,
                drift=_number(window.drift),
                pseudo_loss=_number(window.pseudo_loss),
                encoder_s=encode_s - since_s,
                reuse_ratio=window.occurrences / window.unique_items if window.unique_items else None,
            )
        )

    def _snapshot(self) -> tuple[float, Totals, int, int]:
        counts = self.system.encode.counts
        return self.system.clock.read()[0], dataclasses.replace(self.totals), counts.items, counts.tokens

    def _report_epoch(self, epoch: int, start: tuple[float, Totals, int, int]) -> None:
        began_s, before, items, tokens = start
        self.effects.emit(
            ev.EpochFinished(
                epoch=epoch,
                steps=self.totals.steps - before.steps,
                train_s=self.system.clock.read()[0] - began_s,
                samples=self.totals.samples - before.samples,
                occurrences=self.totals.occurrences - before.occurrences,
                unique_items=self.totals.unique_items - before.unique_items,
                items_encoded=self.system.encode.counts.items - items,
                tokens_encoded=self.system.encode.counts.tokens - tokens,
            )
        )

    def _validate(self, batch: Batch) -> tuple[ev.Outcome, str] | None:
        """Evaluate, keep a better checkpoint; the outcome when training is to end here."""
        self.effects.emit(ev.PhaseEntered("evaluate"))
        trained = dataclasses.replace(self.system.encode.counts)
        try:
            scored = self.effects.evaluate("validation")
        except NotFiniteError:  # the epoch's last update broke the weights after a finite loss
            return "diverged", f"the validation scores were not finite at step {self.totals.steps}"
        self.system.encode.counts = trained  # the encodings of an evaluation are not the trial's
        auc = scored.metrics.get("auc")
        if auc is None:
            return "failed", "no validation impression has both a clicked and an unclicked candidate"
        best_auc = self.best.metrics["auc"] if self.best else None
        better = best_auc is None or auc > best_auc
        evaluated = dataclasses.replace(
            scored,
            epoch=batch.epoch + 1,
            step=self.totals.steps,
            train_s=self.system.clock.read()[0],
            best=better,
        )
        self.effects.emit(evaluated)
        if better:
            self.best, self._stale = evaluated, 0
            self.effects.emit(ev.PhaseEntered("save"))
            self.effects.save_best(batch.epoch + 1, self.totals.steps)
            return None
        self._stale += 1
        if self._stale >= self.patience:
            return "early-stopped", f"no better validation AUC for {self.patience} evaluations"
        return None


def _is_finite(window: ClosedWindow) -> bool:
    return math.isfinite(float(window.drift)) and math.isfinite(float(window.pseudo_loss))


def _number(value: Tensor) -> float | None:
    number = float(value)
    return number if math.isfinite(number) else None
