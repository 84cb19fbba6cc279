"""Every family that loads gives the vectors that its own model gives, item by item, in every layout."""

import re
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from tiny_models import CAUSAL, FAMILIES, REFUSED, UNREAD, encoder_of, plain_model, saved_model
from tiny_systems import CPU, QUERY, VOCABULARY, tiny_data
from torch import Tensor, nn

from grambench.config.networks import Filter
from grambench.config.spec import Spec
from grambench.errors import ConfigError
from grambench.models.encoders.buckets import Buckets, ItemEncoder
from grambench.models.encoders.load import encoder_width, load_encoder
from grambench.models.encoders.packed import PackedRows
from grambench.models.encoders.text import TextEncoder
from grambench.models.encoders.tokens import ItemTokens
from grambench.training.audit import audit
from grambench.training.system import can_pack

LENGTHS = (2, 3, 9, 16, 17, 40, 5, 23)
TABLE = re.compile(r"^\| `([^`]+)`[^|]*\| ([^|]+) \| ([^|]+) \| ([^|]+) \|$", re.MULTILINE)
ROWS = {
    family: tuple(cells)
    for family, *cells in TABLE.findall((Path(__file__).parents[3] / "docs" / "encoders.md").read_text())
}
"""The table of docs/encoders.md: family -> attention, pooling, verdict."""
PACKED = {family for family, (attention, _, _) in ROWS.items() if "packed" in attention}
TOLERANCE = 1e-5
"""Of the largest entry."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a family's model, saved once."""
    transformers.utils.logging.disable_progress_bar()

    @cache
    def made(family: str) -> Path:
        return saved_model((FAMILIES | REFUSED)[family], tmp_path_factory.mktemp("model"))

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


@pytest.mark.parametrize(
    "family",
    [
        "bert",
        "distilbert",
        "gpt2",
        "modernbert",
        "gemma3",
        "deberta-v3",
        "xlnet",
        "t5",
        "bart",
        "longformer",
        "led",
        "lfm2",
    ],
)
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


@pytest.mark.parametrize("family", FAMILIES)
def test_the_table_says_how_a_family_is_read_and_every_weight_of_it_is_trained(
    family: str, folder: Callable[[str], Path], loaded: Callable[[str], TextEncoder]
) -> None:
    encoder, tokens = loaded(family), catalogue()
    attention = encoder.backbone.config._attn_implementation
    if can_pack(encoder, tokens):
        attention += ", packed"
    pooling = "mean, attention, last" if family in CAUSAL else "any"
    assert ROWS[family] == (attention, pooling, "exact")
    assert encoder.width == encoder_width(encoder_of(folder(family)))
    in_layout(encoder, tokens, "buckets")(np.arange(len(LENGTHS))).pow(3).sum().backward()
    untrained = [name for name, weight in encoder.named_parameters() if weight.grad is None]
    encoder.zero_grad()
    assert all(name.endswith(UNREAD.get(family, ())) for name in untrained), untrained
    assert bool(untrained) == (family in UNREAD)
    if family != "opt":  # its layers are called a decoder
        assert not [name for name, _ in encoder.named_parameters() if "decoder" in name]


@pytest.mark.parametrize("family", REFUSED)
def test_a_family_that_cannot_be_used_is_refused_with_the_table_s_sentence(
    family: str, folder: Callable[[str], Path]
) -> None:
    spec = Spec(encoder=encoder_of(folder(family)), filter=Filter(nrms={"heads": 4, "query": QUERY}))
    with pytest.raises(ConfigError) as refused:
        audit(spec, tiny_data(), CPU)
    assert refused.value.exit_code == 2
    said = str(refused.value).replace(str(folder(family)), "NAME")
    sentence = re.sub(r"\de-\d\d|1e\+00", "…", said).partition(" Choose another")[0]
    assert ROWS[family] == ("–", "–", f"refused: {sentence.partition(' Choose a text')[0]}")


def test_the_table_has_a_row_for_every_family_and_no_other() -> None:
    assert ROWS.keys() == FAMILIES.keys() | REFUSED.keys()
    assert len(ROWS) >= 35


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


def test_an_encoder_that_was_saved_without_its_decoder_is_read(tmp_path: Path) -> None:
    """Sentence-T5's folders say that they are no encoder-decoder, and `AutoModel` builds one nevertheless."""
    kind, sizes = FAMILIES["t5"]
    saved = transformers.T5EncoderModel(transformers.AutoConfig.for_model(kind, **sizes)).eval()
    saved.save_pretrained(tmp_path)
    encoder = load_encoder(encoder_of(tmp_path), 0, autocast=False).eval()
    with torch.no_grad():
        found = in_layout(encoder, catalogue(), "buckets")(np.arange(len(LENGTHS)))
    assert largest(found, vectors_of_the_model(saved, catalogue())) < TOLERANCE


def test_a_sparse_model_reads_as_many_tokens_as_it_attends_to_fully(tmp_path: Path) -> None:
    kind, sizes = FAMILIES["big_bird sparse"]
    folder = saved_model((kind, sizes | {"block_size": 4, "num_random_blocks": 2}), tmp_path)
    encoder = load_encoder(encoder_of(folder), 0, autocast=False).eval()
    assert encoder.max_tokens == (5 + 2 * 2) * 4 < max(LENGTHS)
    with pytest.raises(ConfigError, match="An item has 40 tokens, but the encoder reads at most 36"):
        in_layout(encoder, catalogue(), "buckets")
