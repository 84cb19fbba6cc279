"""The training loop of all strategies: steps, evaluation, early stopping, checkpoints."""

import dataclasses
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NoReturn, Protocol

from grambench.events import types as ev
from grambench.events.control import Ending
from grambench.metrics.catalogue import SELECTS, metric
from grambench.metrics.ranking import NotFiniteError
from grambench.training.phases import System
from grambench.training.protocols import Batch, ReadsCached, StepResult, Strategy
from grambench.training.strategies.staleness import measured
from grambench.training.tally import Tally
from grambench.training.validations import Validations


class LeftError(Exception):
    """An evaluation was aborted because the trial has to end."""


class _EndedError(Exception):
    """The trial ends before its last step."""

    def __init__(self, outcome: ev.Outcome, reason: str) -> None:
        super().__init__(reason)
        self.outcome, self.reason = outcome, reason


MEETING_STEPS = 8
"""Steps after which several ranks agree on what depends on a clock, a signal or a disk."""


class Turn(Protocol):
    """The runner's permission for this worker to train."""

    def must_wait(self) -> bool:
        """Whether training has to pause before the next step."""

    def wait(self) -> None:
        """Block until training may resume or the trial has to end."""

    def begin(self) -> float:
        """Start training; returns the seconds since the turn was granted."""

    def extend(self, seconds: float) -> None:
        """Extend the turn by seconds that were not spent training."""

    def give_back(self, train_s: float) -> ev.TurnEnded:
        """End the turn after `train_s` seconds of training."""

    def ending(self) -> Ending | None:
        """How the trial has to end now; None if it may continue."""

    def agree(self, *own: bool) -> tuple[bool, ...]:
        """Whether each of these holds on any rank; what the runner wants is then known to all ranks, too.

        On one rank: the arguments.
        """
        return own


class Batches(Protocol):
    """The trial's batches."""

    steps_per_epoch: int
    total_steps: int

    def batch(self, step: int) -> Batch:
        """The batch of a CF step (0-based)."""


@dataclass(frozen=True, slots=True)
class Effects:
    """The loop's side effects, as callbacks."""

    emit: Callable[[ev.Event], None]
    evaluate: Callable[[Literal["validation", "test"]], ev.Evaluated]
    """Score a part with the current weights, the same on every rank; the loop fills in step and time.

    Raises `LeftError`.
    """
    save_best: Callable[[int, int], bool]
    """Save the weights (epoch, step); False if the trial has to end before the disk accepts them."""
    turn: Turn
    memory: Callable[[], tuple[int | None, int | None, int | None]]
    """The device's current, peak allocated and peak reserved bytes, from torch."""
    save_state: Callable[[dict[str, Any]], bool] = lambda _: False
    """Write a checkpoint with this state of the loop; False if that is impossible."""


class Trainer:
    """Runs one trial to its end."""

    def __init__(
        self,
        system: System,
        strategy: Strategy,
        batches: Batches,
        effects: Effects,
        patience: int,
        checkpoint_s: float = float("inf"),
        every: str = "1e",
        select_by: str = SELECTS,
    ) -> None:
        """
        Args:
            system: the modules, their optimisers and the clock.
            strategy: performs the steps.
            batches: the training batches.
            effects: the loop's side effects.
            patience: epochs without a better validation score after which training ends.
            checkpoint_s: seconds between checkpoints.
            every: `evaluation.every`, how often the validation part is scored.
            select_by: the metric that selects the best weights.
        """
        self.system, self.strategy, self.batches = system, strategy, batches
        self.effects = effects
        self.validations = Validations(every, batches.steps_per_epoch, patience, strategy.window_steps > 1)
        self.tally = Tally(system, effects.emit, effects.memory)
        self.metric = metric(select_by)
        self.best: ev.Evaluated | None = None
        self._owes_validation = False
        self._checkpoint_ns = checkpoint_s * 1e9
        self._saved_ns = time.monotonic_ns()
        self._turn_began_s = 0.0
        self._rested_s = 0.0
        self._switch_s = 0.0
        self._made_up_s = 0.0
        """Seconds of stops by which turns were extended."""

    def run(self) -> tuple[ev.Outcome, str]:
        """Train until the last step, early stopping, divergence or a request to end; outcome and reason."""
        try:
            self._make_up_for_the_worker_before()
            self._begin_training()
            for step in range(self.tally.totals.steps, self.batches.total_steps):
                batch = self._batch(step)
                self._wait_for_turn(batch)
                result = self.strategy.step(batch)
                self.tally.count(result, batch)
                ends = batch.ends_epoch or batch.ends_training
                due = self.validations.falls_due(step + 1, result.window is not None, ends)
                report, save = self._agree(step, due or result.window is not None)
                self._look(batch, result, due, report)
                if due:
                    self._pause_to_validate(batch)
                if save and not batch.ends_training:
                    self._checkpoint(batch)
        except _EndedError as end:
            return end.outcome, end.reason
        finally:
            self.system.clock.stop()
        return "completed", ""

    def _batch(self, step: int) -> Batch:
        """This rank's part of a batch."""
        return self.system.group.part(self.batches.batch(step))

    def _agree(self, step: int, pauses: bool) -> tuple[bool, bool]:
        """Whether a report and a checkpoint are due by the clock; several ranks ask only now and then."""
        if self.system.group.size > 1 and not pauses and (step + 1) % MEETING_STEPS:
            return False, False
        is_old = time.monotonic_ns() - self._saved_ns >= self._checkpoint_ns
        report, save = self.effects.turn.agree(self.tally.is_due(), is_old)
        return report, save

    def _make_up_for_the_worker_before(self) -> None:
        """Do what an interrupted worker still had to do before the next step."""
        if self._owes_validation:
            self._validate(self._batch_before())
        self._stop_early_without_patience()

    def _begin_training(self) -> None:
        self.effects.emit(ev.PhaseEntered("train"))
        self.effects.turn.begin()
        self.system.clock.start()
        self._turn_began_s = self.system.clock.read()[0]

    # --- turns ---------------------------------------------------------------------------------

    def _wait_for_turn(self, batch: Batch) -> None:
        """Wait while another trial has the turn; ends the trial if requested."""
        turn = self.effects.turn
        if turn.must_wait() and not turn.ending():
            self._make_up_for_stops()
        if turn.must_wait() and not turn.ending():
            self.system.clock.stop()
            self.tally.report_news(batch)
            train_s = self.system.clock.read()[0] - self._turn_began_s
            self.effects.emit(dataclasses.replace(turn.give_back(train_s), switch_s=self._switch_s))
            turn.wait()
            if ending := turn.ending():
                self._leave(ending)
            self.strategy.warm_up(batch)  # refilling the caches is not part of the step
            self._switch_s = turn.begin()
            self.system.clock.start()
            self._turn_began_s = self.system.clock.read()[0]
        if ending := turn.ending():
            self._leave(ending)

    def _make_up_for_stops(self) -> None:
        """Extend the turn by the time for which the process was stopped."""
        stopped_s = self.system.clock.stopped_s()
        if stopped_s > self._made_up_s:
            self.effects.turn.extend(stopped_s - self._made_up_s)
            self._made_up_s = stopped_s

    def _rest(self) -> None:
        """Pause the clock within the turn."""
        self.system.clock.stop()
        self._rested_s = time.monotonic()

    def _resume(self) -> None:
        """Resume the clock, and extend the turn by the pause."""
        self.effects.turn.extend(time.monotonic() - self._rested_s)
        self.system.clock.start()

    def _leave(self, ending: Ending) -> NoReturn:
        """End the trial with a checkpoint to resume from, unless it is skipped."""
        self.system.clock.stop()
        reason = f"{ending} after {self.tally.totals.steps} steps"
        if ending == "skipped" or self.tally.totals.steps == 0:
            raise _EndedError(ending, reason)
        kept = self._checkpoint(self._batch_before())
        raise _EndedError(ending, reason if kept else f"{reason}, without a new checkpoint")

    def _batch_before(self) -> Batch:
        return self._batch(self.tally.totals.steps - 1)

    # --- reports and validations ---------------------------------------------------------------

    def _look(self, batch: Batch, result: StepResult, validates: bool, report: bool) -> None:
        """Report if due, and always before a validation; ends the trial at a non-finite number."""
        guard, step = self.system.guard, self.tally.totals.steps
        due = validates or result.window is not None or report
        if due:
            self.tally.report(batch)
        sound = result.window is None or self.tally.report_window(result.window)
        if (due or guard.at_once) and (bad := guard.bad_step()) is not None:
            self._diverge(bad, f"the loss, or its gradient, was not finite at step {bad}")
        if not sound:
            self._diverge(step, f"the drift or the pseudo-loss was not finite at step {step}")

    def _diverge(self, step: int, reason: str) -> NoReturn:
        self.system.clock.stop()
        loss, loss_step = self.tally.last_loss or (None, None)
        self.effects.emit(ev.Diverged(step, loss, loss_step, self.tally.last_drift))
        raise _EndedError("diverged", reason)

    def _pause_to_validate(self, batch: Batch) -> None:
        self._rest()
        self._report_staleness()
        if batch.ends_epoch:
            self.tally.report_epoch(batch.epoch + 1)
        if batch.ends_epoch or batch.ends_training:
            self.tally.begin_epoch()
        self._owes_validation = True
        self._validate(batch)
        if not batch.ends_training:
            self.effects.emit(ev.PhaseEntered("train"))
            self._resume()

    def _report_staleness(self) -> None:
        """Emit how old the vectors are that the last step read, where they were not encoded for it."""
        if self.system.group.size > 1 or not isinstance(self.strategy, ReadsCached):
            return
        cached, train_s = self.strategy.cached(), self.system.clock.read()[0]
        if cached is not None:
            self.effects.emit(measured(self.system, cached, self.tally.totals.steps, train_s))

    def _validate(self, batch: Batch) -> None:
        """Evaluate, and save the weights if they are the best so far; may end the trial."""
        self.effects.emit(ev.PhaseEntered("evaluate"))
        scored = self._score_validation()
        score = scored.metrics.get(self.metric.name)
        if score is None:
            raise _EndedError("failed", self._no_score())
        better = self.metric.is_better(score, self.best.metrics[self.metric.name] if self.best else None)
        evaluated = dataclasses.replace(
            scored,
            epoch=batch.epoch + 1,
            step=self.tally.totals.steps,
            train_s=self.system.clock.read()[0],
            best=better,
        )
        self.effects.emit(evaluated)
        if better:
            self.effects.emit(ev.PhaseEntered("save"))
            if not self.effects.save_best(batch.epoch + 1, self.tally.totals.steps):
                self._leave(self.effects.turn.ending() or "interrupted")
            self.best = evaluated
        self._owes_validation = False
        self.validations.scored(better, batch.ends_epoch or batch.ends_training)
        self._stop_early_without_patience()

    def _score_validation(self) -> ev.Evaluated:
        """The validation part's scores; its encodings do not count as the trial's."""
        trained = dataclasses.replace(self.system.encode.counts)
        try:
            scored = self.effects.evaluate("validation")
        except NotFiniteError:  # the epoch's last update broke the weights after a finite loss
            step = self.tally.totals.steps
            self._diverge(step, f"the validation scores were not finite at step {step}")
        except LeftError:
            self.system.encode.counts = trained
            self._leave(self.effects.turn.ending() or "interrupted")
        self.system.encode.counts = trained
        return scored

    def _no_score(self) -> str:
        if self.metric.name == SELECTS:
            return "no validation impression has both a clicked and an unclicked candidate"
        return f"the validation part has no {self.metric.title}, but evaluation.select_by requires it"

    def _stop_early_without_patience(self) -> None:
        if self.validations.has_no_patience:
            patience = self.validations.patience
            raise _EndedError(
                "early-stopped", f"no better validation {self.metric.title} for {patience} epochs"
            )

    # --- checkpoints ---------------------------------------------------------------------------

    def _checkpoint(self, batch: Batch) -> bool:
        """Write everything the next step depends on; the time does not count as training."""
        was_running = self.system.clock.running
        self._rest()
        self.tally.report(batch)
        kept = self.effects.save_state(self.state_dict())
        self._saved_ns = time.monotonic_ns()
        if was_running:
            self._resume()
        return kept

    def state_dict(self) -> dict[str, Any]:
        """The loop's own state, as JSON."""
        return {
            "tally": self.tally.state_dict(),
            "best": dataclasses.asdict(self.best) if self.best else None,
            **self.validations.state_dict(),
            "owes_validation": self._owes_validation,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the state; weights, optimisers and strategy are restored by the caller."""
        self.tally.load_state_dict(state["tally"])
        self.best = ev.Evaluated.from_fields(state["best"]) if state["best"] else None
        self._owes_validation = state["owes_validation"]
        self.validations.load_state_dict(state)
