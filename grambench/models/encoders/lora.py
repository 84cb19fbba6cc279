"""Low-rank updates of a frozen transformer (LoRA, Hu et al., 2022): y = W x + s B A x.

Legend: I inputs and O outputs of a linear map, R rank.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from grambench.config.networks import Lora
from grambench.errors import ConfigError

_STREAM = 0x4C6F5241
"""Sets the draws of A apart from those of other weights."""
_AWAY = 0.02
"""Standard deviation of B away from its start."""
_LINEARS = {
    "query value": "albert bert bert-generation big_bird camembert data2vec-text electra ernie led longformer"
    " megatron-bert mobilebert rembert roberta roberta-prelayernorm roformer xlm-roberta xlm-roberta-xl xmod",
    "q_lin v_lin": "distilbert flaubert xlm",
    "q v": "longt5 mpnet mt5 t5 umt5",
    "q_proj v_proj": "bart blenderbot eurobert gemma gemma2 gemma3_text gpt_neo jamba lfm2 llama m2m_100"
    " marian mbart mistral mixtral modernbert-decoder nomic_bert olmo2 opt pegasus qwen2 qwen3",
    "query_proj value_proj": "deberta-v2",
    "Wqkv": "modernbert",
    "c_attn": "gpt2",
    "in_proj": "deberta",
    "qkv_proj": "phi3",
    "query_key_value": "bloom falcon gpt_neox",
}
"""Linear maps of queries and values (or of both and keys) -> model types, in transformers 5."""
TARGETS = {kind: tuple(names.split()) for names, kinds in _LINEARS.items() for kind in kinds.split()}
"""Model type -> what `targets = "auto"` updates."""


class LoraLinear(nn.Linear):
    """A frozen linear map, its weights under their own names, and its update."""

    def __init__(self, plain: Any, spec: Lora, generator: torch.Generator) -> None:
        """
        Args:
            plain: an `nn.Linear`, or GPT-2's `Conv1D`, whose weight is [I, O].
            spec: rank and scale of the update.
            generator: A is drawn from it.
        """
        nn.Module.__init__(self)  # nn.Linear would draw weights
        self._plain = (plain,)  # hidden in a tuple: not a submodule
        self.weight, self.bias = plain.weight, plain.bias
        self.transposed = not isinstance(plain, nn.Linear)
        self.out_features, self.in_features = self.weight.T.shape if self.transposed else self.weight.shape
        self.scale = spec.alpha / (spec.rank if spec.scaling == "rank" else math.sqrt(spec.rank))
        start_RI = torch.empty(spec.rank, self.in_features)
        nn.init.kaiming_uniform_(start_RI, a=math.sqrt(5), generator=generator)
        self.lora_A = nn.Parameter(start_RI.to(self.weight))
        self.lora_B = nn.Parameter(self.weight.new_zeros(self.out_features, spec.rank))

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 # nn.Linear's name
        """Outputs [*, O] of inputs [*, I]."""
        weight_OI = self.weight.T if self.transposed else self.weight
        plain = functional.linear(input, weight_OI, self.bias)
        return plain + self.scale * functional.linear(functional.linear(input, self.lora_A), self.lora_B)

    @torch.no_grad()
    def merged(self) -> nn.Module:
        """The plain linear map, with the update in its weight."""
        plain: nn.Module = self._plain[0]
        update_OI = self.scale * (self.lora_B @ self.lora_A)
        self.weight.add_(update_OI.T if self.transposed else update_OI)
        plain.weight, plain.bias = self.weight, self.bias
        return plain


def add_lora(backbone: nn.Module, spec: Lora, first_layer: int = 0) -> None:
    """Freeze a transformer, and give linear maps of its layers low-rank updates, which start at 0.

    A is drawn as by peft, from a generator of its own that torch's initial seed determines: whatever is drawn
    afterwards does not depend on whether there are updates.

    Args:
        backbone: the transformer, in fp32 on the CPU.
        spec: which maps, and their rank and scale.
        first_layer: layers below have no updates.

    Raises:
        ConfigError: the layers have no such maps, there are not that many layers, or the rank is above
            that of every weight.
    """
    chosen = _chosen(backbone, spec, first_layer)
    _require_low_rank(chosen, spec.rank)
    backbone.requires_grad_(False)
    generator = torch.Generator().manual_seed(torch.initial_seed() ^ _STREAM)
    for path, plain in chosen.items():
        backbone.set_submodule(path, LoraLinear(plain, spec, generator))


def merge_lora(backbone: nn.Module) -> None:
    """Add the updates to the weights, and put the plain maps back, in the weights' precision."""
    for path, module in lora_modules(backbone).items():
        backbone.set_submodule(path, module.merged())


def lora_modules(module: nn.Module) -> dict[str, LoraLinear]:
    """The linear maps with updates, by their paths."""
    return {path: part for path, part in module.named_modules() if isinstance(part, LoraLinear)}


@torch.no_grad()
def leave_lora_start(module: nn.Module) -> None:
    """Draw every B, the same in each process: while B is 0, all gradients of A are 0."""
    generator = torch.Generator().manual_seed(_STREAM)
    for part in lora_modules(module).values():
        drawn_OR = torch.empty(part.lora_B.shape, dtype=torch.float64).normal_(std=_AWAY, generator=generator)
        part.lora_B.copy_(drawn_OR)


def _chosen(backbone: nn.Module, spec: Lora, first_layer: int) -> dict[str, nn.Module]:
    """The maps to update, by their paths."""
    maps = _maps_of_layers(backbone)
    names = _names(backbone, spec, maps)
    require_layer(first_layer, len({_place(path)[0] for path in maps}))
    above = {path: plain for path, plain in maps.items() if _place(path)[0] >= first_layer}
    missing = [name for name in names if not any(_ends(path, name) for path in above)]
    if missing:
        raise _unsuited(backbone, maps, f"has no linear map named {missing[0]}")
    return {p: plain for p, plain in above.items() if not names or any(_ends(p, name) for name in names)}


def _require_low_rank(maps: dict[str, Any], rank: int) -> None:
    """
    Raises:
        ConfigError: no weight has so high a rank.
    """
    full = max(min(plain.weight.shape) for plain in maps.values())
    if rank > full:
        raise ConfigError(
            f"encoder.lora.rank = {rank}, but the weights that it updates have rank {full} at most.",
            "Lower it; 4 to 64 are usual.",
        )


def require_layer(first_layer: int, layers: int) -> None:
    """
    Raises:
        ConfigError: no layer is left to update.
    """
    if first_layer >= layers:
        raise ConfigError(
            f"encoder.lora.frozen_layers = {first_layer} leaves no layer to update: the model has {layers}"
            " with weights of their own.",
            "Lower it.",
        )


def _names(backbone: nn.Module, spec: Lora, maps: dict[str, nn.Module]) -> tuple[str, ...]:
    """Ends of the paths of the maps to update; empty: all maps."""
    if not maps:
        raise _unsuited(backbone, maps, "has no linear map")
    if spec.targets == "all-linear":
        return ()
    if spec.targets != "auto":
        return spec.targets
    config: Any = backbone.config
    if config.model_type not in TARGETS:
        raise _unsuited(backbone, maps, "names its queries and values in a way that is not known")
    return TARGETS[config.model_type]


def _unsuited(backbone: nn.Module, maps: dict[str, nn.Module], why: str) -> ConfigError:
    config: Any = backbone.config
    names = ", ".join(dict.fromkeys(_place(path)[1] for path in maps))
    fix = f'Set encoder.lora.targets to "all-linear", or to a list of these: {names}.'
    if not maps:
        fix = "Choose another encoder.adapt, or another encoder.model."
    return ConfigError(f'LoRA: a layer of the model type "{config.model_type}" {why}.', fix)


def _ends(path: str, name: str) -> bool:
    return f".{path}".endswith(f".{name}")


def _maps_of_layers(backbone: nn.Module) -> dict[str, nn.Module]:
    """All linear maps within layers, by their paths; not those of poolers and embeddings."""
    from transformers.pytorch_utils import Conv1D

    linear = (nn.Linear, Conv1D)
    return {path: m for path, m in backbone.named_modules() if isinstance(m, linear) and _place(path)[1]}


def _place(path: str) -> tuple[int, str]:
    """Number of the layer, and the rest of the path; "" outside layers."""
    parts = path.split(".")
    numbers = [index for index, part in enumerate(parts) if part.isdigit()]
    return (int(parts[numbers[0]]), ".".join(parts[numbers[0] + 1 :])) if numbers else (0, "")
