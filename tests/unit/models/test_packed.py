"""Packed rows: no item cut, no row overfull, the vectors of buckets, few shapes, few operations."""

from collections import Counter

import numpy as np
import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_systems import CPU, ITEMS, encode_one_by_one, item_tokens, ragged_tokens, tiny_encoder
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from grambench.config.networks import Architecture
from grambench.models.encoders.buckets import Buckets, ItemEncoder
from grambench.models.encoders.load import packing_of, takes_ready_mask
from grambench.models.encoders.packed import PackedRows, best_fit, rounded_rows, row_length
from grambench.models.encoders.text import TextEncoder
from grambench.models.encoders.tokens import ItemTokens

lengths_of_items = st.lists(st.integers(1, 64), min_size=1, max_size=200).map(lambda n: np.array(n, np.int64))


def packed(encoder: TextEncoder, tokens: ItemTokens, call_tokens: int = 1 << 20) -> ItemEncoder:
    return ItemEncoder(encoder, tokens, call_tokens, PackedRows(int(tokens.lengths.max()), call_tokens))


@given(lengths_of_items, st.sampled_from([64, 100, 128]))
def test_every_item_lies_whole_in_a_row_and_no_position_is_taken_twice(lengths: np.ndarray, row: int) -> None:
    begins, rows = best_fit(lengths, row)
    taken = np.concatenate([np.arange(b, b + n) for b, n in zip(begins, lengths, strict=True)])
    assert len(np.unique(taken)) == lengths.sum()
    assert (begins // row == (begins + lengths - 1) // row).all()
    assert begins.min() >= 0
    assert (begins + lengths).max() <= rows * row


@given(lengths_of_items)
def test_rows_are_few(lengths: np.ndarray) -> None:
    """Best-fit decreasing needs at most 11/9 of the fewest rows, and a row more (Johnson, 1974)."""
    _, rows = best_fit(lengths, 128)
    assert rows <= 11 / 9 * -(-lengths.sum() // 128) + 4


def test_titles_leave_little_room() -> None:
    lengths = np.clip(np.random.default_rng(0).normal(13.6, 3.2, 4240).round(), 5, 24).astype(np.int64)
    _, rows = best_fit(lengths, 128)
    assert lengths.sum() / (rows * 128) > 0.98


def test_an_item_longer_than_a_row_is_refused() -> None:
    with pytest.raises(ValueError, match="an item of 129 tokens does not fit a row of 128"):
        best_fit(np.array([3, 129]), 128)


def test_rows_grow_with_the_longest_item() -> None:
    assert [row_length(longest) for longest in (5, 128, 129, 512)] == [128, 128, 256, 512]


def test_numbers_of_rows_are_rounded_up_to_few_others() -> None:
    rounded = {rows: rounded_rows(rows) for rows in range(1, 129)}
    assert all(rows <= found < 1.5 * rows for rows, found in rounded.items() if rows > 1)
    assert sorted(set(rounded.values())) == [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128]


@settings(max_examples=25)
@given(
    st.lists(st.integers(0, ITEMS - 1), min_size=1, max_size=60),
    st.sampled_from([64, 256, 10**6]),
    st.sampled_from(["mean", "attention", "cls", "last"]),
)
def test_packed_vectors_are_those_of_items_encoded_one_by_one(
    items: list[int], budget: int, pooling: str
) -> None:
    encode = packed(tiny_encoder(pooling=pooling), item_tokens(longest=40), budget)
    with torch.no_grad():
        found = encode(np.array(items))
        wanted = encode_one_by_one(encode.encoder, encode.tokens, items)
    assert float((found - wanted).abs().max()) < 1e-12
    assert encode.counts.items == len(items)
    assert encode.counts.tokens == int(encode.tokens.lengths[items].sum())


def test_gradients_are_those_of_buckets() -> None:
    encoder, tokens, items = tiny_encoder(), item_tokens(longest=40), np.arange(ITEMS)
    upstream = torch.randn(ITEMS, encoder.width, dtype=torch.float64)
    taken = []
    for encode in (ItemEncoder(encoder, tokens, 128), packed(encoder, tokens, 1024)):
        encode(items).backward(upstream)
        taken.append([parameter.grad.clone() for parameter in encoder.parameters()])
        encoder.zero_grad(set_to_none=True)
    scale = max(float(gradient.abs().max()) for gradient in taken[0])
    assert max(float((a - b).abs().max()) for a, b in zip(*taken, strict=True)) < 1e-12 * scale


def test_what_lies_beside_an_item_changes_no_bit_of_its_neighbour() -> None:
    encoder = tiny_encoder()
    tokens, offsets = ragged_tokens(longest=40)
    other = tokens.copy()
    other[offsets[1] : offsets[2]] = other[offsets[1] : offsets[2]][::-1]
    items = np.arange(ITEMS)
    with torch.no_grad():
        before, after = (packed(encoder, ItemTokens(ids, offsets, CPU))(items) for ids in (tokens, other))
    assert not torch.equal(before[1], after[1])
    assert torch.equal(before[2:], after[2:])


class Operations(TorchDispatchMode):
    """Counts what reaches the device, and which shapes the encoder's attention has."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0
        self.shapes: Counter[tuple[int, ...]] = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        self.count += 1
        if "scaled_dot_product" in func._schema.name and "backward" not in func._schema.name:
            self.shapes[tuple(args[0].shape)] += 1
        return func(*args, **(kwargs or {}))


def titles(items: int) -> ItemTokens:
    """A catalogue with MIND's title lengths."""
    lengths = np.clip(np.random.default_rng(0).normal(13.6, 3.2, items).round(), 5, 24).astype(np.int64)
    offsets = np.concatenate(([0], np.cumsum(lengths)))
    return ItemTokens(np.full(offsets[-1], 7, np.int32), offsets, CPU)


@pytest.mark.parametrize(
    ("items", "layers", "most"), [(1024, 6, 0.5), pytest.param(4240, 2, 0.18, marks=pytest.mark.heavy)]
)
def test_a_packed_call_needs_fewer_operations(items: int, layers: int, most: float) -> None:
    """Titles as a GPU encodes them (768 wide, another call for 1,883 positions), in bf16 autocast.

    64 titles take one call on either side, and as many operations; there a graph makes the difference.
    """
    shape = Architecture(hidden_size=48, layers=layers, heads=12, intermediate_size=96)
    encoder, tokens = tiny_encoder(dtype=torch.float32, architecture=shape), titles(items)
    encoder.autocast = True
    counts = []
    for encode in (ItemEncoder(encoder, tokens, 16_384), packed(encoder, tokens, 65_536)):
        if isinstance(encode.layout, Buckets):
            encode.layout.call_tokens = 1883
        with Operations() as operations:
            encode(np.arange(items)).square().sum().backward()
        counts.append(operations.count)
    assert encode.counts.calls == 1
    assert counts[1] <= most * counts[0]


def test_calls_of_whole_batches_have_few_shapes() -> None:
    """20 batches of about 4,240 of 57,000 titles: buckets meet a new shape in nearly every call."""
    tokens, rng = titles(57_000), np.random.default_rng(1)
    batches = [rng.choice(57_000, rng.integers(3_927, 4_552), replace=False) for _ in range(20)]
    layout = PackedRows(24, 16_384)
    shapes = {call.shape[:2] for items in batches for call, _ in layout.calls(tokens, items)}
    assert len(shapes) <= 4
    mini_batches = {call.shape for items in batches for call, _ in layout.calls(tokens, items[:64])}
    assert len(mini_batches) == 1


def test_whatever_a_strategy_encodes_has_at_most_16_shapes() -> None:
    """Windows of `gram-auto` grow by a few items or by thousands; `e2e` repeats items."""
    tokens, rng = titles(57_000), np.random.default_rng(1)
    layout, shapes = PackedRows(24, 16_384), set()
    for items in np.geomspace(1, 57_000, 60).astype(int):
        shapes |= {call.shape[:2] for call, _ in layout.calls(tokens, rng.choice(57_000, items))}
    assert 8 < len(shapes) <= 16


HEADS = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
FAMILIES = {
    "bert": (transformers.BertConfig, HEADS, True),
    "roberta": (transformers.RobertaConfig, HEADS | {"pad_token_id": 1}, True),
    "xlm-roberta": (transformers.XLMRobertaConfig, HEADS | {"pad_token_id": 1}, True),
    "electra": (transformers.ElectraConfig, HEADS | {"embedding_size": 16}, True),
    "albert": (transformers.AlbertConfig, HEADS | {"embedding_size": 16}, True),
    "distilbert": (
        transformers.DistilBertConfig,
        {"dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 64},
        True,
    ),
    "bert as a decoder": (transformers.BertConfig, HEADS | {"is_decoder": True}, False),
    "gpt2": (transformers.GPT2Config, {"n_embd": 32, "n_layer": 2, "n_head": 4}, False),
    "modernbert": (transformers.ModernBertConfig, HEADS | {"pad_token_id": 0}, False),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_families_that_pack_give_the_vectors_of_transformers_itself(family: str) -> None:
    config, sizes, packs = FAMILIES[family]
    torch.manual_seed(0)
    model = transformers.AutoModel.from_config(
        config(vocab_size=60, **sizes), attn_implementation="sdpa", dtype=torch.float64
    ).eval()
    packing = packing_of(model)
    assert (packing is not None) == packs
    if packing is None:
        return
    encoder = TextEncoder(
        model, 32, "mean", 8, max_tokens=128, ready_mask=takes_ready_mask(model), packing=packing
    ).double()
    tokens = item_tokens(longest=30)
    with torch.no_grad():
        found = packed(encoder, tokens)(np.arange(ITEMS))
        for item in range(ITEMS):
            start, stop = tokens.offsets[item : item + 2]
            ids = tokens.flat[start:stop].long()[None]
            hidden = model(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state
            assert float((hidden.mean(dim=1)[0] - found[item]).abs().max()) < 1e-10


def test_a_causal_model_keeps_its_own_mask() -> None:
    causal = transformers.GPT2Model(transformers.GPT2Config(n_embd=16, n_layer=1, n_head=2, vocab_size=60))
    decoder = transformers.BertModel(transformers.BertConfig(vocab_size=60, is_decoder=True, **HEADS))
    assert not takes_ready_mask(causal)
    assert not takes_ready_mask(decoder)


@pytest.mark.parametrize("layout", ["buckets", "packed"])
def test_bf16_copies_are_close_and_the_gradients_reach_the_fp32_weights(layout: str) -> None:
    tokens, items = item_tokens(longest=30), np.arange(ITEMS)
    exact = tiny_encoder(dtype=torch.float32)
    half = tiny_encoder(dtype=torch.float32)
    half.half_weights = True
    taken = []
    for encoder in (exact, half):
        encode = packed(encoder, tokens) if layout == "packed" else ItemEncoder(encoder, tokens, 512)
        vectors = encode(items)
        assert vectors.dtype == torch.float32
        vectors.square().sum().backward()
        assert all(
            p.grad is not None and p.grad.dtype == p.dtype == torch.float32 for p in encoder.parameters()
        )
        taken.append((vectors.detach(), torch.cat([p.grad.flatten() for p in encoder.parameters()])))
    for one, other in zip(*taken, strict=True):
        assert 0 < float((one - other).norm() / one.norm()) < 0.05


def test_compiling_finds_one_graph_and_no_break() -> None:
    import torch._dynamo as dynamo

    encoder = tiny_encoder(dtype=torch.float32)
    tokens = item_tokens(longest=20)
    (call, _), *_ = PackedRows(20, 1 << 20).calls(tokens, np.arange(ITEMS))
    rows = call.on(CPU)
    words = encoder.lookup(rows.ids_GR())
    dynamo.reset()
    found = dynamo.explain(encoder.hidden)(words, rows.mask_G1RR(), rows.positions_GR())
    assert (found.graph_count, found.graph_break_count) == (1, 0)


def test_free_vectors_have_nothing_to_pack() -> None:
    from grambench.models.encoders.free import FreeVectors

    assert FreeVectors(3, 4).packing is None
    assert isinstance(FreeVectors(3, 4), nn.Module)
