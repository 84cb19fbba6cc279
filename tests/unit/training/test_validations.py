"""When a trial is validated, for every kind of strategy, and that a resumed one is bit-equal."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import tiny_systems  # by this name only: one way of driving the systems is enough here
import torch
from tiny_systems import CPU, random_part, random_sequences, sampler_of

from grambench.config.spec import Evaluation, MultiStep, Spec
from grambench.domains.knowledge_tracing.evaluate import AnswerEvaluator
from grambench.domains.news.evaluate import RankingEvaluator
from grambench.events import types as ev
from grambench.events.control import Ending
from grambench.training.loop import Effects, Trainer
from grambench.training.strategies import make_strategy
from grambench.training.system import Modules
from grambench.training.validations import Validations
from grambench.worker import resume


def due_steps(
    every: str, steps_per_epoch: int, steps: int, closes: Callable[[int], bool] | None = None
) -> list[int]:
    """Steps of a training after which it is validated; `closes` says which close a window."""
    rule = Validations(every, steps_per_epoch, 1, has_windows=closes is not None)

    def is_due(step: int) -> bool:
        ends = step % steps_per_epoch == 0 or step == steps
        return rule.falls_due(step, closes is not None and closes(step), ends)

    return [step for step in range(1, steps + 1) if is_due(step)]


@pytest.mark.parametrize(
    ("every", "steps"),
    [
        ("1e", [10, 20, 25]),
        ("0.5e", [5, 10, 15, 20, 25]),
        (".25e", [3, 5, 8, 10, 13, 15, 18, 20, 23, 25]),
        ("0.4e", [4, 8, 10, 14, 18, 20, 24, 25]),
        ("0.3e", [3, 6, 9, 10, 13, 16, 19, 20, 23, 25]),
        ("0.01e", [*range(1, 26)]),
        ("4s", [4, 8, 10, 14, 18, 20, 24, 25]),
        ("10s", [10, 20, 25]),
        ("200s", [10, 20, 25]),
    ],
)
def test_parts_of_an_epoch_are_counted_from_its_start_and_its_end_is_one(
    every: str, steps: list[int]
) -> None:
    assert due_steps(every, 10, 25) == steps


def test_an_open_window_is_not_validated_before_it_closes() -> None:
    def closes_every(n: int) -> Callable[[int], bool]:
        return lambda step: step % n == 0

    assert due_steps("0.25e", 20, 40, closes_every(20)) == [20, 40]  # gram-1e
    assert due_steps("0.25e", 20, 40, closes_every(40)) == [20, 40]  # gram-2e, at the epoch's end open
    assert due_steps("0.25e", 20, 40, closes_every(8)) == [8, 16, 20, 32, 40]
    assert due_steps("6s", 20, 60, closes_every(30)) == [20, 30, 40, 60]  # gram-1.5e


@pytest.mark.parametrize(
    "every", ["0e", "0s", "1.5e", "2e", "e", "s", "-1s", "1", "30min", "0.5 e", "1e\n", "٣s"]
)
def test_other_periods_are_refused(every: str) -> None:
    with pytest.raises(ValueError, match=r"is neither a share of an epoch, at most 1e, such as 0.5e, nor"):
        Evaluation(every=every)
    assert Evaluation().every == "1e"


class World:
    """A real trial of a tiny system in memory: its events, its best weights and its checkpoint."""

    def __init__(self, name: str, domain: str, every: str, stop_at: int | None = None) -> None:
        batch_size = {"news": 8, "answers": 4}[domain]
        self.sampler = sampler_of(domain, batch_size=batch_size, epochs=2)
        tiny = tiny_systems.tiny_system(domain=domain, dtype=torch.float32)
        self.system, self.modules = tiny.system, Modules(tiny.encoder, tiny.filter)
        multi = Spec(multi_step=MultiStep(encoder_batch=7))
        self.strategy = make_strategy(
            name,
            tiny.system,
            self.sampler,
            spec=multi,
            micro_batch=batch_size,
            encoder_chunk=None,
            seed=5,
        )
        if domain == "news":
            self.score: Any = RankingEvaluator(random_part(7), history=5, max_impressions=None, device=CPU)
        else:
            cold = torch.zeros(0, dtype=torch.int32).numpy()
            self.score = AnswerEvaluator(random_sequences(7), cold, length=7, max_sequences=None, device=CPU)
        self.events: list[ev.Event] = []
        self.best: dict[str, torch.Tensor] = {}
        self.kept: resume.Resumed | None = None
        self.stop_at = stop_at
        effects = Effects(
            self.events.append,
            self.evaluate,
            self.save_best,
            self.turn(),
            lambda: (None,) * 3,
            self.save_state,
        )
        self.trainer = Trainer(tiny.system, self.strategy, self.sampler, effects, patience=9, every=every)

    def turn(self) -> Any:
        def ending() -> Ending | None:
            return "interrupted" if self.trainer.tally.totals.steps == self.stop_at else None

        return SimpleNamespace(
            must_wait=lambda: False,
            begin=lambda: 0.0,
            extend=lambda _: None,
            ending=ending,
            agree=lambda *own: own,
        )

    def evaluate(self, part: str) -> ev.Evaluated:
        result = self.score(self.system.encode, self.modules.filter)
        return ev.Evaluated(part, 0, 0, 0.0, result.metrics, result.impressions, 0, False, 0.0, False)

    def save_best(self, epoch: int, step: int) -> bool:
        self.best = {name: tensor.clone() for name, tensor in self.modules.state_dict().items()}
        return True

    def save_state(self, loop: dict[str, Any]) -> bool:
        tensors, numbers = resume.collect(self.system, self.modules, self.strategy)
        kept = {name: tensor.clone() for name, tensor in tensors.items()}
        self.kept = resume.Resumed(kept, {"strategy": numbers, "loop": loop})
        return True

    def go_on(self, before: "World") -> None:
        assert before.kept is not None
        resume.restore(before.kept, self.system, self.modules, self.strategy)
        self.trainer.load_state_dict(before.kept.numbers["loop"])

    @property
    def scores(self) -> list[tuple[int, int, float, bool]]:
        found = [event for event in self.events if isinstance(event, ev.Evaluated)]
        return [(e.epoch, e.step, e.metrics["auc"], e.best) for e in found]


@pytest.mark.parametrize(
    ("name", "domain", "steps"),
    [
        ("gram-1s", "news", [4, 7, 11, 14]),  # 7 steps an epoch
        ("gram-4s", "answers", [4, 6, 10, 12]),  # 6 steps an epoch
        ("gram-1e", "news", [7, 14]),
        ("gram-2e", "answers", [6, 12]),
    ],
)
def test_strategies_are_validated_when_their_encoder_has_followed(
    name: str, domain: str, steps: list[int]
) -> None:
    """And one that is interrupted in mid-epoch goes on to the same weights, scores and best checkpoint."""
    whole = World(name, domain, "0.5e")
    assert whole.trainer.run() == ("completed", "")
    assert [step for _, step, _, _ in whole.scores] == steps
    for stop_at in (9,) if name == "gram-1s" else (3, 9):
        first, second = World(name, domain, "0.5e", stop_at), World(name, domain, "0.5e")
        assert first.trainer.run()[0] == "interrupted"
        second.go_on(first)
        second.trainer.run()
        assert first.scores + second.scores == whole.scores
        kept = second.modules.state_dict(), second.best or first.best
        for found, wanted in zip(kept, (whole.modules.state_dict(), whole.best), strict=True):
            assert all(torch.equal(found[key], value) for key, value in wanted.items())


def test_validations_within_epochs_change_no_weight() -> None:
    often, seldom = World("gram-2s", "answers", "1s"), World("gram-2s", "answers", "1e")
    often.trainer.run()
    seldom.trainer.run()
    assert len(often.scores) > len(seldom.scores) == 2
    states = often.modules.state_dict(), seldom.modules.state_dict()
    assert all(torch.equal(states[0][key], value) for key, value in states[1].items())
