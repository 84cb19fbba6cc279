"""`encoder.adapt`: what is frozen, and that states of frozen layers give what the layers themselves give."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from tiny_models import FAMILIES, LAYERS, encoder_of, saved_model
from tiny_systems import CPU, VOCABULARY, encoder_spec, item_tokens, tiny_encoder
from torch import Tensor, nn

from grambench.config.networks import Encoder
from grambench.errors import ConfigError
from grambench.models.encoders.adapt import adapted, frozen_layers, over_states
from grambench.models.encoders.buckets import Buckets, ItemEncoder
from grambench.models.encoders.load import load_encoder
from grambench.models.encoders.packed import PackedRows
from grambench.models.encoders.side import SideEncoder, read_layers
from grambench.models.encoders.states import CachedItemEncoder, LayerStates, SideStates
from grambench.models.encoders.text import TextEncoder
from grambench.training.system import can_pack

ITEMS = np.array([3, 0, 5, 1, 7, 3, 2, 6, 4])
CUT = (
    *(
        "bert",
        "roberta",
        "distilbert",
        "electra",
        "mpnet",
        "deberta",
        "deberta-v2",
        "deberta-v3",
        "modernbert",
    ),
    *(
        "nomic_bert",
        "mobilebert",
        "megatron-bert",
        "big_bird",
        "umt5",
        "bart",
        "gpt2",
        "opt",
        "llama",
        "qwen3",
    ),
    *("gemma3", "gpt_neox", "bloom", "lfm2"),
)
"""Families whose cached states are compared, with every way of masks, positions and layers' outputs."""
REFUSED = ["albert", "xlm", "squeezebert", "xlnet", "t5", "deberta with a convolution"]
MORE = {"deberta with a convolution": ("deberta-v2", FAMILIES["deberta-v2"][1] | {"conv_kernel_size": 3})}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a family's model, saved once."""
    transformers.utils.logging.disable_progress_bar()
    families = FAMILIES | MORE
    return cache(lambda family: saved_model(families[family], tmp_path_factory.mktemp("model")))


def loaded(folder: Path) -> TextEncoder:
    return load_encoder(encoder_of(folder, pooling="attention"), 0, autocast=False).double()


def gradients(encoder: nn.Module, encode: ItemEncoder) -> tuple[Tensor, dict[str, Tensor | None]]:
    """Vectors of the items, and the gradient of every parameter for a fixed ∂𝓛/∂h."""
    encoder.zero_grad()
    vectors = encode(ITEMS)
    vectors.backward(torch.linspace(-1, 1, vectors.numel(), dtype=vectors.dtype).view_as(vectors))
    return vectors.detach(), {name: parameter.grad for name, parameter in encoder.named_parameters()}


def assert_equal_gradients(found: dict[str, Tensor | None], wanted: dict[str, Tensor | None]) -> None:
    scale = max(float(gradient.abs().max()) for gradient in wanted.values() if gradient is not None)
    for name, gradient in wanted.items():
        assert (found[name] is None) == (gradient is None), name
        if gradient is not None:
            assert float((found[name] - gradient).abs().max()) <= 1e-10 * scale, name


@pytest.mark.parametrize("family", CUT)
def test_cached_layers_are_the_layers(family: str, folder: Callable[[str], Path]) -> None:
    tokens, encoder = item_tokens(longest=40), loaded(folder(family))
    encoder.freeze_below(1)
    layout = Buckets(1 << 20, 1, CPU)
    vectors, wanted = gradients(encoder.train(), ItemEncoder(encoder, tokens, 1 << 20, layout))
    frozen = {name for name, gradient in wanted.items() if gradient is None}
    assert frozen == {name for name, p in encoder.named_parameters() if not p.requires_grad}
    assert any("embed" in name or "wte" in name or "tok" in name for name in frozen)
    assert {True, False} == {gradient is None for gradient in wanted.values()}
    packed = [PackedRows(40, 1 << 20)] if can_pack(encoder, tokens) else []
    for each in (layout, *packed):
        states = LayerStates(encoder, tokens, 1 << 20, in_fp16=False)
        found, own = gradients(encoder, CachedItemEncoder(states, 1 << 20, each))
        assert float((found - vectors).abs().max()) <= 1e-12 * float(vectors.abs().max())
        assert_equal_gradients(own, wanted)
    first: Any = encoder.cut.layers[0]
    assert first.forward.__func__ is type(first).forward


@pytest.mark.parametrize("family", REFUSED)
def test_a_model_that_cannot_be_cut_is_refused(family: str, folder: Callable[[str], Path]) -> None:
    with pytest.raises(ConfigError, match=r"encoder\.adapt=full"):
        loaded(folder(family)).freeze_below(1)


@pytest.mark.parametrize("family", ["bert", "modernbert", "opt", "deberta-v2", "qwen3"])
@pytest.mark.parametrize("pool", ["first", "mean"])
def test_a_side_network_reads_the_models_own_states(
    family: str, pool: str, folder: Callable[[str], Path]
) -> None:
    tokens, text = item_tokens(longest=40), loaded(folder(family))
    side = SideEncoder(text, None, pool, bottleneck=3).double().train()
    assert side.read == [0, LAYERS]
    vectors, wanted = gradients(side, ItemEncoder(side, tokens, 1 << 20))
    cached = CachedItemEncoder(SideStates(side, tokens, 1 << 20, in_fp16=False), 1 << 20)
    found, own = gradients(side, cached)
    assert float((found - vectors).abs().max()) <= 1e-12
    assert_equal_gradients(own, wanted)
    assert {name.split(".")[0] for name, gradient in wanted.items() if gradient is not None} == {"side"}
    ids = tokens.flat[tokens.offsets[3] : tokens.offsets[4]].long()[None]
    output = text.backbone(
        input_ids=ids, attention_mask=torch.ones_like(ids), output_hidden_states=True
    ).hidden_states
    first = side.pooled(side.lookup(ids), torch.ones_like(ids, dtype=torch.bool))[0, : side.width]
    wanted_first = output[0][0, 0] if pool == "first" else output[0][0].mean(dim=0)
    assert torch.allclose(first, wanted_first, rtol=0, atol=1e-12)


def test_the_published_side_network() -> None:
    """s ← 0; x = g h + (1 − g) s, s = x + Up(GELU(Down(x))), with the gates away from one half."""
    torch.manual_seed(0)
    side = SideEncoder(tiny_encoder(), 2, "mean", bottleneck=3).double()
    with torch.no_grad():
        side.side.gates.normal_(std=0.1)
    states = torch.randn(4, 3, side.width, dtype=torch.float64)
    running = torch.zeros(4, side.width, dtype=torch.float64)
    for i in range(3):
        gate = 1 / (1 + torch.exp(-side.side.gates[i] / 0.1))
        mixed = gate * states[:, i] + (1 - gate) * running
        running = mixed + side.side.up[i](nn.functional.gelu(side.side.down[i](mixed)))
    wanted = side.side.head[1](side.side.head[0](running))
    assert torch.allclose(side.from_states(states.flatten(1)), wanted, rtol=0, atol=1e-14)
    assert read_layers(12, None) == [0, 2, 4, 6, 8, 10, 12]  # IISAN's seven states
    assert read_layers(3, None) == [0, 3]
    assert read_layers(6, 4) == [0, 2, 3, 4, 6]
    with pytest.raises(ConfigError, match=r"side\.layers = 7, but the encoder has 6\. Lower it\."):
        read_layers(6, 7)


@pytest.mark.parametrize("precision", ["autocast", "half_weights"])
def test_a_cut_in_bf16_trains_the_same_layers_on_the_same_states(precision: str) -> None:
    found = []
    for changed in (False, True):
        encoder = tiny_encoder(dtype=torch.float32)
        setattr(encoder, precision, changed)
        encoder.freeze_below(1)
        found.append({name for name, p in encoder.named_parameters() if p.requires_grad})
    assert getattr(encoder, precision)
    assert found[1] == found[0] != set()
    plain = ItemEncoder(encoder, item_tokens(), 128)
    vectors, wanted = gradients(encoder, plain)
    states = LayerStates(encoder, item_tokens(), 128, in_fp16=True)
    cached, own = gradients(encoder, CachedItemEncoder(states, 128))
    assert cached.dtype == torch.float32
    assert float((cached - vectors).abs().max()) <= 0.02 * float(vectors.abs().max())
    assert {name for name, gradient in own.items() if gradient is not None} == found[0]
    largest = max(float(wanted[name].norm()) for name in found[0])
    assert all(float((own[name] - wanted[name]).norm()) <= 0.02 * largest for name in found[0])


def test_dropout_acts_above_the_cut_only() -> None:
    encoder = tiny_encoder(dropout=0.5)
    encoder.freeze_below(1)
    encoder.train()
    modes = [layer.training for layer in encoder.cut.layers]
    assert modes == [False, True]
    assert not encoder.backbone.embeddings.dropout.training
    assert encoder.eval().cut.layers[1].training is False


@pytest.mark.parametrize(
    ("adapt", "trained"),
    [
        ("full", {"backbone", "pool"}),
        ("freeze", {"backbone", "pool"}),
        ("none", {"pool"}),
        ("side", {"side"}),
    ],
)
def test_what_each_kind_trains(adapt: str, trained: set[str]) -> None:
    spec = encoder_spec(adapt=adapt)
    encoder = adapted(load_encoder(spec, VOCABULARY, autocast=False), spec)
    names = [name for name, parameter in encoder.named_parameters() if parameter.requires_grad]
    assert {name.split(".")[0] for name in names} == trained
    if adapt == "freeze":
        assert {name.split(".")[3] for name in names if name.startswith("backbone")} == {"1"}
    plain = ItemEncoder(encoder, item_tokens(), 128)
    cached = over_states(encoder, plain, spec)
    assert isinstance(cached, CachedItemEncoder) == (adapt not in ("full", "lora"))
    assert over_states(encoder, plain, spec.model_copy(update={"cache": "off"})) is plain


@pytest.mark.parametrize(("layers", "asked", "frozen"), [(12, "auto", 10), (6, "auto", 5), (2, "auto", 1)])
def test_automatic_freezing_leaves_a_sixth(layers: int, asked: str, frozen: int) -> None:
    spec = Encoder.model_validate(
        {"architecture": {**SMALL_SHAPE, "layers": layers}, "adapt": "freeze", "freeze": {"layers": asked}}
    )
    assert frozen_layers(load_encoder(spec, VOCABULARY, autocast=False), spec) == frozen


def test_freezing_all_layers_is_refused() -> None:
    spec = encoder_spec(adapt="freeze", freeze={"layers": 2})
    with pytest.raises(ConfigError, match=r"freeze\.layers = 2, but of the encoder's 2 layers one must"):
        adapted(load_encoder(spec, VOCABULARY, autocast=False), spec)


def test_a_side_network_far_wider_than_the_states_is_refused_before_its_memory_is_taken() -> None:
    content = load_encoder(encoder_spec(), VOCABULARY, autocast=False)
    widest = 16 * content.width
    assert SideEncoder(content, 1, "first", widest).side.down[0].out_features == widest
    with pytest.raises(ConfigError, match=rf"width = {2**53}, .* are 16 wide.*up to {widest} can be used"):
        adapted(content, encoder_spec(adapt="side", side={"width": 2**53}))


def test_lora_above_all_layers_is_refused() -> None:
    spec = encoder_spec(adapt="lora", lora={"rank": 2, "frozen_layers": 2})
    with pytest.raises(ConfigError, match=r"lora\.frozen_layers = 2 leaves no layer to update"):
        adapted(load_encoder(spec, VOCABULARY, autocast=False), spec)


SMALL_SHAPE = {"hidden_size": 8, "heads": 2, "intermediate_size": 8}


def test_states_on_demand_grow_and_follow_a_conversion() -> None:
    encoder, tokens = tiny_encoder(dtype=torch.float32), item_tokens()
    encoder.freeze_below(1)
    states = LayerStates(encoder, tokens, 128, in_fp16=True)
    encode = CachedItemEncoder(states, 128)
    encode(ITEMS[:2])
    assert states.dtype == torch.float16
    first = states.states_RS[: int(tokens.lengths[ITEMS[:2]].sum())].clone()
    encode(np.arange(len(tokens)))
    assert torch.equal(states.states_RS[: len(first)], first)
    assert states.require(ITEMS) == 0
    encoder.double()
    found = encode(ITEMS)
    assert states.states_RS.dtype == found.dtype == torch.float64


@pytest.mark.parametrize("side", [False, True])
def test_a_file_of_all_states_gives_what_they_give_on_demand(side: bool, tmp_path: Path) -> None:
    encoder, tokens = tiny_encoder(dtype=torch.float32), item_tokens()
    if side:
        content: TextEncoder | SideEncoder = SideEncoder(encoder, 2, "mean", 3)
    else:
        encoder.freeze_below(1)
        content = encoder
    kind = SideStates if side else LayerStates
    demanded, written = (kind(content, tokens, 128, in_fp16=True) for _ in range(2))
    wanted = CachedItemEncoder(demanded, 128)(ITEMS)
    looked: list[None] = []
    assert written.write(tmp_path / "states", lambda: looked.append(None))
    assert looked
    assert (tmp_path / "states").stat().st_size == written.file_bytes
    for on_device in (True, False):
        written.open(tmp_path / "states", on_device)
        found = CachedItemEncoder(written, 128)(ITEMS)
        assert float((found - wanted).detach().abs().max()) < 2e-3 * float(wanted.detach().abs().max())
        assert written.states_RS.dtype == torch.float16
    plain = CachedItemEncoder(demanded, 128).without_cache()(ITEMS)
    assert 0 < float((plain - wanted).detach().abs().max()) < 2e-3 * float(wanted.detach().abs().max())
    (tmp_path / "states").write_bytes(b"short")
    with pytest.raises(ValueError, match="has 5 bytes instead of"):
        written.open(tmp_path / "states", True)


def test_a_state_that_fp16_cannot_hold_is_noticed(tmp_path: Path) -> None:
    encoder = tiny_encoder(dtype=torch.float32)
    encoder.freeze_below(1)
    with torch.no_grad():
        encoder.cut.layers[0].output.LayerNorm.bias.fill_(1e5)
    states = LayerStates(encoder, item_tokens(), 128, in_fp16=True)
    assert not states.write(tmp_path / "states")
    states.in_fp16 = False
    assert states.write(tmp_path / "states")


@pytest.mark.parametrize("side", [False, True])
def test_a_state_that_fp16_cannot_hold_is_held_in_fp32_on_demand(side: bool) -> None:
    """`grambench predict` computes them so: infinite ones would score nothing."""
    encoder = tiny_encoder(dtype=torch.float32)
    content = SideEncoder(encoder, 2, "mean", 3) if side else encoder
    if not side:
        encoder.freeze_below(1)
    with torch.no_grad():
        encoder.backbone.encoder.layer[0].output.LayerNorm.weight.mul_(1e5)
    states = (SideStates if side else LayerStates)(content, item_tokens(), 128, in_fp16=True)
    cached = CachedItemEncoder(states, 128)
    for items in (ITEMS[:1], ITEMS):
        wanted = cached.without_cache()(items).detach()
        assert float((cached(items).detach() - wanted).abs().max()) < 1e-5 * float(wanted.abs().max())
    assert states.dtype == torch.float32
