"""Schedules over the planned training, weight decay and clipping, as strategies use them."""

import math
from itertools import pairwise

import pytest
import tiny_systems as made
import torch
from torch import Tensor

from grambench.config.optimizer import Optimizer
from grambench.config.spec import MultiStep, Spec
from grambench.data.batches.base import PlannedShare
from grambench.domains.news.sampler import NewsSampler
from grambench.training.optim import ScheduledAdam, decaying
from grambench.training.protocols import Strategy
from grambench.training.schedules import rate_at
from grambench.training.strategies import make_strategy
from grambench.training.strategies.single_step import SingleStep
from grambench.training.system import Modules
from grambench.worker import resume

STEPS = 10
EVERYTHING = Optimizer(lr=made.LR, schedule="cosine", warmup_share=0.3, clip_norm=0.05, weight_decay=0.3)


def over(spec: Optimizer) -> list[float]:
    """The rates of a training of equal steps."""
    return [rate_at(spec, 1, progress) for progress in PlannedShare(0.0, 1.0).split(STEPS)]


def test_linear_rises_over_the_warm_up_and_falls_to_0_behind_the_last_update() -> None:
    found = over(Optimizer(lr=0.6, schedule="linear", warmup_share=0.4))
    assert found == pytest.approx([0.15, 0.3, 0.45, 0.6, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1])


def test_cosine_falls_along_half_a_wave() -> None:
    found = over(Optimizer(lr=2.0, schedule="cosine", warmup_share=0.5))
    assert found == pytest.approx(
        [0.4, 0.8, 1.2, 1.6, 2.0] + [1 + math.cos(math.pi * step / 5) for step in range(5)]
    )


def test_no_warm_up_begins_at_the_peak() -> None:
    assert over(Optimizer(lr=1.0, schedule="linear", warmup_share=0.0)) == pytest.approx(
        [1 - step / STEPS for step in range(STEPS)]
    )


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_a_step_without_its_progress_is_an_error(schedule: str) -> None:
    adam = ScheduledAdam([torch.nn.Parameter(torch.ones(1))], Optimizer(schedule=schedule))
    with pytest.raises(
        ValueError, match=rf"{schedule} needs the progress of training: pass `batch.progress`"
    ):
        adam.step()


@pytest.mark.parametrize("max_steps", [None, 8])
def test_progress_counts_the_samples_of_short_batches_too(max_steps: int | None) -> None:
    sampler = made.sampler_of("news", batch_size=8, max_steps=max_steps)
    batches = [sampler.batch(step) for step in range(sampler.total_steps)]
    planned = sum(batch.users for batch in batches)
    done = 0
    for batch in batches:
        assert batch.progress == (done / planned, (done + batch.users) / planned)
        assert batch.part(0, 2).progress == batch.progress
        done += batch.users
    assert batches[-1].progress.after == 1
    assert len({batch.users for batch in batches}) > 1


def build(name: str, rates: Optimizer, sampler: NewsSampler) -> tuple[made.Tiny, Strategy]:
    tiny, spec = made.tiny_system(rates=rates), Spec(multi_step=MultiStep(encoder_batch=7))
    strategy = make_strategy(name, tiny.system, sampler, spec=spec, micro_batch=4, encoder_chunk=5, seed=0)
    return tiny, strategy


@pytest.mark.parametrize("name", ["gram-1s", "gram-2s", "gram-1e"])
def test_the_updates_of_each_module_share_out_the_whole_training(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sampler = made.sampler_of("news", batch_size=17)
    tiny, strategy = build(name, Optimizer(lr=made.LR, schedule="linear"), sampler)
    optimizers = (tiny.system.encoder_optimizer, tiny.system.filter_optimizer)
    all_taken: list[list[PlannedShare]] = [[], []]
    for optimizer, taken in zip(optimizers, all_taken, strict=True):
        schedule = optimizer.schedule
        monkeypatch.setattr(
            optimizer,
            "schedule",
            lambda at, taken=taken, schedule=schedule: (taken.append(at), schedule(at)),
        )
    for step in range(sampler.total_steps):
        strategy.step(sampler.batch(step))
    for optimizer, taken in zip(optimizers, all_taken, strict=True):
        assert taken[0].before == 0
        assert taken[-1].after == pytest.approx(1, abs=1e-12)
        assert all(one.after == pytest.approx(two.before, abs=1e-12) for one, two in pairwise(taken))
        assert len(taken) == optimizer.steps
        assert all(at.after > at.before for at in taken)


@pytest.mark.parametrize("name", ["gram-1s", "gram-2s"])
def test_a_resumed_training_goes_on_bit_by_bit(name: str) -> None:
    """With clipping, whose counts are kept, weight decay, and a schedule; resumed within a window."""

    def train(first: int, before: resume.Resumed | None) -> tuple[dict[str, Tensor], resume.Resumed]:
        sampler = made.sampler_of("news", max_steps=5)
        tiny, strategy = build(name, EVERYTHING, sampler)
        modules = Modules(tiny.encoder, tiny.filter)
        if before is not None:
            resume.restore(before, tiny.system, modules, strategy)
        for step in range(first, sampler.total_steps):
            if step == 3:
                tensors, numbers = resume.collect(tiny.system, modules, strategy)
                kept = {key: tensor.detach().clone() for key, tensor in tensors.items()}
                before = resume.Resumed(kept, {"strategy": numbers})
            strategy.step(sampler.batch(step))
        assert before is not None
        return resume.collect(tiny.system, modules, strategy)[0], before

    whole, kept = train(0, None)
    again, _ = train(3, kept)
    assert whole.keys() == again.keys()
    assert all(torch.equal(again[key], tensor) for key, tensor in whole.items())
    assert float(whole["filter_optimizer.clipping"][1]) >= 3


@pytest.mark.parametrize("domain", made.DOMAINS)
def test_what_weight_decay_shrinks(domain: str) -> None:
    """Matrices of linear maps and of the LSTM; no embedding, norm, bias, query, nor start vector."""
    tiny = made.tiny_system(domain=domain)
    named = [*tiny.encoder.named_parameters(), *tiny.filter.named_parameters()]
    chosen = decaying(tiny.encoder) | decaying(tiny.filter)
    spared = {name for name, parameter in named if parameter not in chosen}
    for name, _ in named:
        ends = name.rpartition(".")[2]
        is_table = any(word in name for word in ("embeddings.", "correctness", "position"))
        is_vector = "LayerNorm" in name or "bias" in ends or ends in ("start", "no_history")
        is_query = name.endswith("pool.query.weight")
        assert (name in spared) == (is_table or is_vector or is_query), name
    assert {"pool.query.weight", "backbone.embeddings.word_embeddings.weight"} <= spared
    assert len(spared) < len(named) - 10


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_gradient_to_be_clipped_that_is_not_finite_changes_neither_module(bad: float) -> None:
    """The loss may be finite; the filter, which is updated first, is not updated either."""
    tiny, sampler = made.tiny_system(rates=Optimizer(clip_norm=0.1)), made.sampler_of("news")
    strategy = SingleStep(tiny.system)
    strategy.step(sampler.batch(0))
    before, counts = tiny.parameters(), tiny.system.encoder_optimizer.clipped()
    tiny.encoder.pool.query.weight.register_hook(lambda gradient: gradient * bad)
    for step in (1, 2):
        strategy.step(sampler.batch(step))
    assert tiny.system.guard.bad_step() == 1
    assert all(torch.equal(before[name], weight) for name, weight in tiny.parameters().items())
    assert tiny.system.encoder_optimizer.clipped() == counts
