"""gram-auto: the window closes by drift, between floor and ceiling; the encoder follows what it touched."""

import functools
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tiny_systems
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_systems import Tiny, assert_same, encode_one_by_one, news_sampler, random_part, tiny_system

from grambench.config.spec import GramAuto, Spec
from grambench.config.spec import MultiStep as MultiStepSpec
from grambench.domains.news.sampler import NewsSampler
from grambench.training.protocols import StepResult
from grambench.training.strategies import make_strategy
from grambench.training.strategies.multi_step import MultiStep
from grambench.training.strategies.windows import DriftWindow, SpreadWindow

NEVER = 1e9
MEASURES = ("spread", "norm")
ADAGRAD = {"table_optimizer": "adagrad"}


def settings_of(**options: object) -> Spec:
    """Settings of both tables by their names alone."""
    auto = {name: options.pop(name) for name in GramAuto.model_fields if name in options}
    return Spec(multi_step=MultiStepSpec(**options), gram_auto=GramAuto(**auto))


def trained(
    sampler: NewsSampler, name: str = "gram-auto", **options: object
) -> tuple[MultiStep, list[StepResult], Tiny]:
    """A whole training; the strategy, what each step did, and the system."""
    tiny = tiny_system()
    strategy = make_strategy(
        name,
        tiny.system,
        sampler,
        spec=settings_of(encoder_batch=7, **options),
        micro_batch=1,
        encoder_chunk=None,
        seed=11,
    )
    results = [strategy.step(sampler.batch(step)) for step in range(sampler.total_steps)]
    return strategy, results, tiny


def windows(results: list[StepResult]) -> list[int]:
    return [result.window.steps for result in results if result.window]


def ten_steps(**options: object) -> NewsSampler:
    sampler = news_sampler(random_part(impressions=45), batch_size=10, **options)
    assert sampler.steps_per_epoch == 10
    return sampler


def test_drift_that_is_never_reached_gives_windows_of_an_epoch() -> None:
    _, auto, _ = trained(ten_steps(), drift=NEVER, floor=3, **ADAGRAD)
    _, fixed, _ = trained(ten_steps(), "gram-1e")
    assert windows(auto) == windows(fixed) == [10, 10]
    for found, wanted in zip(auto, fixed, strict=True):
        assert float(found.loss) == pytest.approx(float(wanted.loss), abs=1e-10)
        assert found.occurrences == wanted.occurrences
    for found, wanted in zip(auto[9::10], fixed[9::10], strict=True):
        assert found.window.unique_items == wanted.window.unique_items
        assert found.window.untouched_items == wanted.window.untouched_items == 0
        for name in ("drift", "spread_drift"):
            assert float(getattr(found.window, name)) == pytest.approx(
                float(getattr(wanted.window, name)), abs=1e-10
            )


def test_one_window_an_epoch_is_gram_1e_but_for_the_order_of_its_rows() -> None:
    """With all items in one encoder step the order does not matter, and the weights agree."""
    tinies = []
    for name in ("gram-auto", "gram-1e"):
        tiny, sampler = tiny_system(), ten_steps()
        spec = settings_of(encoder_batch=1000, drift=NEVER, floor=3, **ADAGRAD)
        strategy = make_strategy(
            name, tiny.system, sampler, spec=spec, micro_batch=1, encoder_chunk=None, seed=11
        )
        for step in range(sampler.total_steps):
            strategy.step(sampler.batch(step))
        tinies.append(tiny)
    assert_same(tinies[0].parameters(), tinies[1].parameters())


def test_drift_that_any_step_reaches_gives_windows_of_the_floor() -> None:
    _, results, _ = trained(ten_steps(), drift=1e-12, floor=4, measure="norm")
    assert windows(results) == [4, 4, 2, 4, 4, 2]  # the epoch's end closes a window too


def test_rest_of_an_epoch_that_is_shorter_than_half_a_window_joins_the_window() -> None:
    _, results, _ = trained(ten_steps(), drift=1e-12, floor=4)
    assert windows(results) == [4, 6, 4, 6]
    _, results, _ = trained(ten_steps(), drift=1e-12, floor=3)
    assert windows(results) == [3, 3, 4, 3, 3, 4]


def test_items_join_in_few_blocks() -> None:
    _, results, _ = trained(ten_steps(), drift=NEVER, floor=1)
    blocks = [step for step, result in enumerate(results) if result.unique_items]
    assert blocks == [0, 1, 10]  # a first look tells that the window will last to the end of its epoch
    assert windows(results) == [10, 10]


def test_a_window_holds_items_for_as_long_as_the_newest_reading_promises() -> None:
    rule = SpreadWindow(limit=1.0, check_steps=8, ceiling=1000, steps_per_epoch=1000)

    def ahead(window_steps: int, step: int) -> int:
        return rule.steps_ahead(window_steps, SimpleNamespace(step=step))

    def over(window_steps: int, step: int, drift: float) -> bool:
        window = SimpleNamespace(steps=window_steps, spread_drift=lambda: torch.tensor(drift))
        return rule.is_over(window, SimpleNamespace(step=step, ends_epoch=False, ends_training=False))

    assert ahead(0, 0) == 8
    assert not over(8, 7, 0.25)  # an even growth would reach the limit at step 32
    assert ahead(8, 8) == 24
    assert [ahead(steps, steps) for steps in range(9, 32)] == [0] * 23
    assert not over(32, 31, 0.8)
    assert ahead(32, 32) == 8
    assert over(40, 39, 1.05)
    assert ahead(0, 40) == 40
    assert not over(8, 47, 0.1)
    assert over(16, 55, 1.0)
    assert ahead(0, 56) == 16
    kept = rule.state_dict()
    again = SpreadWindow(limit=1.0, check_steps=8, ceiling=1000, steps_per_epoch=1000)
    again.load_state_dict(kept)
    assert again.state_dict() == kept == {"expected": 16, "held": 16}
    assert ahead(0, 977) == 23  # the epoch's last 7 steps are no window of their own


def test_ceiling_closes_a_window() -> None:
    _, results, _ = trained(ten_steps(), drift=NEVER, floor=2, ceiling=5)
    assert windows(results) == [5, 5, 5, 5]


def test_last_step_of_a_short_training_closes_the_window() -> None:
    strategy, results, _ = trained(ten_steps(max_steps=7), drift=NEVER, floor=4)
    assert windows(results) == [7]
    assert strategy.window is None


@pytest.mark.parametrize("floor", [1, 2, 3])
@pytest.mark.parametrize("after", [2, 4, 8])
def test_window_closes_at_the_first_look_at_or_above_the_limit(after: int, floor: int) -> None:
    for measure in MEASURES if floor == 2 else MEASURES[:1]:
        drifts = literal_drifts(measure, tiny_systems.DRIVEN_AS_A_GPU)
        limit = drifts[after - 1] - 1e-9
        looks = [steps for steps in range(floor, 10, floor) if drifts[steps - 1] >= limit]
        if measure == "spread":
            looks = [steps for steps in looks if 2 * (10 - steps) > steps]
        _, results, _ = trained(ten_steps(), drift=limit, floor=floor, measure=measure, **ADAGRAD)
        assert windows(results)[0] == (looks[0] if looks else 10)


@functools.cache
def literal_drifts(measure: str, _driven: bool) -> list[float]:
    """Drift of the touched items after each step of the first epoch, item by item."""
    tiny, sampler = tiny_system(), ten_steps()
    spec = settings_of(drift=NEVER, floor=1, measure=measure, **ADAGRAD)
    strategy: Any = make_strategy(
        "gram-auto", tiny.system, sampler, spec=spec, micro_batch=1, encoder_chunk=None, seed=11
    )
    with torch.no_grad():
        start = encode_one_by_one(tiny.encoder, tiny.spy.tokens, list(range(40)))
    drifts, touched = [], set()
    for step in range(9):
        batch = sampler.batch(step)
        touched |= set(batch.occurrences().items_N.tolist())
        strategy.step(batch)
        window = strategy.window
        rows = {item: row for row, item in enumerate(window.host_items_U.tolist())}
        assert rows.keys() >= touched
        assert {i for i, row in rows.items() if window.touched_U[row]} == touched
        moved = {i: float((window.table_UD[rows[i]] - start[i]).norm()) for i in touched}
        if measure == "norm":
            assert rows.keys() == touched
            drifts.append(sum(moved[i] / float(start[i].norm()) for i in touched) / len(touched))
        else:
            center = sum(start[i] for i in touched) / len(touched)
            drifts.append(sum(moved.values()) / sum(float((start[i] - center).norm()) for i in touched))
    return drifts


@settings(max_examples=10)
@given(st.integers(1, 12), st.sampled_from([1e-12, 0.2, 0.5, NEVER]))
def test_the_encoder_follows_what_a_window_touched_and_the_rest_is_counted(floor: int, limit: float) -> None:
    sampler = ten_steps()
    _, results, tiny = trained(sampler, drift=limit, floor=floor)
    touched = untouched = 0
    step = 0
    for size in windows(results):
        items = {i for s in range(step, step + size) for i in sampler.batch(s).unique().host_items_N.tolist()}
        closed = results[step + size - 1].window
        assert closed.unique_items == len(items)
        assert closed.occurrences == sum(result.occurrences for result in results[step : step + size])
        encoded = sum(result.unique_items for result in results[step : step + size])
        assert encoded == len(items) + closed.untouched_items
        touched += len(items)
        untouched += closed.untouched_items
        step += size
    assert step == sampler.total_steps
    assert sum(tiny.spy.times(with_graph=False).values()) == touched + untouched
    assert sum(tiny.spy.times(with_graph=True).values()) == touched


def test_version_0_1_s_window_encodes_what_it_touches_and_nothing_else() -> None:
    _, results, tiny = trained(ten_steps(), drift=0.3, floor=2, measure="norm", **ADAGRAD)
    closed = [result.window for result in results if result.window]
    assert [window.untouched_items for window in closed] == [0] * len(closed)
    assert sum(tiny.spy.times(with_graph=False).values()) == sum(window.unique_items for window in closed)


@pytest.mark.parametrize("kind", [SpreadWindow, DriftWindow])
def test_drift_that_is_no_number_closes_the_window(kind: type) -> None:
    rule = kind(0.5, 1, 100, 100)
    batch = SimpleNamespace(step=0, ends_epoch=False, ends_training=False)
    reading = lambda: torch.tensor(float("nan"))  # noqa: E731
    assert rule.is_over(SimpleNamespace(steps=1, drift=reading, spread_drift=reading), batch)


def test_a_window_that_closes_earlier_than_expected_counts_what_it_did_not_read() -> None:
    sampler, losses, made = ten_steps(), [], []
    for stops in (False, True):
        tiny = tiny_system()
        spec = settings_of(encoder_batch=7, drift=1e-12, floor=2)
        options = {"spec": spec, "micro_batch": 1, "encoder_chunk": None, "seed": 11}
        strategy: Any = make_strategy("gram-auto", tiny.system, sampler, **options)
        strategy.rule.load_state_dict({"expected": 6, "held": 0})
        first = strategy.step(sampler.batch(0))
        assert first.unique_items == len(sampler.items_ahead(0, 6))
        if stops:
            kept = strategy.state_dict()
            strategy = make_strategy("gram-auto", tiny.system, sampler, **options)
            strategy.load_state_dict(kept)
        closed = strategy.step(sampler.batch(1)).window
        items = sampler.items_ahead(0, 2)
        assert closed.steps == 2
        assert closed.unique_items == len(items) < first.unique_items
        assert closed.untouched_items == first.unique_items - len(items)
        assert tiny.spy.times(with_graph=True) == dict.fromkeys(items.tolist(), 1)
        losses.append([float(strategy.step(sampler.batch(step)).loss) for step in range(2, 6)])
        made.append(tiny.parameters())
    assert losses[0] == losses[1]
    for name, value in made[0].items():
        assert torch.equal(value, made[1][name]), name


class Deformed:
    """The tiny system whose encoder's vectors are c h + o, read by a filter as they were."""

    def __init__(self, factor: float, offset: float) -> None:
        self.tiny, self.factor, self.offset = tiny_system(), factor, offset
        spec = settings_of(encoder_batch=7, drift=0.8, floor=2)
        self.sampler = ten_steps()
        self.strategy: Any = make_strategy(
            "gram-auto",
            self.tiny.system,
            self.sampler,
            spec=spec,
            micro_batch=1,
            encoder_chunk=None,
            seed=1,
        )
        loss, encode = self.tiny.filter.loss, self.tiny.system.encode

        class Read(torch.nn.Module):
            def loss(self, vectors, view):
                return loss((vectors - offset) / factor, view)

        class Encode(type(encode)):
            def __call__(self, items):
                return factor * super().__call__(items) + offset

        encode.__class__ = Encode
        self.tiny.system.filter = Read()

    def first_window(self) -> tuple[list[np.ndarray], list[float], StepResult]:
        """Vectors behind each step as the filter reads them, drifts, and the step that closed the window."""
        tables, drifts = [], []
        for step in range(10):
            result = self.strategy.step(self.sampler.batch(step))
            if result.window:
                return tables, drifts, result
            window = self.strategy.window
            tables.append(((window.table_UD - self.offset) / self.factor).numpy().copy())
            drifts.append(float(window.spread_drift()))
        raise AssertionError("no window closed")


def test_a_window_goes_the_same_way_whatever_the_vectors_unit_and_origin() -> None:
    tables, drifts, closed = Deformed(1.0, 0.0).first_window()
    assert 2 <= len(tables) < 9
    assert drifts[-1] > 0.3
    for factor, offset in ((0.1, 0.0), (30.0, -4.0)):
        others, other_drifts, other = Deformed(factor, offset).first_window()
        assert other_drifts == pytest.approx(drifts, rel=1e-9)
        assert other.window.steps == closed.window.steps
        for table, found in zip(tables, others, strict=True):
            assert np.abs(found - table).max() < 1e-9


def test_chunked_encoder_step_is_that_of_the_whole_mini_batch() -> None:
    tinies = []
    for chunk in (None, 3):
        tiny, sampler = tiny_system(), ten_steps()
        spec = settings_of(encoder_batch=8)
        strategy = make_strategy(
            "gram-1e", tiny.system, sampler, spec=spec, micro_batch=1, encoder_chunk=chunk, seed=11
        )
        for step in range(sampler.total_steps):
            strategy.step(sampler.batch(step))
        tinies.append(tiny)
    assert_same(tinies[0].parameters(), tinies[1].parameters())
    longest = [max(len(call.ids) for call in tiny.spy.seen if call.with_graph) for tiny in tinies]
    assert longest == [8, 3]
