"""End-to-end, its shortcuts and gram-1s have one gradient with LoRA too, away from its start."""

from collections.abc import Callable

import pytest
import torch
from tiny_systems import (
    CPU,
    DOMAINS,
    HEADS,
    LR,
    QUERY,
    Tiny,
    assert_same,
    encode_one_by_one,
    encoder_spec,
    sampler_of,
    tiny_data,
    tiny_system,
)
from torch import Tensor

from grambench.config.networks import Filter, Lora
from grambench.config.optimizer import Optimizer
from grambench.config.spec import Audit, Spec, Training
from grambench.models.encoders.lora import add_lora, leave_lora_start
from grambench.training import audit as module
from grambench.training.audit import audit
from grambench.training.optim import ScheduledAdam
from grambench.training.protocols import Batch, StepResult
from grambench.training.strategies.e2e import EndToEnd, EndToEndUnique
from grambench.training.strategies.single_step import SingleStep

BUILD: dict[str, Callable[[Tiny], EndToEnd | EndToEndUnique | SingleStep]] = {
    "e2e": lambda tiny: EndToEnd(tiny.system, 6),
    "e2e in micro-batches": lambda tiny: EndToEnd(tiny.system, 4),
    "e2e-unique": lambda tiny: EndToEndUnique(tiny.system),
    "gram-1s": lambda tiny: SingleStep(tiny.system),
    "gram-1s in chunks": lambda tiny: SingleStep(tiny.system, 5),
}


def with_lora(domain: str) -> Tiny:
    tiny = tiny_system(domain=domain)
    add_lora(tiny.encoder.backbone, Lora(rank=3, targets="all-linear"))
    leave_lora_start(tiny.encoder)
    tiny.system.encoder_optimizer = ScheduledAdam(tiny.encoder.parameters(), Optimizer(lr=LR))
    return tiny


def plain_autograd(tiny: Tiny, batch: Batch) -> dict[str, Tensor]:
    """Gradients through unpadded encodings of every occurrence, a user at a time."""
    total = torch.zeros((), dtype=torch.float64)
    for view in (user.occurrences() for user in batch.split(1)):
        vectors = encode_one_by_one(tiny.encoder, tiny.spy.tokens, view.items_N.tolist())
        total = total + tiny.filter.loss(vectors, view)
    (total / batch.users).backward()
    return tiny.take_gradients()


@pytest.mark.parametrize("domain", DOMAINS)
def test_every_gradient_is_that_of_plain_autograd(domain: str) -> None:
    tiny, batch = with_lora(domain), sampler_of(domain).batch(0)
    wanted = plain_autograd(tiny, batch)
    updates = {name: gradient for name, gradient in wanted.items() if "lora_" in name}
    assert len(updates) == 2 * 2 * 6
    assert all(gradient.abs().max() > 1e-9 for gradient in updates.values())
    for build in BUILD.values():
        build(tiny).gradients(batch)
        found = tiny.take_gradients()
        assert_same(found, wanted)
        largest = max(gradient.abs().max() for gradient in updates.values())
        assert max((found[name] - updates[name]).abs().max() for name in updates) <= 1e-10 * largest


def test_steps_train_the_updates_and_leave_the_frozen_weights() -> None:
    reference, tiny = with_lora("news"), with_lora("news")
    start, sampler = tiny.parameters(), sampler_of("news")
    for step in range(3):
        EndToEnd(reference.system, 6).step(sampler.batch(step))
        SingleStep(tiny.system, 5).step(sampler.batch(step))
    assert_same(tiny.parameters(), reference.parameters())
    moved = {name for name, weight in tiny.parameters().items() if not torch.equal(weight, start[name])}
    assert moved == {name for name in start if "backbone" not in name or "lora_" in name}


def test_the_audit_sees_a_gradient_of_a_that_is_a_thousandth_too_large(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    spec = Spec(
        encoder=encoder_spec(adapt="lora", lora=Lora(targets="all-linear")),
        filter=Filter(history=5, nrms={"heads": HEADS, "query": QUERY}),
        training=Training(negatives=3, batch_size=6),
        audit=Audit(users=8),
    )
    honest = SingleStep.gradients
    assert audit(spec, tiny_data(), CPU).equivalent

    def off(strategy: SingleStep, batch: Batch) -> StepResult:
        result = honest(strategy, batch)
        for name, weight in strategy.system.encode.encoder.named_parameters():
            if name.endswith("lora_A"):
                weight.grad *= 1 + 1e-3
        return result

    monkeypatch.setattr(SingleStep, "gradients", off)
    assert not audit(spec, tiny_data(), CPU).equivalent
    monkeypatch.setattr(module, "leave_lora_start", lambda _: None)
    assert audit(spec, tiny_data(), CPU).equivalent  # at its start all gradients of A are 0
