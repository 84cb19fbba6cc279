"""LoRA against the peft library, and peft on what is exported; run by `make exporters`."""

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from exported_models import MadeRun, family_model
from tiny_models import FAMILIES, lora_parameters
from torch import Tensor
from transformers import AutoConfig, AutoModel

from grambench.config.networks import Lora
from grambench.models.encoders.lora import (
    add_lora,
    leave_lora_start,
    lora_modules,
    merge_lora,
)

pytestmark = pytest.mark.readers
ORACLES = ("bert", "roberta", "distilbert", "mpnet", "modernbert", "gpt2", "qwen2")


def states_of(model: Any, words: Tensor) -> Tensor:
    mask = torch.ones(words.shape[:2], dtype=torch.long)
    return model(inputs_embeds=words, attention_mask=mask).last_hidden_state


def of_peft(plain: Any, ours: Any, spec: Lora) -> Any:
    """The model as peft wraps it, with the same updates."""
    from peft import LoraConfig, get_peft_model

    updates = lora_modules(ours)
    config = LoraConfig(
        r=spec.rank,
        lora_alpha=spec.alpha,
        lora_dropout=0.0,
        use_rslora=spec.scaling == "sqrt-rank",
        target_modules=list(updates),
        fan_in_fan_out=any(part.transposed for part in updates.values()),
    )
    model = get_peft_model(copy.deepcopy(plain), config)
    with torch.no_grad():
        for theirs, part in zip(layers_of(model), updates.values(), strict=True):
            theirs.lora_A["default"].weight.copy_(part.lora_A)
            theirs.lora_B["default"].weight.copy_(part.lora_B)
    return model.double()


def layers_of(model: Any) -> list[Any]:
    from peft.tuners.lora import LoraLayer

    return [part for part in model.modules() if isinstance(part, LoraLayer)]


@pytest.mark.parametrize("targets", ["auto", "all-linear"])
@pytest.mark.parametrize("family", ORACLES)
def test_states_gradients_and_merged_weights_are_those_of_peft(family: str, targets: Any) -> None:
    kind, sizes = FAMILIES[family]
    torch.manual_seed(0)
    plain = AutoModel.from_config(AutoConfig.for_model(kind, **sizes)).eval().double()
    scaling = "rank" if targets == "auto" else "sqrt-rank"
    ours, spec = copy.deepcopy(plain), Lora(rank=3, alpha=5, targets=targets, scaling=scaling)
    add_lora(ours, spec)
    leave_lora_start(ours)
    theirs = of_peft(plain, ours, spec)
    words = torch.randn(3, 9, plain.get_input_embeddings().weight.shape[1], dtype=torch.float64)
    found, wanted = states_of(ours, words), states_of(theirs, words)
    assert (found - wanted).abs().max() <= 1e-10
    assert (found - states_of(plain, words)).abs().max() > 1e-4
    direction = torch.randn_like(found)
    gradients = torch.autograd.grad((found * direction).sum(), lora_parameters(ours))
    (wanted * direction).sum().backward()
    of_theirs = [
        pair["default"].weight.grad for part in layers_of(theirs) for pair in (part.lora_A, part.lora_B)
    ]
    for gradient, other in zip(gradients, of_theirs, strict=True):
        assert (gradient - other).abs().max() <= 1e-10 * max(1.0, float(other.abs().max()))
        assert other.abs().max() > 1e-6
    merge_lora(ours)
    merged = theirs.merge_and_unload().state_dict()
    assert ours.state_dict().keys() == merged.keys()
    assert all((weight - merged[name]).abs().max() <= 1e-12 for name, weight in ours.state_dict().items())


@torch.no_grad()
@pytest.mark.parametrize("family", ["roberta", "gpt2"])
def test_peft_loads_the_exported_adapter(
    family: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from peft import PeftModel

    monkeypatch.setenv("GRAMBENCH_CACHE", str(tmp_path / "cache"))
    base = family_model(family, tmp_path / "base")
    changes = ("encoder.pooling=last", "encoder.adapt=lora", "encoder.lora.targets=all-linear")
    folder = MadeRun.of(tmp_path, *changes, model=base).export(tmp_path / "model")
    plain, exported = AutoModel.from_pretrained(base), AutoModel.from_pretrained(folder)
    words = torch.randn(3, 9, 16)
    adapted = PeftModel.from_pretrained(copy.deepcopy(plain), folder / "adapter")
    wanted = states_of(exported.eval(), words)
    assert (states_of(adapted.eval(), words) - wanted).abs().max() <= 1e-5
    assert (states_of(plain.eval(), words) - wanted).abs().max() > 1e-3
