"""Automatic sizes: what autograd keeps is measured, what is given is respected."""

import dataclasses
import functools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny_systems import CPU, HEADS, Tiny, news_sampler, random_part, tiny_system

from grambench.config.networks import Architecture
from grambench.config.spec import Training
from grambench.domains.news.batch import NewsBatch
from grambench.models.encoders.states import CachedItemEncoder, LayerStates
from grambench.training.memory_plan import (
    GraphPlan,
    _equal_parts,
    free_bytes,
    kept_bytes_per_token,
    most_held_bytes,
    plan_graphs,
)
from grambench.training.strategies.e2e import EndToEnd


def shape(layers: int, width: int) -> Architecture:
    return Architecture(hidden_size=width, layers=layers, heads=HEADS, intermediate_size=2 * width)


def kept(**changes: object) -> float:
    tiny = tiny_system(dtype=torch.float32, **changes)
    return kept_bytes_per_token(tiny.system, np.arange(40))


def batch() -> NewsBatch:
    return news_sampler(random_part()).batch(0)


def plan(monkeypatch: pytest.MonkeyPatch, free: int, **options: object) -> GraphPlan:
    monkeypatch.setattr("grambench.training.memory_plan.free_bytes", lambda _device: free)
    return plan_graphs(tiny_system(dtype=torch.float32).system, batch(), Training(**options), CPU)


def test_kept_bytes_grow_with_the_layers() -> None:
    one, two, four = (kept(architecture=shape(layers, 16)) for layers in (1, 2, 4))
    assert 0 < one < two < four
    assert four - two == pytest.approx(2 * (two - one), rel=0.02)


def test_checkpointing_keeps_a_fraction_and_plans_larger_micro_batches(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    layers = shape(6, 16)
    plain, checkpointed = (kept(architecture=layers, checkpointed=on) for on in (False, True))
    inputs = 6 * 16 * 4  # one vector of each layer's width per position, in fp32
    assert inputs < checkpointed - plain / 6 < 2 * inputs, "inputs of layers, and what is kept around them"
    assert checkpointed < 0.35 * plain
    monkeypatch.setattr("grambench.training.memory_plan.free_bytes", lambda _device: int(plain * 300))
    systems = [tiny_system(dtype=torch.float32, architecture=layers, checkpointed=on) for on in (False, True)]
    small, large = (plan_graphs(each.system, batch(), Training(), CPU).micro_batch for each in systems)
    assert 1 <= small < large
    assert systems[1].encoder.checkpointed_layers == 6, "the probe leaves checkpointing on"


def test_a_trained_layer_that_runs_again_counts_whole_above_frozen_ones() -> None:
    found = []
    for checkpointed in (False, True):
        tiny = tiny_system(dtype=torch.float32, architecture=shape(6, 16), checkpointed=checkpointed)
        tiny.encoder.freeze_below(4)
        states = LayerStates(tiny.encoder, tiny.system.encode.tokens, 128, in_fp16=False)
        tiny.system.encode = CachedItemEncoder(states, 128)
        found.append(kept_bytes_per_token(tiny.system, np.arange(40)))
    plain, again = found
    inputs = 2 * 16 * 4  # of the two trained layers
    assert inputs < again - plain / 2 < 2 * inputs


@pytest.mark.parametrize("cached", [False, True])
def test_nothing_is_kept_where_nothing_of_the_encoder_is_trained(cached: bool) -> None:
    tiny = tiny_system(dtype=torch.float32, pooling="mean")
    tiny.encoder.freeze_transformer()
    if cached:
        states = LayerStates(tiny.encoder, tiny.system.encode.tokens, 128, in_fp16=False)
        tiny.system.encode = CachedItemEncoder(states, 128)
    assert kept_bytes_per_token(tiny.system, np.arange(40)) == 1.0


@pytest.mark.parametrize("autocast", [False, True])
def test_kept_bytes_are_those_of_activations_not_of_weights(
    autocast: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Weights would weigh on few positions, hardly on many; in autocast there is a bf16 copy of each."""
    tiny = tiny_system(dtype=torch.float32, architecture=shape(2, 64), bucket_tokens=10**6)
    tiny.encoder.autocast = autocast
    found, usual = [], tiny.system.encode.layout.probe_items
    for share in (4, 1):
        monkeypatch.setattr(tiny.system.encode.layout, "probe_items", lambda n, s=share: 2 * usual(n) // s)
        found.append(kept_bytes_per_token(tiny.system, np.arange(40)))
    assert found[0] == pytest.approx(found[1], rel=0.02)


def test_kept_bytes_are_double_in_float64() -> None:
    single = kept_bytes_per_token(tiny_system(dtype=torch.float32).system, np.arange(40))
    double = kept_bytes_per_token(tiny_system().system, np.arange(40))
    assert double == pytest.approx(2 * single, rel=0.1)


def test_probe_leaves_no_trace() -> None:
    tiny: Tiny = tiny_system(dropout=0.1)
    before, counts = tiny.parameters(), dataclasses.replace(tiny.spy.counts)
    plan_graphs(tiny.system, batch(), Training(), CPU)
    assert tiny.spy.counts == counts  # what the probe encodes is not the trial's
    assert all(p.grad is None for p in (*tiny.encoder.parameters(), *tiny.filter.parameters()))
    assert all(torch.equal(value, before[name]) for name, value in tiny.parameters().items())


def test_plenty_of_memory_holds_the_whole_batch_in_one_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    found = plan(monkeypatch, 1 << 40)
    assert (found.micro_batch, found.encoder_chunk) == (batch().users, None)


def test_little_memory_cuts_both(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = [plan(monkeypatch, free) for free in (1 << 20, 1 << 19, 1 << 18)]
    chunks = [found.encoder_chunk for found in sizes]
    assert all(chunk is not None and 1 <= chunk < len(batch().unique().items_N) for chunk in chunks)
    assert chunks == sorted(chunks, reverse=True)
    assert 1 <= sizes[-1].micro_batch <= sizes[0].micro_batch < batch().users


def test_no_memory_at_all_still_trains(monkeypatch: pytest.MonkeyPatch) -> None:
    found = plan(monkeypatch, 0)
    assert (found.micro_batch, found.encoder_chunk) == (1, 1)


def test_given_sizes_are_respected(monkeypatch: pytest.MonkeyPatch) -> None:
    found = plan(monkeypatch, 0, micro_batch=5, encoder_chunk=9)
    assert (found.micro_batch, found.encoder_chunk) == (5, 9)
    assert plan(monkeypatch, 0, encoder_chunk="off").encoder_chunk is None
    assert plan(monkeypatch, 0, micro_batch=10_000).micro_batch == batch().users


def test_plan_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "8.0 GiB free, 25% of it planned for" in plan(monkeypatch, 1 << 33, memory_share=0.25).why


@given(st.integers(1, 2000), st.floats(0, 3000))
def test_parts_are_equal_and_as_few_as_can_be(users: int, most: float) -> None:
    size, whole = _equal_parts(users, most), max(1, int(most))
    assert 1 <= size <= min(whole, users)
    assert -(-users // size) == -(-users // min(whole, users))


def test_free_memory_is_less_than_the_machine_s() -> None:
    import psutil

    assert 0 < free_bytes(CPU) <= psutil.virtual_memory().total


def test_what_graphs_hold_is_counted_while_they_hold_it() -> None:
    weight = torch.nn.Parameter(torch.ones(1000))

    def graph(layers: int) -> None:
        result = weight * torch.full((1000,), 2.0)  # keeps the other factor, 4000 bytes
        for _ in range(layers):
            result = result.exp()  # keeps its result
        result.sum().backward()

    one, four = (most_held_bytes([weight], functools.partial(graph, layers)) for layers in (1, 4))
    assert (one, four) == (int(1.4 * 8000), int(1.4 * 20_000))
    both = most_held_bytes([weight], lambda: [graph(1), graph(4), graph(1)])
    assert both == four  # one after the other


def test_an_end_to_end_step_holds_the_graph_of_one_micro_batch() -> None:
    tiny, drawn = tiny_system(dtype=torch.float32), batch()
    parameters = [*tiny.encoder.parameters(), *tiny.filter.parameters()]
    held = [
        most_held_bytes(parameters, functools.partial(EndToEnd(tiny.system, users).warm_up, drawn))
        for users in (1, 2, 6)
    ]
    assert held[0] < held[1] < held[2] < 6 * held[0]
