"""The loop, with a strategy, a turn and a clock that the test holds in its hands."""

import dataclasses
import json
import math
import time
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any, TypeVar

import numpy as np
import pytest
import torch

from grambench.events import types as ev
from grambench.events.control import Ending
from grambench.metrics import catalogue
from grambench.metrics.ranking import NotFiniteError
from grambench.models.encoders.buckets import EncodingCounts
from grambench.training.group import Group
from grambench.training.guard import NonFiniteGuard
from grambench.training.loop import Effects, LeftError, Trainer
from grambench.training.protocols import Cached, ClosedWindow, StepResult

E = TypeVar("E", bound=ev.Event)

USERS, OCCURRENCES, UNIQUE = 4, 9, 7


class Batches:
    """Three steps an epoch."""

    steps_per_epoch = 3

    def __init__(self, total_steps: int) -> None:
        self.total_steps = total_steps

    def batch(self, step: int) -> SimpleNamespace:
        return SimpleNamespace(
            epoch=step // 3,
            step=step,
            ends_epoch=step % 3 == 2,
            ends_training=step + 1 == self.total_steps,
            progress=None,
            users=USERS,
        )


class Clock:
    """A second passes with every step and every wait; only a running clock counts it."""

    def __init__(self) -> None:
        self.seconds, self.running = 0.0, False
        self.left_out_s = self.encode_before_s = 0.0

    def stopped_s(self) -> float:
        return self.left_out_s

    def start(self) -> None:
        assert not self.running
        self.running = True

    def stop(self) -> None:
        self.running = False

    def resume_from(self, total_s: float, encode_s: float) -> None:
        self.seconds, self.encode_before_s = total_s, encode_s - total_s / 2

    def read(self) -> tuple[float, float]:
        return self.seconds, self.encode_before_s + self.seconds / 2

    def pass_second(self) -> None:
        self.seconds += self.running


class Turn:
    """Withholds the turn before some steps, or stops."""

    def __init__(
        self, world: "World", waits: Sequence[int] = (), stop_at: int | None = None, how: Ending = "stopped"
    ) -> None:
        self.world, self.waits, self.stop_at, self.waited = world, list(waits), stop_at, 0
        self.how = how
        self.rests: list[float] = []

    def must_wait(self) -> bool:
        return self.world.steps in self.waits

    def wait(self) -> None:
        self.waits.remove(self.world.steps)
        self.waited += 1
        for _ in range(100):
            self.world.clock.pass_second()

    def begin(self) -> float:
        return 0.25

    def extend(self, seconds: float) -> None:
        self.rests.append(seconds)

    def give_back(self, train_s: float) -> ev.TurnEnded:
        return ev.TurnEnded(self.waited, train_s, 0.0)

    def ending(self) -> Ending | None:
        steps = self.world.steps
        return self.how if steps == self.stop_at and steps not in self.waits else None

    def agree(self, *own: bool) -> tuple[bool, ...]:
        return own


@dataclasses.dataclass
class World:
    """All that surrounds a trainer."""

    aucs: Sequence[float | Exception | None] = (0.5,) * 99
    losses: Sequence[float] = (2.0,) * 99
    windows: dict[int, ClosedWindow] = dataclasses.field(default_factory=dict)
    events: list[ev.Event] = dataclasses.field(default_factory=list)
    saved: list[tuple[int, int]] = dataclasses.field(default_factory=list)
    clock: Clock = dataclasses.field(default_factory=Clock)
    window_steps: int = 1
    steps: int = 0
    evaluations: int = 0
    evaluation_s: float = 0.0
    warmed_up: list[int] = dataclasses.field(default_factory=list)
    states: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    disk_is_full: bool = False
    no_room_for_best: bool = False
    metric: str = "auc"
    guard: NonFiniteGuard = dataclasses.field(default_factory=lambda: NonFiniteGuard(torch.device("cpu")))

    def save_best(self, epoch: int, step: int) -> bool:
        if self.no_room_for_best:
            return False
        self.saved.append((epoch, step))
        return True

    def save_state(self, state: dict[str, Any]) -> bool:
        assert not self.clock.running
        self.states.append(json.loads(json.dumps(state)))
        return not self.disk_is_full

    def warm_up(self, batch: SimpleNamespace) -> None:
        assert not self.clock.running
        self.warmed_up.append(batch.step)

    def step(self, _batch: object) -> StepResult:
        assert self.clock.running
        self.clock.pass_second()
        loss, window = self.losses[self.steps], self.windows.get(self.steps)
        self.guard.see(torch.tensor(loss))
        self.steps += 1
        self.encode.counts.items += 10
        self.encode.counts.tokens += 50
        return StepResult(torch.tensor(loss * USERS), USERS, OCCURRENCES, UNIQUE, window)

    def evaluate(self, part: str) -> ev.Evaluated:
        assert part == "validation"
        assert not self.clock.running
        auc = self.aucs[self.evaluations]
        self.evaluations += 1
        time.sleep(self.evaluation_s)
        self.encode.counts.items += 10**6
        if isinstance(auc, Exception):
            raise auc
        return ev.Evaluated("validation", 0, 0, 0.0, {self.metric: auc}, 5, 1, False, 0.1, False)

    def run(
        self,
        total_steps: int = 12,
        patience: int = 10,
        turn: Callable[["World"], Turn] = Turn,
        checkpoint_s: float = 1e9,
        state: dict[str, Any] | None = None,
        every: str = "1e",
        select_by: str = "auc",
        after_s: float = 0.0,
    ) -> tuple[ev.Outcome, str]:
        self.encode = SimpleNamespace(counts=EncodingCounts())
        optimizer = SimpleNamespace(rate=lambda _: 0.5, clipped=lambda: (None, None))
        system = SimpleNamespace(
            encode=self.encode,
            encoder_optimizer=optimizer,
            filter_optimizer=optimizer,
            clock=self.clock,
            guard=self.guard,
            group=Group(),
        )
        self.turn = turn(self)
        effects = Effects(
            self.events.append,
            self.evaluate,
            self.save_best,
            self.turn,
            lambda: (1, 2, 3),
            self.save_state,
        )
        batches = Batches(total_steps)
        self.trainer = Trainer(system, self, batches, effects, patience, checkpoint_s, every, select_by)
        self.trainer.tally.begin_after(after_s)
        if state is not None:
            self.trainer.load_state_dict(state)
        outcome = self.trainer.run()
        assert not self.clock.running
        return outcome

    def all(self, kind: type[E]) -> list[E]:
        return [event for event in self.events if isinstance(event, kind)]


def window(drift: float = 0.3, pseudo_loss: float = 1.5) -> ClosedWindow:
    return ClosedWindow(3, 20, 60, torch.tensor(drift), torch.tensor(pseudo_loss))


def test_trains_every_step_and_evaluates_every_epoch() -> None:
    world = World(aucs=[0.5, 0.6, 0.7, 0.8])
    assert world.run(12) == ("completed", "")
    assert world.steps == 12
    assert [(e.epoch, e.step) for e in world.all(ev.Evaluated)] == [(1, 3), (2, 6), (3, 9), (4, 12)]
    assert [e.train_s for e in world.all(ev.Evaluated)] == [3.0, 6.0, 9.0, 12.0]


def test_the_age_of_vectors_is_measured_before_each_validation_beside_the_clock() -> None:
    class Caching(World):
        def cached(self) -> Cached | None:
            assert not self.clock.running
            if self.steps < 6:
                return None
            vectors, ages = torch.tensor([[0.0, 2.0], [0.0, 0.0]]), np.array([1, 3])
            return Cached(np.array([4, 7]), vectors, ages, torch.tensor([[0.0, 1.0], [0.0, 0.0]]))

    world = Caching()
    world.run(9, every="2s")
    wanted = ev.StalenessMeasured(6, 6.0, 2, 2.0, 3.0, 3, 0.5 / 0.5)
    assert world.all(ev.StalenessMeasured)[0] == wanted
    told = [type(e) for e in world.events if isinstance(e, (ev.StalenessMeasured, ev.Evaluated))]
    pair = [ev.StalenessMeasured, ev.Evaluated]
    assert told == [ev.Evaluated] * 3 + pair * 3


def test_best_checkpoint_is_the_first_with_the_best_auc() -> None:
    world = World(aucs=[0.5, 0.7, 0.7, 0.6])
    world.run(12)
    assert world.saved == [(1, 3), (2, 6)]
    assert [e.best for e in world.all(ev.Evaluated)] == [True, True, False, False]
    assert (world.trainer.best.epoch, world.trainer.best.step, world.trainer.best.train_s) == (2, 6, 6.0)


def test_patience_counts_epochs_without_a_better_auc() -> None:
    world = World(aucs=[0.5, 0.4, 0.6, 0.6, 0.5, 0.9])
    outcome, reason = world.run(18, patience=2)
    assert (outcome, reason) == ("early-stopped", "no better validation AUC for 2 epochs")
    assert world.evaluations == 5
    assert world.steps == 15
    assert world.saved == [(1, 3), (3, 9)]


def test_another_metric_selects_and_ends() -> None:
    world = World(aucs=[0.5, 0.7, 0.6, 0.6], metric="mrr")
    assert world.run(18, patience=2, select_by="mrr") == (
        "early-stopped",
        "no better validation MRR for 2 epochs",
    )
    assert world.saved == [(1, 3), (2, 6)]
    lacking = World(metric="auc").run(select_by="csauc")
    assert lacking == ("failed", "the validation part has no CSAUC, but evaluation.select_by requires it")


def test_lower_values_select_where_they_are_better(monkeypatch: pytest.MonkeyPatch) -> None:
    error = catalogue.Metric(name="error", title="error", meaning="", domains=("news",), better=-1)
    monkeypatch.setattr(catalogue, "METRICS", (*catalogue.METRICS, error))
    world = World(aucs=[0.5, 0.7, 0.4, 0.6], metric="error")
    world.run(12, select_by="error")
    assert world.saved == [(1, 3), (3, 9)]


def test_patience_counts_epochs_however_often_one_is_validated() -> None:
    """A better AUC within an epoch makes it a good one; nothing ends before an epoch does."""
    world = World(aucs=[0.5, 0.4, 0.3, 0.3, 0.6, 0.2, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1])
    outcome, reason = world.run(18, patience=2, every="1s")
    assert (outcome, reason) == ("early-stopped", "no better validation AUC for 2 epochs")
    assert world.steps == world.evaluations == 12
    assert world.saved == [(1, 1), (2, 5)]


def test_validates_within_an_epoch_outside_the_clock() -> None:
    world = World(aucs=[0.5, 0.6, 0.4, 0.7, 0.2])
    assert world.run(7, every="2s") == ("completed", "")
    evaluated = world.all(ev.Evaluated)
    assert [(e.epoch, e.step) for e in evaluated] == [(1, 2), (1, 3), (2, 5), (2, 6), (3, 7)]
    assert [e.train_s for e in evaluated] == [2.0, 3.0, 5.0, 6.0, 7.0]
    assert world.saved == [(1, 2), (1, 3), (2, 6)]
    assert [e.epoch for e in world.all(ev.EpochFinished)] == [1, 2]
    steps = [event.step for event in world.events if isinstance(event, (ev.Progress, ev.Evaluated))]
    assert steps == [1, 2, 2, 3, 3, 5, 5, 6, 6, 7, 7]  # the counters are told before each of them
    assert len(world.turn.rests) == 4


def test_a_validation_waits_for_the_windows_end() -> None:
    world = World(windows={3: window(), 7: window()}, window_steps=4)
    world.run(9, every="1s")
    assert [e.step for e in world.all(ev.Evaluated)] == [3, 4, 6, 8, 9]  # epochs of 3 steps


@pytest.mark.parametrize("steps", range(1, 12))
def test_a_trial_with_validations_within_epochs_goes_on_as_if_never_left(steps: int) -> None:
    def world() -> World:
        aucs = [0.5, 0.7, 0.6, 0.65, 0.71, 0.4, 0.3, 0.3]
        return World(aucs=aucs, windows={1: window(), 7: window(0.2)}, window_steps=6)

    whole = world()
    whole.run(12, every="1s", patience=2)
    first = world()
    first.run(12, every="1s", patience=2, turn=lambda w: Turn(w, stop_at=steps, how="interrupted"))
    second = world()
    second.steps, second.evaluations = first.steps, first.evaluations
    second.run(12, every="1s", patience=2, state=first.states[-1])
    assert [e.step for e in whole.all(ev.Evaluated)] == [2, 3, 6, 8, 9, 12]
    for kind in (ev.EpochFinished, ev.Evaluated):
        assert first.all(kind) + second.all(kind) == whole.all(kind)
    assert first.saved + second.saved == whole.saved
    assert second.trainer.state_dict()["stale"] == whole.trainer.state_dict()["stale"] == 1


def test_a_validation_within_an_epoch_that_is_given_up_is_made_good_later() -> None:
    world = World(aucs=[0.5, LeftError()])
    assert world.run(6, every="1s")[0] == "interrupted"
    (state,) = world.states
    later = World(aucs=[0.7, 0.6, 0.6, 0.6, 0.6])
    later.steps = 2
    later.run(6, state=state, every="1s", patience=1)
    assert [(e.epoch, e.step) for e in later.all(ev.Evaluated)] == [(1, 2), (1, 3), (2, 4), (2, 5), (2, 6)]
    assert later.saved == [(1, 2)]


def test_numbers_of_version_0_1_are_taken_up() -> None:
    world = World(aucs=[0.5, 0.4])
    world.run(6)
    state = {k: v for k, v in world.trainer.state_dict().items() if k not in ("improved", "waits")}
    assert state.keys() == {"tally", "best", "stale", "owes_validation"}
    later = World(aucs=[0.3])
    later.steps = 6
    assert later.run(12, state=state, patience=2)[0] == "early-stopped"
    assert later.evaluations == 1


def test_training_that_ends_within_an_epoch_is_evaluated_there() -> None:
    world = World(aucs=[0.5, 0.6])
    assert world.run(5) == ("completed", "")
    assert [(e.epoch, e.step) for e in world.all(ev.Evaluated)] == [(1, 3), (2, 5)]
    assert [e.epoch for e in world.all(ev.EpochFinished)] == [1]


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_loss_that_is_not_finite_ends_as_diverged(bad: float) -> None:
    world = World(losses=[2.0, bad, 2.0])
    assert world.run(3) == ("diverged", "the loss, or its gradient, was not finite at step 2")
    assert world.all(ev.Diverged) == [ev.Diverged(2, 2.0, 1, None)]
    assert world.evaluations == 0


@pytest.mark.parametrize(("drift", "pseudo_loss"), [(math.nan, 1.0), (math.inf, 1.0), (0.1, math.nan)])
def test_window_that_is_not_finite_ends_as_diverged(drift: float, pseudo_loss: float) -> None:
    world = World(windows={1: window(drift, pseudo_loss)})
    assert world.run(12) == ("diverged", "the drift or the pseudo-loss was not finite at step 2")
    (closed,) = world.all(ev.WindowClosed)
    assert (closed.drift is None) != math.isfinite(drift)
    assert world.steps == 2


def test_scores_that_are_not_finite_end_as_diverged() -> None:
    """The last update of an epoch can break the weights after a finite loss."""
    world = World(aucs=[0.5, NotFiniteError("a score is not finite")])
    assert world.run(12) == ("diverged", "the validation scores were not finite at step 6")
    assert world.saved == [(1, 3)]


def test_validation_without_an_auc_fails() -> None:
    outcome, reason = World(aucs=[None]).run(3)
    assert outcome == "failed"
    assert "both a clicked and an unclicked" in reason


def test_stop_request_ends_as_stopped_before_the_next_step() -> None:
    world = World()
    assert world.run(turn=lambda w: Turn(w, stop_at=4)) == ("stopped", "stopped after 4 steps")
    assert world.steps == 4


def test_stop_during_a_pause_ends_as_stopped() -> None:
    world = World()
    outcome, _ = world.run(turn=lambda w: Turn(w, waits=[4], stop_at=4))
    assert outcome == "stopped"
    assert world.turn.waited == 1
    assert world.clock.seconds == 4.0


def test_pause_does_not_count() -> None:
    world = World()
    world.run(6, turn=lambda w: Turn(w, waits=[0, 4]))
    assert world.turn.waited == 2
    assert world.steps == 6
    assert world.clock.seconds == 6.0
    assert [e.train_s for e in world.all(ev.EpochFinished)] == [3.0, 3.0]


def test_counters_are_those_of_the_steps() -> None:
    world = World()
    world.run(6)
    last = world.all(ev.Progress)[-1]
    assert (last.epoch, last.step, last.samples) == (2, 6, 6 * USERS)
    assert (last.occurrences, last.unique_items) == (6 * OCCURRENCES, 6 * UNIQUE)
    assert (last.items_encoded, last.tokens_encoded) == (60, 300)  # without the evaluation's
    assert (last.train_s, last.encode_s) == (6.0, 3.0)
    assert (last.memory_allocated_bytes, last.peak_allocated_bytes, last.peak_reserved_bytes) == (1, 2, 3)
    for epoch in world.all(ev.EpochFinished):
        assert (epoch.steps, epoch.samples, epoch.items_encoded, epoch.tokens_encoded) == (3, 12, 30, 150)


def test_progress_tells_the_mean_loss_of_a_user_since_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("grambench.training.tally.REPORT_S", 1e9)
    world = World(losses=[1.0, 2.0, 6.0, 4.0, 5.0, 9.0])
    world.run(6)
    assert [(e.step, e.loss) for e in world.all(ev.Progress)] == [(3, 3.0), (6, 6.0)]


def test_progress_comes_at_every_step_that_is_due(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("grambench.training.tally.REPORT_S", 0.0)
    world = World(losses=[1.0, 2.0, 6.0])
    world.run(3)
    assert [e.loss for e in world.all(ev.Progress)] == [1.0, 2.0, 6.0]


def test_windows_are_reported_with_their_own_encoder_seconds() -> None:
    measured = dataclasses.replace(window(), spread_drift=torch.tensor(0.6), untouched_items=7)
    world = World(windows={2: measured, 5: window(0.2)})
    world.run(6)
    first, second = world.all(ev.WindowClosed)
    assert (first.spread_drift, first.untouched_items) == (pytest.approx(0.6), 7)
    assert (second.spread_drift, second.untouched_items) == (None, 0)  # a strategy that does not measure it
    assert (first.window, first.step, first.steps, first.unique_items, first.occurrences) == (1, 3, 3, 20, 60)
    assert (first.encoder_s, second.encoder_s) == (1.5, 1.5)
    assert second.drift == pytest.approx(0.2)


def test_what_frozen_states_have_cost_is_on_the_clock_alone() -> None:
    world = World(windows={2: window()})
    world.run(3, after_s=40.0)
    assert [event.train_s for event in world.all(ev.EpochFinished)] == [3.0]
    assert [event.encoder_s for event in world.all(ev.WindowClosed)] == [1.5]
    last = world.all(ev.Progress)[-1]
    assert (last.train_s, last.encode_s) == (43.0, 41.5)
    assert [event.train_s for event in world.all(ev.Evaluated)] == [43.0]
    resumed = World()
    resumed.run(6, state=json.loads(json.dumps(world.trainer.state_dict())), after_s=99.0)  # charged once
    assert [event.train_s for event in resumed.all(ev.EpochFinished)] == [3.0]
    assert resumed.all(ev.Progress)[-1].train_s == 46.0


def test_phases_follow_each_other() -> None:
    world = World(aucs=[0.5, 0.4])
    world.run(6)
    phases = [event.phase for event in world.all(ev.PhaseEntered)]
    assert phases[:5] == ["train", "evaluate", "save", "train", "evaluate"]


def test_a_turn_is_longer_by_what_was_no_training() -> None:
    world = World(evaluation_s=0.02)
    world.run(9)
    first, second = world.turn.rests  # the third epoch ends the trial
    assert 0.02 <= first < 5
    assert 0.02 <= second < 5


def test_a_turn_is_longer_by_a_checkpoint() -> None:
    world = World()
    world.run(3, checkpoint_s=0.0)
    assert len(world.turn.rests) == len(world.states) == 2


def test_a_turn_is_longer_by_the_stops_in_it() -> None:
    world = World()

    class LateTurn(Turn):
        """Its time is over once, before step 2, because the process was stopped for 4 s."""

        def must_wait(self) -> bool:
            over = self.world.steps == 2 and not self.rests
            self.world.clock.left_out_s = 4.0 if over else self.world.clock.left_out_s
            return over

    world.run(3, turn=LateTurn)
    assert world.turn.waited == 0
    assert world.turn.rests[0] == 4.0


def test_a_turn_that_comes_again_is_warmed_up_outside_the_clock() -> None:
    world = World()
    world.run(6, turn=lambda w: Turn(w, waits=[2, 5]))
    assert world.warmed_up == [2, 5]
    ended = world.all(ev.TurnEnded)
    assert [(e.train_s, e.switch_s) for e in ended] == [(2.0, 0.0), (3.0, 0.25)]


def test_the_newest_counters_are_told_before_a_turn_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without steps since the last report, as after a validation, there is nothing to tell."""
    monkeypatch.setattr("grambench.training.tally.REPORT_S", 1e9)
    world = World(losses=[1.0, 2.0, 6.0, 4.0, 5.0, 9.0])
    world.run(6, turn=lambda w: Turn(w, waits=[0, 2, 3]))
    told = [event for event in world.events if isinstance(event, (ev.Progress, ev.TurnEnded))]
    steps = [event.step if isinstance(event, ev.Progress) else "turn" for event in told]
    assert steps == ["turn", 2, "turn", 3, "turn", 6]
    assert [(e.epoch, e.train_s, e.samples, e.loss) for e in world.all(ev.Progress)] == [
        (1, 2.0, 2 * USERS, 1.5),
        (1, 3.0, 3 * USERS, 6.0),
        (2, 6.0, 6 * USERS, 6.0),
    ]


@pytest.mark.parametrize("how", ["interrupted", "stopped"])
def test_an_ending_leaves_a_checkpoint_of_the_step_before(how: Ending) -> None:
    world = World()
    assert world.run(turn=lambda w: Turn(w, stop_at=4, how=how)) == (how, f"{how} after 4 steps")
    (state,) = world.states
    assert state["tally"]["totals"]["steps"] == 4
    assert world.all(ev.Progress)[-1].step == 4


def test_a_skipped_trial_leaves_none() -> None:
    world = World()
    assert world.run(turn=lambda w: Turn(w, stop_at=4, how="skipped"))[0] == "skipped"
    assert world.states == []


def test_an_ending_on_a_full_disk_says_so() -> None:
    world = World(disk_is_full=True)
    outcome = world.run(turn=lambda w: Turn(w, stop_at=4, how="interrupted"))
    assert outcome == ("interrupted", "interrupted after 4 steps, without a new checkpoint")


def test_checkpoints_come_with_time_and_never_behind_the_last_step() -> None:
    world = World()
    world.run(4, checkpoint_s=1e-9)
    assert [state["tally"]["totals"]["steps"] for state in world.states] == [1, 2, 3]
    assert world.states[2]["best"]["step"] == 3
    assert world.clock.seconds == 4.0


@pytest.mark.parametrize("steps", range(1, 12))
def test_a_trial_that_goes_on_ends_like_one_that_was_never_left(steps: int) -> None:
    def world() -> World:
        return World(aucs=[0.5, 0.7, 0.6, 0.65], windows={2: window(), 7: window(0.2)})

    whole = world()
    whole.run(12)
    first = world()
    first.run(12, turn=lambda w: Turn(w, stop_at=steps, how="interrupted"))
    second = world()
    second.steps, second.evaluations = first.steps, first.evaluations
    assert second.run(12, state=first.states[-1]) == ("completed", "")
    assert second.steps == 12
    for kind in (ev.EpochFinished, ev.Evaluated, ev.WindowClosed):
        assert first.all(kind) + second.all(kind) == whole.all(kind)
    last, wanted = second.all(ev.Progress)[-1], whole.all(ev.Progress)[-1]
    assert dataclasses.replace(last, loss=None) == dataclasses.replace(wanted, loss=None)
    assert first.saved + second.saved == whole.saved


def test_an_evaluation_that_is_given_up_is_made_good_later() -> None:
    world = World(aucs=[0.5, LeftError(), 0.7])
    assert world.run(12)[0] == "interrupted"
    (state,) = world.states
    assert state["owes_validation"]
    later = World(aucs=[0.7, 0.6, 0.6])
    later.steps = 6
    later.run(12, state=state)
    assert [(e.step, e.metrics["auc"]) for e in later.all(ev.Evaluated)] == [(6, 0.7), (9, 0.6), (12, 0.6)]
    assert later.saved == [(2, 6)]


def test_a_trial_that_had_lost_its_patience_trains_no_further() -> None:
    world = World(aucs=[0.5, 0.4, 0.3])
    world.run(12, patience=2)
    state = world.trainer.state_dict()
    later = World()
    assert later.run(12, patience=2, state=state)[0] == "early-stopped"
    assert later.steps == 0


def test_best_weights_that_cannot_be_kept_are_validated_again_later() -> None:
    world = World(no_room_for_best=True)
    assert world.run(12)[0] == "interrupted"
    (state,) = world.states
    assert (state["owes_validation"], state["best"]) == (True, None)
    later = World(aucs=[0.5, 0.6, 0.7, 0.8])
    later.steps = 3
    assert later.run(12, state=state)[0] == "completed"
    assert later.saved == [(1, 3), (2, 6), (3, 9), (4, 12)]
