"""The guard: once a loss is no number, no optimiser changes a weight."""

import math

import pytest
import torch
from tiny_systems import DOMAINS, sampler_of, tiny_system

from grambench.config.spec import MultiStep, Spec
from grambench.training.guard import NonFiniteGuard
from grambench.training.strategies import make_strategy

CPU = torch.device("cpu")
STRATEGIES = ("e2e", "e2e-unique", "gram-1s", "gram-2s", "nofinetune", "speedyfeed")


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_the_first_bad_step_is_remembered(bad: float) -> None:
    guard = NonFiniteGuard(CPU)
    for loss in (1.0, 2.0):
        guard.see(torch.tensor(loss))
        guard.count_step()
    assert guard.bad_step() is None
    for loss in (bad, 3.0, bad):
        guard.see(torch.tensor(loss))
        guard.count_step()
    assert guard.bad_step() == 3


def test_a_bad_gradient_counts_like_a_bad_loss() -> None:
    guard = NonFiniteGuard(CPU)
    guard.see(torch.tensor(1.0), torch.tensor([[0.0, math.inf]]))
    assert guard.bad_step() == 1


@pytest.mark.parametrize("domain", DOMAINS)
@pytest.mark.parametrize("name", STRATEGIES)
def test_no_weight_changes_from_the_bad_step_on(
    name: str, domain: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name == "speedyfeed" and domain == "answers":
        pytest.skip("a system for news")
    tiny, sampler = tiny_system(domain=domain), sampler_of(domain)
    options = {
        "spec": Spec(multi_step=MultiStep(encoder_batch=7)),
        "micro_batch": 4,
        "encoder_chunk": None,
        "seed": 5,
    }
    strategy = make_strategy(name, tiny.system, sampler, **options)
    strategy.step(sampler.batch(0))
    before = tiny.parameters()
    loss = tiny.filter.loss
    monkeypatch.setattr(tiny.filter, "loss", lambda *given: loss(*given) * math.nan)
    for step in range(1, 4):
        strategy.step(sampler.batch(step))
    for found, wanted in zip(tiny.parameters().values(), before.values(), strict=True):
        assert torch.equal(found, wanted)
    assert tiny.system.guard.bad_step() is not None
    assert any(
        not torch.equal(a, b)
        for a, b in zip(before.values(), tiny_system(domain=domain).parameters().values(), strict=True)
    )
