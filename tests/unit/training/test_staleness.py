"""Age and drift of vectors that the filter read: literal references, no trace, the same in every run."""

from typing import Any

import numpy as np
import pytest
import torch
from tiny_systems import DOMAINS, Tiny, sampler_of, tiny_system
from torch import Tensor

from grambench.config.spec import Spec
from grambench.events.types import StalenessMeasured
from grambench.training.protocols import ReadsCached, Strategy
from grambench.training.strategies import make_strategy
from grambench.training.strategies.staleness import SAMPLE, measured, sampled


def made(tiny: Tiny, name: str, domain: str = "news") -> Strategy:
    spec = Spec(
        multi_step={"encoder_batch": 7}, speedyfeed={"beta": 1e9, "expiry": 2}, gram_auto={"floor": 2}
    )
    return make_strategy(
        name, tiny.system, sampler_of(domain), spec=spec, micro_batch=4, encoder_chunk=None, seed=5
    )


def spread_of(vectors: Tensor) -> float:
    return float((vectors - vectors.mean(dim=0)).norm(dim=1).mean())


def measure(tiny: Tiny, strategy: Any, step: int) -> StalenessMeasured | None:
    cached = strategy.cached()
    return None if cached is None else measured(tiny.system, cached, step, 1.0)


def test_a_cache_is_as_old_as_its_steps_and_as_far_off_as_fresh_encodings_say() -> None:
    tiny, sampler = tiny_system(dropout=0.3), sampler_of("news")
    strategy: Any = made(tiny, "speedyfeed")
    encoded_at: dict[int, int] = {}
    assert strategy.cached() is None, "nothing has been read"
    for step in range(4):
        batch = sampler.batch(step)
        items = batch.unique().host_items_N
        for item in items.tolist():  # β is so high that whatever is fresh enough comes from the cache
            if step == 0 or step - encoded_at.get(item, -9) > 2:
                encoded_at[item] = step
        strategy.step(batch)
        found = measure(tiny, strategy, step + 1)
        ages = np.array([step + 1 - encoded_at[item] for item in items.tolist()])
        assert found.items == len(items)
        assert found.mean_age == pytest.approx(ages.mean())
        assert found.max_age == ages.max()
        assert found.p90_age == np.sort(ages)[int(np.ceil(0.9 * (len(ages) - 1)))]
        tiny.encoder.eval()  # without dropout
        with torch.no_grad():
            fresh = tiny.system.encode(items)
        tiny.encoder.train()
        moved = float((strategy.cache_ID[torch.from_numpy(items)] - fresh).norm(dim=1).mean())
        assert found.drift == pytest.approx(moved / spread_of(fresh), rel=1e-9)
    assert found.max_age == 3
    assert found.drift > 0


@pytest.mark.parametrize("domain", DOMAINS)
@pytest.mark.parametrize("name", ["gram-3s", "gram-1e", "gram-auto"])
def test_a_window_has_the_drift_with_which_it_closed(name: str, domain: str) -> None:
    tiny, sampler = tiny_system(domain=domain), sampler_of(domain)
    strategy, closed_one, began = made(tiny, name, domain), False, 0
    for step in range(sampler.total_steps):
        closed = strategy.step(sampler.batch(step)).window
        found = measure(tiny, strategy, step + 1)
        if name != "gram-auto":  # whose items join while the window is open
            assert found.mean_age == found.p90_age == found.max_age == step + 1 - began
        assert 1 <= found.max_age <= step + 1 - began
        if closed is not None:
            assert found.drift == pytest.approx(float(closed.spread_drift), rel=1e-9)
            assert found.items == closed.unique_items
            closed_one, began = True, step + 1
    assert closed_one


@pytest.mark.parametrize("name", ["speedyfeed", "gram-3s", "gram-auto"])
def test_a_measurement_changes_nothing(name: str) -> None:
    seen, plain = (tiny_system(dropout=0.3) for _ in range(2))
    pairs = [(tiny, made(tiny, name)) for tiny in (seen, plain)]
    losses: list[list[float]] = []
    for tiny, strategy in pairs:
        torch.manual_seed(1)
        losses.append([])
        for step in range(7):
            losses[-1].append(float(strategy.step(sampler_of("news").batch(step)).loss))
            if tiny is seen:
                assert measure(tiny, strategy, step + 1).items
    assert losses[0] == losses[1]
    assert all(torch.equal(value, plain.parameters()[name]) for name, value in seen.parameters().items())
    assert seen.spy.counts == plain.spy.counts
    assert seen.encoder.training


def test_the_sample_is_the_same_wherever_its_items_occur() -> None:
    items = np.arange(0, 1000, 3)
    places = sampled(5, items)
    assert len(set(places.tolist())) == SAMPLE
    assert (np.diff(places) > 0).all()
    chosen = set(items[places].tolist())
    fewer = np.setdiff1d(items, items[places][:1])
    assert chosen - set(fewer[sampled(5, fewer)].tolist()) == {int(items[places][0])}
    assert set(items[sampled(6, items)].tolist()) != chosen
    assert sampled(5, items[:SAMPLE]).tolist() == [*range(SAMPLE)]


@pytest.mark.parametrize("name", ["e2e", "e2e-unique", "e2e-cand", "gram-1s", "nofinetune"])
def test_strategies_that_encode_what_they_read_have_none(name: str) -> None:
    assert not isinstance(made(tiny_system(), name), ReadsCached)
