"""LoRA: the update is what was published, in every family, and goes into plain weights without a trace."""

import math
import re
from typing import Any

import pytest
import torch
from tiny_models import FAMILIES, WIDTH, lora_parameters
from tiny_systems import VOCABULARY, encoder_spec
from torch import Tensor, nn
from transformers import CONFIG_MAPPING, AutoConfig, AutoModel
from transformers.pytorch_utils import Conv1D

from grambench.config.networks import Lora
from grambench.errors import ConfigError
from grambench.models.encoders.half import in_bf16
from grambench.models.encoders.load import load_encoder
from grambench.models.encoders.lora import (
    TARGETS,
    LoraLinear,
    add_lora,
    leave_lora_start,
    lora_modules,
    merge_lora,
)

WITHOUT = {"squeezebert", "xlnet"}
"""Their queries and values are convolutions and bare tensors."""
EXACT = {"albert", "bart", "bert", "deberta-v2", "distilbert", "electra", "gpt2", "mpnet", "opt", "roberta"}
"""Compute in float64 throughout, where their weights are."""


def backbone_of(family: str, dtype: torch.dtype = torch.float64) -> Any:
    kind, sizes = FAMILIES[family]
    if kind not in CONFIG_MAPPING:
        pytest.skip(f"this version of transformers has no {kind}")
    torch.manual_seed(0)
    model = AutoModel.from_config(AutoConfig.for_model(kind, **sizes)).eval()
    getattr(model, "set_experts_implementation", str)("eager")  # grouped products have no float64
    return (model.get_encoder() if model.config.is_encoder_decoder else model).to(dtype)


def inputs_of(model: Any, dtype: torch.dtype | None = None) -> dict[str, Tensor]:
    """Random word embeddings, and a mask of real tokens."""
    weight, generator = model.get_input_embeddings().weight, torch.Generator().manual_seed(0)
    words = torch.randn(2, 8, weight.shape[1], generator=generator, dtype=torch.float64)
    mask = torch.ones(2, 8, dtype=torch.long)
    return {"inputs_embeds": words.to(dtype or weight.dtype), "attention_mask": mask}


def states(model: Any) -> Tensor:
    return model(**inputs_of(model)).last_hidden_state


def along_random(states: Tensor) -> Tensor:
    """A sum of random weights, in which layer norms cancel nothing."""
    generator = torch.Generator().manual_seed(1)
    return (states * torch.randn(states.shape, generator=generator, dtype=torch.float64).to(states)).sum()


def with_lora(family: str, first_layer: int = 0, dtype: torch.dtype = torch.float64, **settings: Any) -> Any:
    model = backbone_of(family, dtype)
    add_lora(model, Lora(**{"rank": 2, **settings}), first_layer)
    return model


@pytest.mark.parametrize("family", sorted(set(FAMILIES) - WITHOUT))
def test_an_update_starts_at_nothing_moves_the_states_and_is_merged(family: str) -> None:
    plain, model = backbone_of(family), with_lora(family)
    assert torch.allclose(states(model), states(plain), rtol=0, atol=1e-14)
    leave_lora_start(model)
    moved = states(model)
    along_random(moved).backward()
    reached = {name for name, weight in model.named_parameters() if weight.grad is not None}
    assert reached == {name for name, weight in model.named_parameters() if weight.requires_grad}
    assert len(reached) == len(lora_parameters(model))
    assert all(float(weight.grad.abs().max()) > 1e-12 for weight in lora_parameters(model))
    with torch.no_grad():
        merge_lora(model)
        assert (states(model) - moved).abs().max() <= (1e-12 if family in EXACT else 1e-6)
        assert (moved - states(plain)).abs().max() > 1e-5
    assert model.state_dict().keys() == plain.state_dict().keys()
    assert [type(part) for part in model.modules()] == [type(part) for part in plain.modules()]


@torch.no_grad()
def test_merging_in_fp32_moves_states_by_its_rounding_only() -> None:
    for family in ("bert", "qwen2", "gpt2"):
        model = with_lora(family, dtype=torch.float32, targets="all-linear")
        leave_lora_start(model)
        moved = states(model)
        merge_lora(model)
        assert 0 < (states(model) - moved).abs().max() <= 1e-5


@pytest.mark.parametrize(("scaling", "scale"), [("rank", 6 / 4), ("sqrt-rank", 6 / 2)])
@pytest.mark.parametrize("plain", [nn.Linear(5, 3), Conv1D(3, 5)])
def test_the_update_is_that_of_the_paper(plain: Any, scaling: str, scale: float) -> None:
    plain = plain.double()
    x = torch.randn(7, 2, 5, dtype=torch.float64)
    spec = Lora(rank=4, alpha=6, scaling=scaling)
    part = LoraLinear(plain, spec, torch.Generator().manual_seed(3))
    assert part.lora_A.shape == (4, 5)
    assert part.lora_A.abs().max() <= 1 / math.sqrt(5) < 1.3 * part.lora_A.abs().max()
    assert not part.lora_B.any()
    nn.init.normal_(part.lora_B)
    wanted = plain(x) + scale * (x @ part.lora_A.T @ part.lora_B.T)
    assert torch.allclose(part(x), wanted, rtol=0, atol=1e-13)
    assert torch.allclose(part.merged()(x), wanted, rtol=0, atol=1e-13)


@pytest.mark.parametrize(
    ("family", "targets", "names"),
    [
        ("modernbert", "auto", {"attn.Wqkv"}),
        ("modernbert", ("Wo",), {"attn.Wo", "mlp.Wo"}),
        ("modernbert", ("attn.Wo",), {"attn.Wo"}),
        ("longformer", "auto", {"attention.self.query", "attention.self.value"}),
        ("jamba", "auto", {"self_attn.q_proj", "self_attn.v_proj"}),
        ("gpt2", "all-linear", {"attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj"}),
        (
            "bert",
            "all-linear",
            {f"attention.self.{name}" for name in ("query", "key", "value")}
            | {"attention.output.dense", "intermediate.dense", "output.dense"},
        ),
    ],
)
def test_targets_are_linear_maps_of_layers(family: str, targets: Any, names: set[str]) -> None:
    found = lora_modules(with_lora(family, targets=targets))
    assert {re.sub(r"^.*?\b\d+\.", "", path) for path in found} == names


def test_layers_below_the_first_stay_plain() -> None:
    found = lora_modules(with_lora("bert", first_layer=1))
    assert set(found) == {f"encoder.layer.1.attention.self.{name}" for name in ("query", "value")}


@pytest.mark.parametrize(
    ("family", "first_layer", "targets", "message"),
    [
        ("xlnet", 0, "auto", r'"xlnet" names its .* not known.* a list of these: ff\.layer_1, ff\.layer_2\.'),
        ("squeezebert", 0, "all-linear", r"has no linear map\. Choose another encoder\.adapt"),
        (
            "distilbert",
            0,
            ("q_lin", "query"),
            r"no linear map named query\. .*these: attention\.q_lin, .*lin2\.",
        ),
        ("bert", 2, "auto", r"frozen_layers = 2 leaves no layer to update: the model has 2 "),
        (
            "albert",
            1,
            "auto",
            r"frozen_layers = 1 leaves no layer to update: the model has 1 with weights of",
        ),
    ],
)
def test_what_cannot_be_updated_is_refused(family: str, first_layer: int, targets: Any, message: str) -> None:
    plain = backbone_of(family)
    with pytest.raises(ConfigError, match=message):
        add_lora(plain, Lora(targets=targets), first_layer)
    assert not lora_modules(plain)
    assert all(weight.requires_grad for weight in plain.parameters())


def test_a_rank_above_that_of_every_weight_is_refused() -> None:
    add_lora(backbone_of("bert"), Lora(rank=WIDTH))
    plain = backbone_of("bert")
    message = rf"rank = {WIDTH + 1}, but .* have rank {WIDTH} at most\. Lower it"
    with pytest.raises(ConfigError, match=message):
        add_lora(plain, Lora(rank=WIDTH + 1))
    assert not lora_modules(plain)
    add_lora(backbone_of("modernbert"), Lora(rank=WIDTH, targets="all-linear"))


def test_every_type_of_the_table_is_one_that_is_tested() -> None:
    assert set(TARGETS) == {FAMILIES[family][0] for family in set(FAMILIES) - WITHOUT}


def test_draws_follow_the_seed_and_leave_later_draws_alone() -> None:
    def drawn(seed: int, updates: bool) -> tuple[list[Tensor], Tensor]:
        torch.manual_seed(seed)
        encoder = load_encoder(encoder_spec(), VOCABULARY, autocast=False)
        if updates:
            add_lora(encoder.backbone, Lora())
        return lora_parameters(encoder), torch.randn(5)

    (first, after), (again, _), (other, _) = drawn(1, True), drawn(1, True), drawn(2, True)
    assert all(torch.equal(one, two) for one, two in zip(first, again, strict=True))
    assert not torch.equal(first[0], other[0])
    assert not torch.equal(first[0], first[2])
    assert torch.equal(after, drawn(1, False)[1])


def test_on_bf16_copies_updates_learn_and_frozen_weights_cost_no_gradient() -> None:
    model = with_lora("bert", dtype=torch.float32)
    leave_lora_start(model)
    hidden = in_bf16(model, **inputs_of(model, torch.bfloat16)).last_hidden_state
    assert hidden.dtype == torch.bfloat16
    wanted = torch.autograd.grad(along_random(states(model)), lora_parameters(model))
    asked = leaves_of(hidden)
    assert asked == set(lora_parameters(model))
    along_random(hidden.float()).backward()
    for weight, gradient in zip(lora_parameters(model), wanted, strict=True):
        assert weight.grad.dtype == torch.float32
        assert (weight.grad - gradient).norm() <= 0.05 * gradient.norm()


def leaves_of(tensor: Tensor) -> set[Tensor]:
    """The leaves that a backward pass would reach."""
    waiting, seen, leaves = [tensor.grad_fn], set(), set()
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if hasattr(node, "variable"):
            leaves.add(node.variable)
        waiting += [upstream for upstream, _ in node.next_functions]
    return leaves
