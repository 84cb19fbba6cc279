"""Every family that loads gives the vectors that its own model gives, item by item, in every layout."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from tiny_models import CAUSAL, ENCODERS, FAMILIES, encoder_of, plain_model, saved_model
from tiny_systems import CPU, VOCABULARY
from torch import Tensor, nn

from grambench.models.encoders.buckets import Buckets, ItemEncoder
from grambench.models.encoders.load import load_encoder
from grambench.models.encoders.packed import PackedRows
from grambench.models.encoders.text import TextEncoder
from grambench.models.encoders.tokens import ItemTokens
from grambench.training.system import can_pack

LENGTHS = (2, 3, 9, 16, 17, 40, 5, 23)
PACKED = {
    "bert",
    "roberta",
    "data2vec-text",
    "xmod",
    "distilbert",
    "electra",
    "albert",
    "nomic_bert",
    "eurobert",
    "xlm-roberta",
    "xlm-roberta-xl",
    "camembert",
    "roberta-prelayernorm",
    "ernie",
    "bert-generation",
}
TOLERANCE = 1e-5
"""Of the largest entry."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a family's model, saved once."""
    transformers.utils.logging.disable_progress_bar()

    @cache
    def made(family: str) -> Path:
        return saved_model(FAMILIES[family], tmp_path_factory.mktemp("model"))

    return made


@pytest.fixture(scope="module")
def loaded(folder: Callable[[str], Path]) -> Callable[[str], TextEncoder]:
    """A family's encoder, loaded once."""
    return cache(lambda family: load_encoder(encoder_of(folder(family)), 0, autocast=False).eval())


def catalogue() -> ItemTokens:
    rng = np.random.default_rng(0)
    offsets = np.concatenate(([0], np.cumsum(LENGTHS))).astype(np.int64)
    return ItemTokens(rng.integers(5, VOCABULARY, offsets[-1]).astype(np.int32), offsets, CPU)


def ids_of(tokens: ItemTokens, item: int) -> Tensor:
    return tokens.flat[tokens.offsets[item] : tokens.offsets[item + 1]].long()[None]


def vectors_of_the_model(model: nn.Module, tokens: ItemTokens) -> Tensor:
    rows = [ids_of(tokens, item) for item in range(len(tokens))]
    with torch.no_grad():
        hidden = [model(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state for ids in rows]
    return torch.cat([states.mean(dim=1) for states in hidden])


def in_layout(encoder: TextEncoder, tokens: ItemTokens, name: str) -> ItemEncoder:
    """Buckets in which items of all lengths share a call, or packed rows."""
    layout = Buckets(1 << 20, 1, CPU) if name == "buckets" else PackedRows(max(LENGTHS), 1 << 20)
    return ItemEncoder(encoder, tokens, 1 << 20, layout)


def largest(found: Tensor, wanted: Tensor) -> float:
    return float((found - wanted).abs().max() / wanted.abs().max())


@pytest.mark.parametrize("family", FAMILIES)
def test_vectors_are_those_of_automodel_whatever_lies_beside_an_item(
    family: str, folder: Callable[[str], Path], loaded: Callable[[str], TextEncoder]
) -> None:
    encoder = loaded(family)
    tokens, everything = catalogue(), np.arange(len(LENGTHS))
    wanted = vectors_of_the_model(plain_model(folder(family)), tokens)
    assert can_pack(encoder, tokens) == (family in PACKED)
    for layout in ("buckets", "packed") if family in PACKED else ("buckets",):
        encode = in_layout(encoder, tokens, layout)
        with torch.no_grad():
            together, apart = (
                encode(everything),
                torch.cat([encode(everything[i : i + 1]) for i in everything]),
            )
        assert encode.counts.calls == 1 + len(LENGTHS)
        assert largest(together, wanted) < TOLERANCE, layout
        assert largest(apart, wanted) < TOLERANCE, layout


@pytest.mark.parametrize("family", FAMILIES)
def test_a_causal_model_s_states_do_not_see_later_tokens(
    family: str, loaded: Callable[[str], TextEncoder]
) -> None:
    encoder = loaded(family)
    ids = ids_of(catalogue(), 3).repeat(2, 1)
    ids[1, -1] = 5 if ids[0, -1] != 5 else 6
    mask = torch.ones_like(ids, dtype=torch.bool)
    with torch.no_grad():
        taken = mask[:, None, None, :] if encoder.ready_mask else mask.long()
        first, second = encoder.hidden(encoder.lookup(ids), taken)
    seen = largest(first[:-1], second[:-1])
    assert seen == 0 if family in CAUSAL else seen > 1e-3
    assert largest(first[-1:], second[-1:]) > 1e-3


@pytest.mark.parametrize("family", ["bert", "data2vec-text", "distilbert", "gpt2", "modernbert", "gemma3"])
def test_the_first_layers_alone_are_those_of_the_model_cut_there(
    family: str, folder: Callable[[str], Path]
) -> None:
    """Also where layers have masks of different kinds."""
    encoder = load_encoder(encoder_of(folder(family), layers=1), 0, autocast=False).eval()
    tokens = catalogue()
    with torch.no_grad():
        found = in_layout(encoder, tokens, "packed" if family in PACKED else "buckets")(
            np.arange(len(LENGTHS))
        )
    cut, whole = (vectors_of_the_model(plain_model(folder(family), n), tokens) for n in (1, None))
    assert largest(found, cut) < TOLERANCE
    assert largest(found, whole) > 1e-2


def test_the_longest_item_of_every_family_that_counts_positions_from_padding_can_be_read(
    loaded: Callable[[str], TextEncoder],
) -> None:
    for family in ("roberta", "data2vec-text", "xmod"):
        encoder = loaded(family)
        ids = torch.full((1, encoder.max_tokens), 7)
        assert encoder(encoder.lookup(ids), torch.ones_like(ids, dtype=torch.bool)).isfinite().all()
        one_more = torch.full((1, encoder.max_tokens + 1), 7)
        with pytest.raises((IndexError, RuntimeError), match="out of"):
            encoder(encoder.lookup(one_more), torch.ones_like(one_more, dtype=torch.bool))


def test_every_maker_is_named_once() -> None:
    assert not ENCODERS.keys() & CAUSAL.keys()
    assert ENCODERS.keys() >= PACKED
