"""Buckets: exact, within their budget, in order, counted."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_systems import ITEMS, encode_one_by_one, item_tokens, tiny_encoder, vectors_of

from grambench.config.networks import Architecture
from grambench.models.encoders.buckets import ItemEncoder
from grambench.models.lengths import LENGTH_STEP, bucket_bounds

falling_lengths = st.lists(st.integers(1, 200), max_size=150).map(
    lambda n: np.array(sorted(n, reverse=True), int)
)


@pytest.fixture(scope="module")
def encode() -> ItemEncoder:
    return ItemEncoder(tiny_encoder(), item_tokens(longest=40), 128)


@given(falling_lengths, st.integers(1, 3000), st.integers(0, 2000))
def test_bounds_cover_every_item_once_with_room_and_within_budget(
    lengths: np.ndarray, budget: int, call: int
) -> None:
    buckets = list(bucket_bounds(lengths, budget, call))
    assert [i for start, stop, _ in buckets for i in range(start, stop)] == list(range(len(lengths)))
    assert all(stop > start for start, stop, _ in buckets)
    assert [length for *_, length in buckets] == sorted((length for *_, length in buckets), reverse=True)
    for start, stop, length in buckets:
        assert length % LENGTH_STEP == 0
        assert lengths[start] <= length < lengths[0] + LENGTH_STEP  # the first of a bucket is its longest
        assert (stop - start) * length <= budget or stop - start == 1


@given(falling_lengths, st.integers(0, 2000))
def test_padding_between_lengths_stays_under_the_cost_of_a_call(lengths: np.ndarray, call: int) -> None:
    for start, stop, length in bucket_bounds(lengths, 10**9, call):
        rounded = -(-lengths[start:stop] // LENGTH_STEP) * LENGTH_STEP
        assert (length - rounded).sum() <= call


def test_parts_of_a_bucket_over_budget_are_as_few_as_can_be() -> None:
    assert len(list(bucket_bounds(np.full(100, 8), 8 * 30, 512))) == 4


@settings(max_examples=20)
@given(st.lists(st.integers(0, ITEMS - 1), min_size=1, max_size=30), st.sampled_from([8, 64, 10**6]))
def test_bucketed_vectors_are_those_of_items_encoded_one_by_one(items: list[int], budget: int) -> None:
    encode = ItemEncoder(tiny_encoder(), item_tokens(longest=40), budget)
    with torch.no_grad():
        found = encode(np.array(items))
        wanted = encode_one_by_one(encode.encoder, encode.tokens, items)
    assert float((found - wanted).abs().max()) < 1e-10


@pytest.mark.parametrize("pooling", ["mean", "attention", "cls", "last"])
def test_padding_changes_no_vector(pooling: str) -> None:
    encoder, tokens = tiny_encoder(pooling=pooling), item_tokens()
    items = torch.tensor([1, 2, 3])
    with torch.no_grad():
        wanted = encode_one_by_one(encoder, tokens, items.tolist())
        for length in (20, 24, 40):
            assert float((vectors_of(encoder, *tokens.padded(items, length)) - wanted).abs().max()) < 1e-10


def test_padded_holds_the_tokens_of_each_item() -> None:
    tokens = item_tokens()
    ids, mask = tokens.padded(torch.tensor([4, 0]), 24)
    for row, item in enumerate((4, 0)):
        wanted = tokens.flat[tokens.offsets[item] : tokens.offsets[item + 1]].tolist()
        assert ids[row, : len(wanted)].tolist() == wanted
        assert mask[row].tolist() == [True] * len(wanted) + [False] * (24 - len(wanted))
        assert not ids[row, len(wanted) :].any()


def test_repeats_are_encoded_as_often_as_they_come(encode: ItemEncoder) -> None:
    rows: list[int] = []
    hook = encode.encoder.register_forward_hook(lambda _module, inputs, _output: rows.append(len(inputs[0])))
    before = (encode.counts.items, encode.counts.tokens, encode.counts.calls)
    with torch.no_grad():
        encode(np.array([7, 7, 7, 2]))
    hook.remove()
    lengths = encode.tokens.lengths
    assert sum(rows) == 4
    assert encode.counts.items - before[0] == 4
    assert encode.counts.tokens - before[1] == int(3 * lengths[7] + lengths[2])
    assert encode.counts.calls - before[2] == len(rows)


@given(st.lists(st.integers(0, ITEMS - 1), min_size=1, max_size=30), st.integers(1, 31))
def test_chunks_cover_every_position_once_in_falling_length(items: list[int], size: int) -> None:
    encode = ItemEncoder(tiny_encoder(), item_tokens(longest=40), 128)
    chunks = encode.chunks(np.array(items), size)
    assert sorted(np.concatenate(chunks).tolist()) == list(range(len(items)))
    assert all(1 <= len(chunk) <= size for chunk in chunks)
    lengths = encode.tokens.lengths[np.array(items)[np.concatenate(chunks)]].tolist()
    assert lengths == sorted(lengths, reverse=True)


def test_wider_encoder_is_called_more_often_rather_than_padded() -> None:
    calls = []
    for width, heads in ((16, 4), (512, 4)):
        shape = Architecture(hidden_size=width, layers=1, heads=heads, intermediate_size=width)
        encode = ItemEncoder(tiny_encoder(architecture=shape), item_tokens(longest=40), 10**6)
        with torch.no_grad():
            encode(np.arange(ITEMS))
        calls.append(encode.counts.calls)
    assert calls == [1, 5]  # lengths of 2 to 40 tokens, rounded up to 8, 16, 24, 32 and 40


@pytest.mark.parametrize("with_graph", [True, False])
def test_words_are_looked_up_once_where_a_backward_pass_will_fill_their_gradient(
    with_graph: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    encode = ItemEncoder(tiny_encoder(), item_tokens(longest=40), 64)
    lookups = []
    lookup = encode.encoder.lookup
    monkeypatch.setattr(encode.encoder, "lookup", lambda ids: lookups.append(ids.shape) or lookup(ids))
    with torch.set_grad_enabled(with_graph):
        encode(np.arange(ITEMS))
    assert encode.counts.calls > 5
    assert len(lookups) == (1 if with_graph else encode.counts.calls)


def test_gradients_of_words_looked_up_together_are_those_of_one_item_after_the_other() -> None:
    encode = ItemEncoder(tiny_encoder(), item_tokens(longest=40), 64)
    items, embedding = np.array([3, 1, 3, 7, 30, 12]), encode.encoder.backbone.get_input_embeddings()
    encode(items).square().sum().backward()
    found, embedding.weight.grad = embedding.weight.grad, None
    encode_one_by_one(encode.encoder, encode.tokens, items.tolist()).square().sum().backward()
    assert float((found - embedding.weight.grad).abs().max()) < 1e-10
