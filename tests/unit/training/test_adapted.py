"""Every `encoder.adapt`, with cached states and without: one gradient and one trajectory, in float64."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from tiny_systems import (
    CPU,
    DOMAINS,
    HEADS,
    LR,
    QUERY,
    VOCABULARY,
    WIDTH,
    assert_same,
    encode_one_by_one,
    encoder_spec,
    item_tokens,
    sampler_of,
    widen,
)
from torch import Tensor, nn

from grambench.config.networks import Encoder
from grambench.config.optimizer import Optimizer
from grambench.config.spec import MultiStep as MultiStepSpec
from grambench.models.encoders.adapt import adapted, over_states
from grambench.models.encoders.buckets import ItemEncoder
from grambench.models.encoders.load import load_encoder
from grambench.models.encoders.packed import PackedRows
from grambench.models.encoders.states import CachedItemEncoder
from grambench.models.filters.nrms import NRMS
from grambench.models.filters.tracer import LSTMTracer
from grambench.training.optim import ScheduledAdam
from grambench.training.phases import System
from grambench.training.protocols import Batch, Strategy
from grambench.training.strategies.e2e import EndToEnd, EndToEndUnique
from grambench.training.strategies.multi_step import MultiStep
from grambench.training.strategies.single_step import SingleStep
from grambench.training.strategies.windows import FixedWindow
from grambench.training.timing import TrainClock

ADAPTS: dict[str, dict[str, Any]] = {
    "freeze": {"adapt": "freeze", "freeze": {"layers": 1}},
    "side": {"adapt": "side", "side": {"layers": 2, "pool": "mean", "width": 3}},
    "none": {"adapt": "none"},
    "lora": {"adapt": "lora", "lora": {"rank": 2, "targets": "all-linear"}},
    "lora above": {"adapt": "lora", "lora": {"rank": 2, "frozen_layers": 1}},
}
ONE_STEP: dict[str, Callable[[System], Any]] = {
    "e2e": lambda system: EndToEnd(system, 6),
    "e2e in micro-batches": lambda system: EndToEnd(system, 4),
    "e2e-unique": EndToEndUnique,
    "gram-1s": SingleStep,
    "gram-1s in chunks": lambda system: SingleStep(system, 5),
}


class Adapted:
    """A tiny system whose encoder is trained in part."""

    def __init__(
        self, adapt: str, domain: str, cache: str = "auto", packed: bool = False, checkpointed: bool = False
    ) -> None:
        spec = encoder_spec(**ADAPTS[adapt], cache=cache)
        torch.manual_seed(0)
        text = load_encoder(spec, VOCABULARY, autocast=False).double()
        widen(text)
        if checkpointed:
            text.checkpoint_layers()
        self.encoder = adapted(text, spec).double()
        torch.manual_seed(1)
        for parameter in self.encoder.parameters():
            if parameter.requires_grad:
                nn.init.normal_(parameter, std=0.2)
        kinds = {"news": lambda: NRMS(WIDTH, HEADS, QUERY), "answers": lambda: LSTMTracer(WIDTH, 2, 0.0, 11)}
        self.filter = kinds[domain]().double()
        widen(self.filter)
        self.tokens = item_tokens()
        layout = PackedRows(int(self.tokens.lengths.max()), 128) if packed else None
        self.system = self._system(spec, ItemEncoder(self.encoder, self.tokens, 128, layout))
        self.encoder.train()

    def _system(self, spec: Encoder, plain: ItemEncoder) -> System:
        encode = over_states(self.encoder, plain, spec)
        if isinstance(encode, CachedItemEncoder):
            encode.states.in_fp16 = False
        rates, parameters = Optimizer(lr=LR), self.encoder.parameters()
        optimizers = ScheduledAdam(parameters, rates), ScheduledAdam(self.filter.parameters(), rates)
        return System(encode, self.filter, *optimizers, TrainClock(CPU))

    def modules(self) -> tuple[tuple[str, nn.Module], ...]:
        return ("encoder", self.encoder), ("filter", self.filter)

    def parameters(self) -> dict[str, Tensor]:
        named = [pair for prefix, module in self.modules() for pair in module.named_parameters(prefix=prefix)]
        return {name: parameter.detach().clone() for name, parameter in named}

    def take_gradients(self) -> dict[str, Tensor]:
        taken = {}
        for prefix, module in self.modules():
            for name, parameter in module.named_parameters(prefix=prefix):
                taken[name] = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
                parameter.grad = None
        return taken

    def literal(self, batch: Batch) -> dict[str, Tensor]:
        """Autograd through unbatched, unpadded, uncached encodings of every occurrence, a user at a time."""
        for user in batch.split(1):
            view = user.occurrences()
            vectors = encode_one_by_one(self.encoder, self.tokens, view.items_N.tolist())
            (self.filter.loss(vectors, view) / batch.users).backward()
        return self.take_gradients()


@pytest.mark.parametrize("domain", DOMAINS)
@pytest.mark.parametrize("adapt", ADAPTS)
def test_gradients_over_cached_states_are_those_of_plain_autograd(adapt: str, domain: str) -> None:
    adapted_, batch = Adapted(adapt, domain), sampler_of(domain).batch(0)
    wanted = adapted_.literal(batch)
    for build in ONE_STEP.values():
        build(adapted_.system).gradients(batch)
        assert_same(adapted_.take_gradients(), wanted)
    checkpointed = Adapted(adapt, domain, checkpointed=True)
    EndToEnd(checkpointed.system, 4).gradients(batch)
    assert_same(checkpointed.take_gradients(), wanted)
    frozen = {name for name, p in adapted_.encoder.named_parameters(prefix="encoder") if not p.requires_grad}
    assert frozen
    assert all(not float(wanted[name].abs().max()) for name in frozen)


def multi_step(made: Adapted, domain: str) -> Strategy:
    sampler = sampler_of(domain)
    rule = FixedWindow(3, sampler.steps_per_epoch)
    return MultiStep(made.system, sampler, MultiStepSpec(encoder_batch=7), rule, 0, 4)


@pytest.mark.parametrize("domain", DOMAINS)
@pytest.mark.parametrize("adapt", ADAPTS)
@pytest.mark.parametrize("build", ["e2e in micro-batches", "gram-1s in chunks", "gram-3s"])
def test_a_trajectory_does_not_depend_on_the_cache(build: str, adapt: str, domain: str) -> None:
    sampler, start = sampler_of(domain), Adapted(adapt, domain).parameters()
    found = []
    for cache, packed in (("off", False), ("auto", False), ("auto", True)):
        made = Adapted(adapt, domain, cache, packed)
        strategy = multi_step(made, domain) if build == "gram-3s" else ONE_STEP[build](made.system)
        for step in range(4):
            strategy.step(sampler.batch(step))
        found.append(made.parameters())
    for other in found[1:]:
        assert_same(other, found[0])
    moved = {name for name in start if not torch.equal(found[0][name], start[name])}
    trained = {name for name, p in made.encoder.named_parameters(prefix="encoder") if p.requires_grad}
    assert {name for name in moved if name.startswith("encoder.")} == trained
