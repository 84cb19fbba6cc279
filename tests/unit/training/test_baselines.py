"""The paper's other systems: what trains, what stays, and what evaluation reads."""

import copy
import itertools
import math
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from tiny_systems import (
    CPU,
    DOMAINS,
    HEADS,
    ITEMS,
    LR,
    QUERY,
    VOCABULARY,
    Tiny,
    assert_same,
    encoder_spec,
    over_table,
    random_sequences,
    sampler_of,
    tiny_data,
    tiny_system,
    widen,
)

from grambench.config.baselines import GPTArchitecture, LanguageModel
from grambench.config.baselines import NoFinetune as NoFinetuneSpec
from grambench.config.baselines import SpeedyFeed as SpeedyFeedSpec
from grambench.config.data import Data
from grambench.config.networks import Filter
from grambench.config.optimizer import Optimizer
from grambench.config.spec import MultiStep as MultiStepSpec
from grambench.config.spec import Spec, Training
from grambench.data.prepared.tokens import without
from grambench.domains.knowledge_tracing.evaluate import AnswerEvaluator
from grambench.metrics.binary import auc
from grambench.models.encoders.buckets import ItemEncoder
from grambench.models.encoders.free import FreeItemEncoder, FreeVectors, PulledItemEncoder, PulledVectors
from grambench.training import memory_plan
from grambench.training.memory_plan import plan_users
from grambench.training.optim import ScheduledAdam
from grambench.training.phases import System
from grambench.training.protocols import Batch
from grambench.training.strategies import make_strategy
from grambench.training.strategies.filter_only import FilterOnly
from grambench.training.strategies.no_finetune import NoFinetune, TrainedPooling
from grambench.training.strategies.single_step import SingleStep
from grambench.training.strategies.speedyfeed import SpeedyFeed
from grambench.training.system import Modules, build_system
from grambench.worker.planning import word_warnings

SPEC = Spec(encoder=encoder_spec(), filter=Filter(nrms={"heads": HEADS, "query": QUERY}))
PULL, FREE_LR = 0.3, 0.02
SETTINGS = Spec(multi_step=MultiStepSpec(encoder_batch=7), crcf={"pull": PULL})


def strategy_of(name: str, system: System, sampler: Any) -> Any:
    return make_strategy(name, system, sampler, spec=SETTINGS, micro_batch=6, encoder_chunk=None, seed=5)


def run(name: str, system: System, sampler: Any) -> None:
    strategy = strategy_of(name, system, sampler)
    for step in range(sampler.total_steps):
        strategy.step(sampler.batch(step))


@pytest.mark.parametrize("domain", DOMAINS)
def test_nofinetune_encodes_each_item_once_and_trains_the_filter_alone(domain: str) -> None:
    tiny, sampler = tiny_system(domain=domain), sampler_of(domain)
    before = tiny.parameters()
    run("nofinetune", tiny.system, sampler)
    after = tiny.parameters()
    assert all(torch.equal(after[name], before[name]) for name in before if name.startswith("encoder."))
    assert any(not torch.equal(after[name], before[name]) for name in before if name.startswith("filter."))
    items = sampler.items_ahead(0, sampler.total_steps).tolist()
    assert tiny.spy.times(with_graph=False) == dict.fromkeys(items, 1)
    assert tiny.spy.times(with_graph=True) == {}


@pytest.mark.parametrize("domain", DOMAINS)
def test_nofinetune_is_the_filter_on_vectors_that_stay(domain: str) -> None:
    tiny, reference, sampler = tiny_system(domain=domain), tiny_system(domain=domain), sampler_of(domain)
    run("nofinetune", tiny.system, sampler)
    with torch.no_grad():
        vectors = reference.system.encode(np.arange(ITEMS))
    for step in range(sampler.total_steps):
        batch = sampler.batch(step)
        (reference.filter.loss(vectors, over_table(batch)) / batch.users).backward()
        reference.system.filter_optimizer.step()
    for name, value in reference.parameters().items():
        assert torch.allclose(tiny.parameters()[name], value, atol=1e-10)


@pytest.mark.parametrize("domain", DOMAINS)
def test_nocontent_trains_rows_that_were_met_and_no_other(domain: str) -> None:
    tiny, sampler = tiny_system(domain=domain), sampler_of(domain, max_steps=1)
    torch.manual_seed(0)
    free = FreeVectors(ITEMS, tiny.encoder.width).double()
    tiny.system.encode = FreeItemEncoder(free, tiny.spy.tokens)
    tiny.system.encoder_optimizer.parameters.clear()
    before = free.rows_ID.detach().clone()
    batch = sampler.batch(0)
    strategy_of("nocontent", tiny.system, sampler).gradients(batch)
    met = batch.unique().items_N
    rows = torch.zeros(ITEMS, dtype=torch.bool)
    rows[met] = True
    assert free.rows_ID.grad[rows].abs().sum(dim=1).min() > 0
    assert not free.rows_ID.grad[~rows].any()
    assert torch.equal(tiny.system.encode(met.numpy()), before[met])
    assert tiny.system.encode.counts.tokens == 0


def pulled(tiny: Tiny, from_content: bool = True) -> PulledVectors:
    """The tiny system with free vectors beside its encoder, trained at a rate of their own."""
    torch.manual_seed(1)
    vectors = PulledVectors(tiny.encoder, ITEMS, from_content=from_content).double()
    tiny.system.encode = ItemEncoder(vectors, tiny.spy.tokens, 128)
    filter_parameters = tiny.filter.parameters()
    tiny.system.filter_optimizer = ScheduledAdam(
        filter_parameters, Optimizer(lr=LR), vectors.free, Optimizer(lr=FREE_LR)
    )
    return vectors


class LiteralCRCF:
    """Both losses written down, with a vector of every item, by plain autograd and torch's own Adam."""

    def __init__(self, tiny: Tiny, vectors: PulledVectors) -> None:
        self.tiny, self.free, self.from_content = tiny, vectors.free.rows_ID, vectors.from_content
        self.met: set[int] = set()
        groups = [{"params": list(tiny.filter.parameters())}, {"params": [self.free], "lr": FREE_LR}]
        self.adam = torch.optim.Adam(groups, lr=LR)

    def step(self, batch: Batch) -> None:
        items = batch.unique().items_N
        content = self.tiny.system.encode(np.arange(ITEMS))
        for item in set(items.tolist()) - self.met:
            if self.from_content:
                self.free.data[item] = content.data[item]
            self.met.add(item)
        pull = (self.free[items] - content[items].detach()).square().sum()
        loss = (self.tiny.filter.loss(self.free, over_table(batch)) + PULL * pull) / batch.users
        regress = 0.5 * (content[items] - self.free[items].detach()).square().sum() / len(items)
        (loss + regress).backward()
        self.adam.step()
        self.adam.zero_grad()
        self.tiny.system.encoder_optimizer.step()


@pytest.mark.parametrize(("domain", "from_content"), [("news", True), ("answers", True), ("news", False)])
def test_crcf_step_is_both_losses_written_down(domain: str, from_content: bool) -> None:
    sampler = sampler_of(domain)
    fast, slow = tiny_system(domain=domain), tiny_system(domain=domain)
    vectors, reference = pulled(fast, from_content), pulled(slow, from_content)
    literal = LiteralCRCF(slow, reference)
    strategy = strategy_of("crcf-1s", fast.system, sampler)
    for step in range(sampler.steps_per_epoch):
        strategy.step(sampler.batch(step))
        literal.step(sampler.batch(step))
    assert_same(fast.parameters(), slow.parameters())
    difference = vectors.free.rows_ID - reference.free.rows_ID
    assert float(difference.detach().abs().max()) < 1e-9
    met = sampler.items_ahead(0, sampler.steps_per_epoch)
    assert vectors.met_I.nonzero().squeeze(1).tolist() == met.tolist()


@pytest.mark.parametrize("name", ["crcf-1s", "crcf-1e"])
def test_crcf_vectors_start_at_their_texts_when_training_first_meets_them(name: str) -> None:
    tiny, sampler = tiny_system(), sampler_of("news")
    vectors = pulled(tiny)
    before = vectors.free.rows_ID.detach().clone()
    strategy = strategy_of(name, tiny.system, sampler)
    strategy.warm_up(sampler.batch(0))
    assert torch.equal(vectors.free.rows_ID, before)
    assert not vectors.met_I.any()
    with torch.no_grad():
        content = tiny.system.encode(np.arange(ITEMS))
    strategy.step(sampler.batch(0))
    met = vectors.met_I
    assert met.nonzero().squeeze(1).tolist() == sampler.batch(0).unique().items_N.tolist()
    assert torch.equal(vectors.free.rows_ID[~met], before[~met])
    moved = (vectors.free.rows_ID[met] - content[met]).abs()
    assert 0 < float(moved.detach().max()) < 1.01 * FREE_LR  # one step of Adam from the text's vector
    assert float((before[met] - content[met]).abs().max()) > 0.1


@pytest.mark.parametrize("domain", DOMAINS)
def test_crcf_epoch_holds_the_texts_fixed_then_lets_the_encoder_follow(domain: str) -> None:
    tiny, sampler = tiny_system(domain=domain), sampler_of(domain)
    vectors = pulled(tiny, from_content=False)  # far enough from the texts for one pass to come nearer
    strategy = strategy_of("crcf-1e", tiny.system, sampler)
    before = copy.deepcopy(tiny.encoder.state_dict())
    for step in range(sampler.steps_per_epoch - 1):
        strategy.step(sampler.batch(step))
        assert all(torch.equal(value, before[name]) for name, value in tiny.encoder.state_dict().items())
    with torch.no_grad():
        items = sampler.items_ahead(0, sampler.steps_per_epoch)
        far = (tiny.system.encode(items) - vectors.free(torch.from_numpy(items))).norm(dim=1).mean()
    closed = strategy.step(sampler.batch(sampler.steps_per_epoch - 1)).window
    assert (closed.steps, closed.unique_items) == (sampler.steps_per_epoch, len(items))
    assert closed.occurrences == sum(
        sampler.batch(step).unique().occurrences for step in range(sampler.steps_per_epoch)
    )
    assert float(closed.drift) > 0
    with torch.no_grad():
        near = (tiny.system.encode(items) - vectors.free(torch.from_numpy(items))).norm(dim=1).mean()
    assert float(near) < float(far)
    assert strategy.content is None


def test_crcf_serves_free_vectors_of_items_met_and_texts_of_the_others() -> None:
    tiny = tiny_system()
    vectors = pulled(tiny)
    vectors.met_I[[2, 5]] = True
    served = PulledItemEncoder(vectors, tiny.spy.tokens, 128)
    items = np.array([5, 1, 2, 30])
    with torch.no_grad():
        found, content = served(items), tiny.system.encode(items)
    free = vectors.free.rows_ID.detach()
    assert torch.equal(found[[0, 2]], free[[5, 2]])
    assert torch.allclose(found[[1, 3]], content[[1, 3]], atol=1e-12)


@pytest.mark.parametrize("name", ["nocontent", "crcf-1s"])
def test_free_vectors_train_at_a_rate_of_their_own(name: str) -> None:
    rates = {"filter_optimizer": Optimizer(lr=LR, schedule="noam", warmup_steps=2)}
    free_rates = {"optimizer": {"lr": FREE_LR, "schedule": "noam", "warmup_steps": 4}}
    tables = Spec.model_validate({name.removesuffix("-1s"): free_rates})
    spec = SPEC.model_copy(update={**rates, "crcf": tables.crcf, "nocontent": tables.nocontent})
    system, modules = build_system(spec, tiny_data(), CPU, seed=0, strategy=name)
    assert sum(
        p.numel() for group in system.filter_optimizer._adam.param_groups for p in group["params"]
    ) == sum(p.numel() for p in system.filter_optimizer.parameters)
    assert system.filter_optimizer.rate() == LR / 2
    for _ in range(2):
        system.filter_optimizer.step()
    assert [group["lr"] for group in system.filter_optimizer._adam.param_groups] == [LR, FREE_LR / 2]
    held = {id(p) for p in system.filter_optimizer.parameters}
    free = modules.encoder if name == "nocontent" else modules.encoder.free
    assert id(free.rows_ID) in held
    assert id(free.rows_ID) not in {id(p) for p in system.encoder_optimizer.parameters}
    every = [*modules.encoder.parameters(), *modules.filter.parameters()]
    optimised = [*system.encoder_optimizer.parameters, *system.filter_optimizer.parameters]
    assert sorted(map(id, every)) == sorted(map(id, optimised))


LANGUAGE_MODEL = LanguageModel(
    architecture=GPTArchitecture(hidden_size=8, layers=1, heads=2, positions=48), context=40
)


def lm_kt_system() -> tuple[System, Modules]:
    data = tiny_data()
    data.manifest.tokenizer.cls_id, data.manifest.tokenizer.sep_id = 2, 3
    own = {"language_model": LANGUAGE_MODEL, "encoder_optimizer": Optimizer(lr=0.01)}
    return build_system(SPEC.model_copy(update=own), data, CPU, seed=0, strategy="lm-kt", dtype=torch.float64)


def test_lm_kt_is_all_filter_at_the_encoders_rate() -> None:
    system, modules = lm_kt_system()
    assert list(modules.encoder.parameters()) == []
    assert system.filter_optimizer.rate() == 0.01
    assert modules.filter.context == 40
    assert modules.filter.markers.question == VOCABULARY
    assert system.encode(np.array([3, 1])).shape == (2, 0)
    assert system.encode.counts.items == 0


@pytest.mark.parametrize("micro_batch", [1, 4])
def test_lm_kt_accumulates_the_gradient_of_the_whole_batch(micro_batch: int) -> None:
    gradients, losses = [], []
    batch = sampler_of("answers").batch(0)
    for size in (micro_batch, batch.users):
        system, modules = lm_kt_system()
        result = FilterOnly(system, size).gradients(batch)
        gradients.append([parameter.grad for parameter in modules.filter.parameters()])
        losses.append(float(result.loss))
        assert (result.occurrences, result.unique_items) == (int(batch.mask_BL.sum()), 0)
    assert losses[0] == pytest.approx(losses[1], abs=1e-10)
    for found, wanted in zip(*gradients, strict=True):
        assert torch.allclose(found, wanted, atol=1e-12)


def test_lm_kt_learns_a_batch_by_heart() -> None:
    system, _ = lm_kt_system()
    sampler = sampler_of("answers")
    strategy = strategy_of("lm-kt", system, sampler)
    losses = [float(strategy.step(sampler.batch(0)).loss) for _ in range(60)]
    assert losses[-1] < losses[0] / 3


def test_the_evaluator_scores_lm_kt_as_a_call_of_its_own() -> None:
    system, modules = lm_kt_system()
    widen(modules.filter)
    part = random_sequences(4)
    evaluation = AnswerEvaluator(part, np.zeros(0, np.int32), length=7, max_sequences=None, device=CPU)(
        system.encode, modules.filter
    )
    labels, scores = [], []
    for start, stop in itertools.pairwise(part.offsets.tolist()):
        kept = slice(max(start, stop - 7), stop)
        view = SimpleNamespace(
            host_items_N=part.items[kept].astype(np.int64),
            asked_BL=torch.arange(kept.stop - kept.start)[None],
            mask_BL=torch.ones(1, kept.stop - kept.start, dtype=torch.bool),
            correct_BL=torch.from_numpy(part.correct[kept].astype(np.int64))[None],
        )
        with torch.no_grad():
            logits = modules.filter.scores(torch.empty(0), view)[0].numpy()
        scored = part.scored[kept] == 1
        labels += part.correct[kept][scored].tolist()
        scores += logits[scored].tolist()
    assert evaluation.metrics["auc"] == pytest.approx(
        auc(np.array(labels), np.array(scores, np.float32)), abs=1e-12
    )
    assert evaluation.impressions == len(labels)


def test_lm_kt_plans_the_users_that_memory_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    system, modules = lm_kt_system()
    batch = sampler_of("answers").batch(0)
    limits = modules.filter.limits()
    plenty = plan_users(system, batch, Training(), CPU, limits)
    assert plenty.micro_batch == batch.users
    assert plenty.why.startswith("rows of 40 tokens; ")
    assert all(parameter.grad is None for parameter in modules.filter.parameters())
    per_user = float(re.search(r"([\d.]+) MiB saved", plenty.why)[1]) * 2**20
    monkeypatch.setattr(memory_plan, "free_bytes", lambda _: int(2.5 * per_user * 1.4 / 0.6))
    assert plan_users(system, batch, Training(), CPU, limits).micro_batch == 2
    assert plan_users(system, batch, Training(micro_batch=5), CPU, limits).micro_batch == 5


def test_speedyfeed_without_lookups_is_single_step() -> None:
    sampler = sampler_of("news")
    fast, slow = tiny_system(), tiny_system()
    strategy = SpeedyFeed(fast.system, sampler, SpeedyFeedSpec(beta=1e-300), 5)
    for step in range(sampler.steps_per_epoch):
        strategy.step(sampler.batch(step))
        SingleStep(slow.system).step(sampler.batch(step))
    assert_same(fast.parameters(), slow.parameters())


def test_speedyfeed_encodes_what_the_cache_does_not_hold_or_holds_too_long() -> None:
    sampler, tiny = sampler_of("news", epochs=3), tiny_system()
    strategy = SpeedyFeed(tiny.system, sampler, SpeedyFeedSpec(beta=1e9, expiry=2), 5)
    encoded_at: dict[int, int] = {}
    for step in range(sampler.total_steps):
        batch = sampler.batch(step)
        wanted = [
            item
            for item in batch.unique().items_N.tolist()
            if step == 0 or item not in encoded_at or step - encoded_at[item] > 2
        ]
        encoded_at |= dict.fromkeys(wanted, step)
        calls = len(tiny.spy.seen)
        result = strategy.step(batch)
        found = [item for call in tiny.spy.seen[calls:] for item in call.ids]
        assert found == wanted
        assert result.unique_items == len(wanted)
    assert len(encoded_at) < tiny.spy.counts.items < sampler.total_steps * ITEMS


def test_speedyfeed_draws_once_a_step_and_never_at_the_first() -> None:
    """At the first step nothing is cached; later all that is fresh enough is read, or all is encoded."""
    sampler, tiny = sampler_of("news", epochs=3), tiny_system()
    spec = SpeedyFeedSpec(beta=0.05)
    assert (spec.expiry, spec.draw) == (2, "step")
    strategy = SpeedyFeed(tiny.system, sampler, spec, 5)
    encoded_at = np.full(ITEMS, -99)
    used = []
    for step in range(sampler.total_steps):
        batch = sampler.batch(step)
        items = batch.unique().host_items_N
        fresh = items[step - encoded_at[items] > 2]
        encoded = strategy.step(batch).unique_items
        assert encoded in (len(fresh), len(items))
        used.append(encoded < len(items))
        encoded_at[strategy.encoded_at_I == step] = step
    assert not used[0]
    expected = sum(1 - math.exp(-0.05 * step) for step in range(sampler.total_steps))
    assert abs(sum(used) - expected) < 3 * math.sqrt(expected)
    assert 0 < sum(used) < len(used)


def test_speedyfeed_may_draw_for_each_item() -> None:
    sampler, tiny = sampler_of("news", epochs=6), tiny_system()
    strategy = SpeedyFeed(tiny.system, sampler, SpeedyFeedSpec(beta=0.02, expiry=99, draw="item"), 5)
    strategy.encoded_at_I[:] = 0
    drawn = [strategy._looked_up(step, np.arange(ITEMS)) for step in range(40)]
    assert any(0 < looked_up.sum() < ITEMS for looked_up in drawn)


@pytest.mark.parametrize("cache_gib", [4.0, 0.0])
def test_nofinetune_trains_its_pooling_and_leaves_the_transformer(cache_gib: float) -> None:
    """As single-step GRAM without the transformer's gradient; with states that are kept, or made anew."""
    rates = {"encoder_optimizer": Optimizer(lr=LR), "filter_optimizer": Optimizer(lr=LR)}
    spec = SPEC.model_copy(update={**rates, "encoder": encoder_spec(dropout=0.1)})
    sampler = sampler_of("news")
    built = {}
    for name in ("nofinetune", "gram-1s"):
        system, modules = build_system(spec, tiny_data(), CPU, seed=0, strategy=name, dtype=torch.float64)
        before = copy.deepcopy(modules.encoder.state_dict())
        if name == "gram-1s":
            modules.encoder.backbone.eval()
            system.encoder_optimizer = ScheduledAdam(modules.encoder.pool.parameters(), Optimizer(lr=LR))
        kept = SETTINGS.model_copy(update={"nofinetune": NoFinetuneSpec(cache_gib=cache_gib)})
        strategy = make_strategy(name, system, sampler, spec=kept, micro_batch=6, encoder_chunk=5, seed=5)
        strategy.warm_up(sampler.batch(0))
        assert system.encode.counts.items == 0
        for step in range(sampler.steps_per_epoch + 1):
            strategy.step(sampler.batch(step))
            modules.encoder.zero_grad()
        built[name] = modules.state_dict()
        for key, value in modules.encoder.state_dict().items():
            assert torch.equal(value, before[key]) is not key.startswith("pool."), key
        if name == "nofinetune":
            assert all(parameter.grad is None for parameter in modules.encoder.backbone.parameters())
            if cache_gib:  # each item once, when an epoch first brings it
                assert isinstance(strategy, TrainedPooling)
                assert system.encode.counts.items == len(sampler.items_ahead(0, 2 * sampler.steps_per_epoch))
    for key, value in built["gram-1s"].items():
        assert torch.allclose(built["nofinetune"][key], value, rtol=0, atol=1e-12), key


@pytest.mark.parametrize(
    ("pooling", "rule"), [("mean", "trained"), ("cls", "trained"), ("attention", "untrained")]
)
def test_nofinetune_without_a_pooling_to_train_encodes_each_item_once(pooling: str, rule: str) -> None:
    encoder = encoder_spec(pooling=pooling)
    spec = SPEC.model_copy(update={"encoder": encoder, "nofinetune": NoFinetuneSpec(pooling=rule)})
    system, modules = build_system(spec, tiny_data(), CPU, seed=0, strategy="nofinetune")
    assert isinstance(strategy_of("nofinetune", system, sampler_of("news")), NoFinetune)
    assert not modules.encoder.is_frozen


def test_speedyfeed_gives_cached_items_their_vector_and_no_gradient() -> None:
    sampler, tiny = sampler_of("news"), tiny_system()
    strategy = SpeedyFeed(tiny.system, sampler, SpeedyFeedSpec(beta=1e9, expiry=9), 5)
    strategy.gradients(sampler.batch(0))
    tiny.take_gradients()
    cached = set(sampler.batch(0).unique().items_N.tolist())
    batch = sampler.batch(1)
    view = batch.unique()
    held = torch.tensor([item in cached for item in view.items_N.tolist()])
    assert held.any()
    assert not held.all()
    strategy.gradients(batch)
    found = tiny.take_gradients()
    vectors = tiny.system.encode(view.host_items_N)
    (tiny.filter.loss(torch.where(held[:, None], vectors.detach(), vectors), view) / batch.users).backward()
    assert_same(found, tiny.take_gradients())


def test_special_tokens_are_no_words() -> None:
    tokens, offsets = np.array([2, 7, 8, 3, 2, 3, 2, 9, 3], np.int32), np.array([0, 4, 6, 9])
    kept, ends = without((2, 3), tokens, offsets)
    assert kept.tolist() == [7, 8, 2, 9]
    assert ends.tolist() == [0, 2, 3, 4]


def test_a_system_of_the_other_domain_is_refused() -> None:
    with pytest.raises(ValueError, match="eernn is a system for knowledge-tracing, but the data is news"):
        Spec(training={"strategies": ("eernn",)})
    with pytest.raises(ValueError, match="protocol = paper is for news"):
        Spec(data=Data(source="tables", protocol="paper"))
    with pytest.raises(ValueError, match="nrms is a system for news"):
        Spec(data=Data(source="tables"), training={"strategies": ("nrms",)})


def test_word_baselines_are_built_on_the_vectors_of_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = [f"w{n}" for n in range(50)]
    rows = [f"{word} .1 .2 -.{n + 1} .4\n" for n, word in enumerate(words)]
    (tmp_path / "glove.txt").write_text("".join(rows))
    data = tiny_data()
    data.manifest.tokenizer.cls_id, data.manifest.tokenizer.sep_id = 2, 3
    monkeypatch.setattr(type(data), "vocabulary", lambda _: words)
    own = SPEC.words.model_copy(update={"vectors": str(tmp_path / "glove.txt"), "width": 16})
    spec = SPEC.model_copy(update={"words": own})
    system, modules = build_system(spec, data, CPU, seed=0, strategy="nrms")
    assert modules.encoder.words.weight.shape == (50, 4)
    assert system.encode(np.array([0, 5, 3])).shape == (3, 16)
    assert list(word_warnings(modules, system)) == []
    (tmp_path / "glove.txt").write_text("".join(rows[:40]))
    system, modules = build_system(spec, data, CPU, seed=0, strategy="nrms")
    (warning,) = word_warnings(modules, system)
    share = 100 * float((system.encode.tokens.host_flat >= 40).mean())
    assert warning.message.startswith(
        f"10 of 50 words have no pretrained vector ({share:.1f} % of the items' words)"
    )
