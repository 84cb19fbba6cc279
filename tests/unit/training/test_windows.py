"""gram-auto: the window closes by drift, between a floor and a ceiling, and encodes only what it touches."""

from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_systems import assert_same, encode_one_by_one, news_sampler, random_part, tiny_system

from grambench.config.spec import MultiStep as MultiStepSpec
from grambench.data.sampler import NewsSampler
from grambench.training.phases import StepResult
from grambench.training.strategies import make_strategy
from grambench.training.strategies.multi_step import MultiStep
from grambench.training.windows import DriftWindow

NEVER = 1e9


def trained(
    sampler: NewsSampler, name: str = "gram-auto", **options: object
) -> tuple[MultiStep, list[StepResult], object]:
    """A whole training; the strategy, what each step did, and the system."""
    tiny = tiny_system()
    spec = MultiStepSpec(encoder_batch=7, **options)
    strategy = make_strategy(
        name, tiny.system, sampler, multi_step=spec, micro_batch=1, encoder_chunk=None, seed=11
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
    _, auto, _ = trained(ten_steps(), auto_drift=NEVER, auto_floor=3)
    _, fixed, _ = trained(ten_steps(), "gram-1e")
    assert windows(auto) == windows(fixed) == [10, 10]
    for found, wanted in zip(auto, fixed, strict=True):
        assert float(found.loss) == pytest.approx(float(wanted.loss), abs=1e-10)
        assert found.occurrences == wanted.occurrences
    for found, wanted in zip(auto[9::10], fixed[9::10], strict=True):
        assert found.window.unique_items == wanted.window.unique_items
        assert float(found.window.drift) == pytest.approx(float(wanted.window.drift), abs=1e-10)


def test_one_window_an_epoch_is_gram_1e_but_for_the_order_of_its_rows() -> None:
    """With all items in one encoder step the order does not matter, and the weights agree."""
    tinies = []
    for name in ("gram-auto", "gram-1e"):
        tiny, sampler = tiny_system(), ten_steps()
        spec = MultiStepSpec(encoder_batch=1000, auto_drift=NEVER, auto_floor=3)
        strategy = make_strategy(
            name, tiny.system, sampler, multi_step=spec, micro_batch=1, encoder_chunk=None, seed=11
        )
        for step in range(sampler.total_steps):
            strategy.step(sampler.batch(step))
        tinies.append(tiny)
    assert_same(tinies[0].parameters(), tinies[1].parameters())


def test_drift_that_any_step_reaches_gives_windows_of_the_floor() -> None:
    _, results, _ = trained(ten_steps(), auto_drift=1e-12, auto_floor=4)
    assert windows(results) == [4, 4, 2, 4, 4, 2]  # the epoch's end closes a window too


def test_ceiling_closes_a_window() -> None:
    _, results, _ = trained(ten_steps(), auto_drift=NEVER, auto_floor=2, auto_ceiling=5)
    assert windows(results) == [5, 5, 5, 5]


def test_last_step_of_a_short_training_closes_the_window() -> None:
    strategy, results, _ = trained(ten_steps(max_steps=7), auto_drift=NEVER, auto_floor=4)
    assert windows(results) == [7]
    assert strategy.window is None


@pytest.mark.parametrize("floor", [1, 2, 3])
@pytest.mark.parametrize("after", [2, 4, 8])
def test_window_closes_at_the_first_look_at_or_above_the_limit(after: int, floor: int) -> None:
    drifts = literal_drifts()
    limit = drifts[after - 1] - 1e-9
    looks = [steps for steps in range(floor, 10, floor) if drifts[steps - 1] >= limit]
    _, results, _ = trained(ten_steps(), auto_drift=limit, auto_floor=floor)
    assert windows(results)[0] == (looks[0] if looks else 10)


def literal_drifts() -> list[float]:
    """Mean drift of the touched items after each step of the first epoch, item by item."""
    tiny, sampler = tiny_system(), ten_steps()
    spec = MultiStepSpec(auto_drift=NEVER, auto_floor=1)
    strategy = make_strategy(
        "gram-auto", tiny.system, sampler, multi_step=spec, micro_batch=1, encoder_chunk=None, seed=11
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
        assert rows.keys() == touched
        moved = [
            float((window.table_UD[rows[i]] - start[i]).norm() / start[i].norm()) for i in sorted(touched)
        ]
        drifts.append(sum(moved) / len(moved))
    return drifts


@settings(max_examples=10)
@given(st.integers(1, 12), st.sampled_from([1e-12, 0.2, 0.5, NEVER]))
def test_window_encodes_what_it_touches_and_nothing_else(floor: int, limit: float) -> None:
    sampler = ten_steps()
    _, results, tiny = trained(sampler, auto_drift=limit, auto_floor=floor)
    touched = 0
    step = 0
    for size in windows(results):
        items = {i for s in range(step, step + size) for i in sampler.batch(s).unique().host_items_N.tolist()}
        closed = results[step + size - 1].window
        assert closed.unique_items == len(items)
        assert closed.occurrences == sum(result.occurrences for result in results[step : step + size])
        assert sum(result.unique_items for result in results[step : step + size]) == len(items)
        touched += len(items)
        step += size
    assert step == sampler.total_steps
    assert sum(tiny.spy.times(with_graph=False).values()) == touched
    assert sum(tiny.spy.times(with_graph=True).values()) == touched


def test_drift_that_is_no_number_closes_the_window() -> None:
    rule = DriftWindow(0.5, 1, 100, 100)
    batch = SimpleNamespace(ends_epoch=False, ends_training=False)
    window = SimpleNamespace(steps=1, drift=lambda: torch.tensor(float("nan")))
    assert rule.is_over(window, batch)


def test_chunked_encoder_step_is_that_of_the_whole_mini_batch() -> None:
    tinies = []
    for chunk in (None, 3):
        tiny, sampler = tiny_system(), ten_steps()
        spec = MultiStepSpec(encoder_batch=8)
        strategy = make_strategy(
            "gram-1e", tiny.system, sampler, multi_step=spec, micro_batch=1, encoder_chunk=chunk, seed=11
        )
        for step in range(sampler.total_steps):
            strategy.step(sampler.batch(step))
        tinies.append(tiny)
    assert_same(tinies[0].parameters(), tinies[1].parameters())
    longest = [max(len(call.ids) for call in tiny.spy.seen if call.with_graph) for tiny in tinies]
    assert longest == [8, 3]
