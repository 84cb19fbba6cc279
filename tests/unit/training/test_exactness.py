"""End-to-end, its two shortcuts and Algorithm 1 read literally: one gradient, one trajectory, in float64."""

import math
from collections.abc import Callable
from functools import cache

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_systems import DOMAINS, KINDS, LR, Tiny, assert_same, encode_one_by_one, sampler_of, tiny_system
from torch import Tensor, nn

from grambench.config.optimizer import Optimizer
from grambench.config.spec import Spec
from grambench.training.optim import decaying
from grambench.training.protocols import Batch
from grambench.training.strategies import make_strategy
from grambench.training.strategies.e2e import EndToEnd, EndToEndUnique
from grambench.training.strategies.one_step import OneStep
from grambench.training.strategies.single_step import SingleStep


class LiteralGram:
    """Equations 1 and 2 with N = 1: pseudo-targets by SGD with rate 1, then a second forward pass."""

    def __init__(self, tiny: Tiny) -> None:
        self.tiny = tiny

    def gradients(self, batch: Batch) -> Tensor:
        view, system = batch.unique(), self.tiny.system
        with torch.no_grad():
            vectors = system.encode(view.host_items_N)
        leaf = vectors.clone().requires_grad_()
        loss = system.filter.loss(leaf, view)
        loss.backward()
        target = vectors - 1.0 * leaf.grad
        pseudo_loss = 0.5 * (target - system.encode(view.host_items_N)).square().sum()
        pseudo_loss.backward()
        for parameter in (*self.tiny.encoder.parameters(), *self.tiny.filter.parameters()):
            parameter.grad /= batch.users  # eq. 8 is a sum, the optimisers see the mean
        return loss.detach()

    def step(self, batch: Batch) -> None:
        self.gradients(batch)
        self.tiny.system.filter_optimizer.step(batch.progress)
        self.tiny.system.encoder_optimizer.step(batch.progress)


class LiteralE2E:
    """Autograd through unbatched, unpadded encodings of every occurrence, a user at a time if it can be."""

    def __init__(self, tiny: Tiny) -> None:
        self.tiny = tiny

    def gradients(self, batch: Batch) -> Tensor:
        total = torch.zeros((), dtype=torch.float64)
        for part in [batch] if self.tiny.filter.across_users else batch.split(1):
            view = part.occurrences()
            vectors = encode_one_by_one(self.tiny.encoder, self.tiny.spy.tokens, view.items_N.tolist())
            total = total + self.tiny.filter.loss(vectors, view)
        (total / batch.users).backward()
        return total.detach()

    def step(self, batch: Batch) -> None:
        self.gradients(batch)
        self.tiny.system.filter_optimizer.step(batch.progress)
        self.tiny.system.encoder_optimizer.step(batch.progress)


BUILD: dict[str, Callable[[Tiny], OneStep | LiteralGram]] = {
    "e2e": lambda tiny: EndToEnd(tiny.system, 6),
    "e2e in micro-batches": lambda tiny: EndToEnd(tiny.system, 4),
    "e2e-unique": lambda tiny: EndToEndUnique(tiny.system),
    "gram-1s": lambda tiny: SingleStep(tiny.system),
    "gram-1s in chunks": lambda tiny: SingleStep(tiny.system, 5),
    "algorithm 1": LiteralGram,
}


@pytest.mark.parametrize("domain", DOMAINS)
@pytest.mark.parametrize("pooling", ["attention", "mean", "cls", "last"])
@pytest.mark.parametrize("name", BUILD)
def test_every_gradient_is_that_of_plain_autograd(name: str, pooling: str, domain: str) -> None:
    tiny, batch = tiny_system(domain=domain, pooling=pooling), sampler_of(domain).batch(0)
    wanted_loss = LiteralE2E(tiny).gradients(batch)
    wanted = tiny.take_gradients()
    result = BUILD[name](tiny).gradients(batch)
    assert_same(tiny.take_gradients(), wanted)
    loss = result if isinstance(result, Tensor) else result.loss
    assert float(loss) == pytest.approx(float(wanted_loss), abs=1e-10)


def loss_of_plain_autograd(tiny: Tiny, batch: Batch) -> float:
    """That of a batch; every way to compute the update has it, and its gradients."""
    wanted_loss = float(LiteralE2E(tiny).gradients(batch))
    wanted = tiny.take_gradients()
    for build in BUILD.values():
        result = build(tiny).gradients(batch)
        assert_same(tiny.take_gradients(), wanted)
        loss = result if isinstance(result, Tensor) else result.loss
        assert float(loss) == pytest.approx(wanted_loss, abs=1e-10)
    return wanted_loss


@pytest.mark.parametrize("kind", KINDS)
def test_every_filter_gets_the_gradient_of_plain_autograd(kind: str) -> None:
    loss_of_plain_autograd(tiny_system(domain=KINDS[kind], kind=kind), sampler_of(KINDS[kind]).batch(1))


@cache
def trajectory_of_plain_autograd(domain: str) -> dict[str, Tensor]:
    sampler, tiny = sampler_of(domain), tiny_system(domain=domain)
    for step in range(sampler.steps_per_epoch + 2):
        LiteralE2E(tiny).step(sampler.batch(step))
    return tiny.parameters()


@pytest.mark.parametrize("domain", DOMAINS)
@pytest.mark.parametrize("name", BUILD)
def test_parameters_stay_those_of_plain_autograd_over_adam_steps(name: str, domain: str) -> None:
    sampler, tiny = sampler_of(domain), tiny_system(domain=domain)
    start, strategy = tiny.parameters(), BUILD[name](tiny)
    for step in range(sampler.steps_per_epoch + 2):
        strategy.step(sampler.batch(step))
    assert_same(tiny.parameters(), trajectory_of_plain_autograd(domain))
    assert all(
        float((tiny.parameters()[key] - start[key]).abs().max()) > 1e-3
        for key in start
        if "key.bias" not in key
    )


OPTIMISED = {
    "clipping, linear": Optimizer(lr=LR, schedule="linear", warmup_share=0.08, clip_norm=0.02),
    "AdamW, cosine": Optimizer(lr=LR, schedule="cosine", warmup_share=0.08, weight_decay=20.0),
}


def torch_reference(domain: str, spec: Optimizer, steps: int) -> Tiny:
    """Plain autograd, and torch's own AdamW, clipping and, over the samples of two epochs, schedules."""
    tiny, sampler = tiny_system(domain=domain), sampler_of(domain)
    planned, done, warm_up = 2 * sampler.samples, 0, spec.warmup_share
    modules = (tiny.encoder, tiny.filter)
    optimisers = [torch.optim.AdamW(_groups(module, spec.weight_decay), lr=spec.lr) for module in modules]
    for step in range(steps):
        batch = sampler.batch(step)
        EndToEndUnique(tiny.system).gradients(batch)
        for module, optimiser in zip(modules, optimisers, strict=True):
            if spec.clip_norm is not None:
                norm = torch.nn.utils.clip_grad_norm_(module.parameters(), spec.clip_norm)
                assert norm > 1.5 * spec.clip_norm
            for group in optimiser.param_groups:
                group["lr"] = spec.lr * SHAPES[spec.schedule](done / planned, batch.users / planned, warm_up)
            optimiser.step()
            optimiser.zero_grad()
        done += batch.users
    return tiny


def _groups(module: nn.Module, weight_decay: float) -> list[dict[str, object]]:
    decayed = [parameter for parameter in module.parameters() if parameter in decaying(module)]
    others = [parameter for parameter in module.parameters() if parameter not in decaying(module)]
    return [{"params": decayed, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]


SHAPES: dict[str, Callable[[float, float, float], float]] = {
    "linear": lambda before, own, w: min(1, (before + own) / w, (1 - before) / (1 - w)),
    "cosine": lambda before, own, w: (
        min(1, (before + own) / w) if before < w else (1 + math.cos(math.pi * (before - w) / (1 - w))) / 2
    ),
}
"""Share trained before a step, the step's own, the warm-up's -> share of the learning rate."""


@pytest.mark.parametrize("domain", DOMAINS)
@pytest.mark.parametrize("name", OPTIMISED)
def test_clipping_decay_and_schedules_leave_every_way_to_the_gradient_equal(name: str, domain: str) -> None:
    spec, start = OPTIMISED[name], tiny_system(domain=domain).parameters()
    wanted = torch_reference(domain, spec, 3).parameters()
    assert any(float((wanted[key] - start[key]).abs().max()) > LR for key in start)
    for build in [*BUILD.values()][:-1]:
        tiny, sampler = tiny_system(domain=domain, rates=spec), sampler_of(domain)
        strategy = build(tiny)
        for step in range(3):
            strategy.step(sampler.batch(step))
        assert_same(tiny.parameters(), wanted)


def test_dropout_of_the_filter_drops_the_same_however_a_batch_is_divided() -> None:
    tiny, plain = tiny_system(domain="answers", lstm_dropout=0.4), tiny_system(domain="answers")
    for step in (3, 5):  # the short one at the end of an epoch, and one of the next
        batch = sampler_of("answers", batch_size=7).batch(step)
        wanted_loss = loss_of_plain_autograd(tiny, batch)
        undropped = EndToEndUnique(plain.system).gradients(batch).loss
        assert float(undropped) != pytest.approx(wanted_loss, abs=1e-3)


@pytest.mark.parametrize("domain", DOMAINS)
@pytest.mark.parametrize("micro_batch", [6, 4])
def test_checkpointing_keeps_every_gradient(micro_batch: int, domain: str) -> None:
    tiny, batch = tiny_system(domain=domain), sampler_of(domain).batch(0)
    LiteralE2E(tiny).gradients(batch)
    wanted = tiny.take_gradients()
    tiny.encoder.checkpoint_layers()
    EndToEnd(tiny.system, micro_batch).gradients(batch)
    assert_same(tiny.take_gradients(), wanted)
    tiny.encoder.backbone.embeddings.requires_grad_(False)  # the first layer's input then has no gradient
    EndToEnd(tiny.system, micro_batch).gradients(batch)
    found = tiny.take_gradients()
    trained = [name for name in found if "embeddings" not in name]
    assert_same({name: found[name] for name in trained}, {name: wanted[name] for name in trained})


@pytest.mark.parametrize("domain", DOMAINS)
@settings(max_examples=15)
@given(st.integers(0, 1000), st.integers(0, 7), st.integers(1, 40), st.integers(1, 8))
def test_chunk_and_micro_batch_never_matter(
    domain: str, seed: int, step: int, chunk: int, micro_batch: int
) -> None:
    sampler = sampler_of(domain, seed, batch_size=8)
    batch = sampler.batch(step % sampler.total_steps)
    tiny = tiny_system(seed, domain=domain)
    EndToEndUnique(tiny.system).gradients(batch)
    wanted = tiny.take_gradients()
    SingleStep(tiny.system, chunk).gradients(batch)
    assert_same(tiny.take_gradients(), wanted)
    EndToEnd(tiny.system, micro_batch).gradients(batch)
    assert_same(tiny.take_gradients(), wanted)


@pytest.mark.parametrize("domain", DOMAINS)
@pytest.mark.parametrize("name", ["e2e", "e2e-unique", "gram-1s"])
def test_no_gradient_survives_a_step(name: str, domain: str) -> None:
    tiny, sampler = tiny_system(domain=domain), sampler_of(domain)
    strategy = make_strategy(name, tiny.system, sampler, spec=Spec(), micro_batch=4, encoder_chunk=7, seed=0)
    strategy.step(sampler.batch(0))
    assert all(p.grad is None for p in (*tiny.encoder.parameters(), *tiny.filter.parameters()))


def counted(items: list[int]) -> dict[int, int]:
    return {item: items.count(item) for item in set(items)}


@pytest.mark.parametrize("domain", DOMAINS)
def test_single_step_encodes_each_unique_item_once(domain: str) -> None:
    tiny, batch = tiny_system(domain=domain), sampler_of(domain).batch(0)
    result = SingleStep(tiny.system).step(batch)
    unique = batch.unique().items_N.tolist()
    assert tiny.spy.times(with_graph=True) == dict.fromkeys(unique, 1)
    assert tiny.spy.times(with_graph=False) == {}
    assert tiny.spy.counts.items == result.unique_items == len(unique)
    assert tiny.spy.counts.tokens == int(tiny.spy.tokens.lengths[unique].sum())


@pytest.mark.parametrize("domain", DOMAINS)
def test_recomputation_encodes_each_unique_item_once_without_and_once_with_a_graph(domain: str) -> None:
    tiny, batch = tiny_system(domain=domain), sampler_of(domain).batch(0)
    result = SingleStep(tiny.system, 4).step(batch)
    unique = batch.unique().items_N.tolist()
    assert tiny.spy.times(with_graph=True) == tiny.spy.times(with_graph=False) == dict.fromkeys(unique, 1)
    assert all(len(call.ids) <= 4 for call in tiny.spy.seen)
    assert result.unique_items == len(unique)
    assert tiny.spy.counts.items == 2 * len(unique)


@pytest.mark.parametrize("domain", DOMAINS)
@pytest.mark.parametrize("micro_batch", [1, 4, 100])
def test_e2e_encodes_each_occurrence_once_and_never_padding(micro_batch: int, domain: str) -> None:
    tiny, batch = tiny_system(domain=domain), sampler_of(domain).batch(0)
    assert not (batch.mask_BH if domain == "news" else batch.mask_BL).all()
    result = EndToEnd(tiny.system, micro_batch).step(batch)
    assert tiny.spy.times(with_graph=True) == counted(batch.occurrences().items_N.tolist())
    assert tiny.spy.times(with_graph=False) == {}
    assert result.occurrences == result.unique_items == tiny.spy.counts.items
    assert len(tiny.spy.seen) == -(-batch.users // micro_batch)


def test_a_loss_across_users_encodes_each_occurrence_again_micro_batch_by_micro_batch() -> None:
    tiny, batch = tiny_system(kind="sasrec in-batch"), sampler_of("news").batch(0)
    result = EndToEnd(tiny.system, 4).step(batch)
    occurrences = batch.occurrences().items_N.tolist()
    assert tiny.spy.times(with_graph=False) == tiny.spy.times(with_graph=True) == counted(occurrences)
    assert [call.with_graph for call in tiny.spy.seen] == [False, False, True, True]
    assert result.occurrences == result.unique_items == len(occurrences)


@pytest.mark.parametrize("domain", DOMAINS)
def test_e2e_unique_encodes_each_unique_item_once(domain: str) -> None:
    tiny, batch = tiny_system(domain=domain), sampler_of(domain).batch(0)
    EndToEndUnique(tiny.system).step(batch)
    assert tiny.spy.times(with_graph=True) == dict.fromkeys(batch.unique().items_N.tolist(), 1)
