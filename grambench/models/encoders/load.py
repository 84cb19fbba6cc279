"""Build a content encoder from the specification: a model on the hub, in a folder, or from scratch."""

import sys
from collections.abc import Callable
from inspect import signature
from typing import Any

import torch
from torch import nn

from grambench.config.networks import Encoder
from grambench.errors import ConfigError
from grambench.hub import hub_errors, hub_options
from grambench.models.encoders.base import Packing
from grambench.models.encoders.sentence import pooling_of
from grambench.models.encoders.text import TextEncoder


def load_encoder(
    spec: Encoder, vocabulary_size: int, autocast: bool, half_weights: bool = False
) -> TextEncoder:
    """The encoder with its weights, on the CPU, in fp32, with the specified dropout throughout.

    From-scratch weights and the pooling are drawn from torch's global generator: seed it first.

    Args:
        spec: the `encoder` table.
        vocabulary_size: of the tokenizer, for an encoder from scratch.
        autocast: run the backbone in bf16 autocast (CUDA only).
        half_weights: run it on bf16 copies of its weights instead.

    Raises:
        MachineError: the model is neither a folder nor in the cache, and the hub cannot be reached.
        ConfigError: the folder holds no model that `AutoModel` can load, or some weights are missing.
    """
    if spec.architecture is not None:
        backbone, width = _from_scratch(spec, vocabulary_size)
    else:
        backbone, width = _pretrained(spec)
    if getattr(backbone, "pooler", None) is not None:
        # its output is unused, so its parameters would never be trained
        backbone.register_module("pooler", None)
    config = backbone.config
    return TextEncoder(
        backbone,
        width,
        pooling_of(spec),
        spec.pooling_query,
        autocast,
        max_tokens=usable_positions(backbone),
        revision=getattr(config, "_commit_hash", None),
        ready_mask=takes_ready_mask(backbone),
        packing=packing_of(backbone),
        half_weights=half_weights,
        blank_padding=_mixes_neighbours(config),
    )


def encoder_width(spec: Encoder) -> int:
    """Width of the encoder's hidden states, without loading its weights.

    Raises:
        MachineError: the model's config is neither in a folder nor in the cache nor on the hub.
    """
    if spec.architecture is not None:
        return spec.architecture.hidden_size
    from transformers import AutoConfig

    assert spec.model is not None
    with hub_errors(spec.model):
        config = AutoConfig.from_pretrained(spec.model, **hub_options(spec.model, spec.revision))
    return int(config.hidden_size)


def takes_ready_mask(backbone: nn.Module) -> bool:
    """Whether all layers use bidirectional scaled_dot_product_attention with one common mask.

    A causal model builds its own mask, which a ready-made one would replace.
    """
    makers = vars(sys.modules[type(backbone).__module__])
    one_mask = "create_bidirectional_mask" in makers
    windows = "create_bidirectional_sliding_window_mask" in makers
    config: Any = backbone.config
    own = set(getattr(config, "layer_types", None) or ()) - {"full_attention"}
    causal = any(getattr(module, "is_causal", False) for module in backbone.modules())
    return one_mask and not windows and not own and not causal and config._attn_implementation == "sdpa"


def packing_of(backbone: nn.Module) -> Packing | None:
    """How the model reads several items per row; None if it cannot.

    It must take one mask for all layers and position ids, and must not have relative biases, which would be
    relative to the row rather than the item. A token's embedding must not depend on its neighbours. Before
    every run the layout's vectors are compared with the model's own (`training/encoder_check.py`).
    """
    config: Any = backbone.config
    takes_positions = "position_ids" in signature(backbone.forward).parameters
    is_relative = any("relative" in name for name, _ in backbone.named_modules())
    is_absolute = getattr(config, "position_embedding_type", None) in (None, "absolute")
    if not takes_ready_mask(backbone) or not takes_positions or is_relative or not is_absolute:
        return None
    return None if _mixes_neighbours(config) else Packing(_first_position(backbone))


def _first_position(backbone: nn.Module) -> int:
    """Position id of the first token; RoBERTa's family starts after the padding token's id."""
    for module in backbone.modules():
        if hasattr(module, "create_position_ids_from_inputs_embeds"):
            embeddings: Any = module
            return int(embeddings.padding_idx) + 1
    return 0


def _mixes_neighbours(config: Any) -> bool:
    """Whether a word's embedding is combined with its neighbours', as in MobileBERT."""
    return bool(getattr(config, "trigram_input", False))


def usable_positions(backbone: nn.Module) -> int | None:
    """Maximum sequence length of a model with learned positions; None if its config has no limit."""
    positions = getattr(backbone.config, "max_position_embeddings", None)
    if not isinstance(positions, int) or positions <= 0:
        return None
    return positions - _first_position(backbone)


def _from_scratch(spec: Encoder, vocabulary_size: int) -> tuple[nn.Module, int]:
    from transformers import BertConfig, BertModel

    shape = spec.architecture
    assert shape is not None
    config = BertConfig(
        vocab_size=vocabulary_size,
        hidden_size=shape.hidden_size,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        intermediate_size=shape.intermediate_size,
        hidden_dropout_prob=spec.dropout,
        attention_probs_dropout_prob=spec.dropout,
        attn_implementation="sdpa",
    )
    return BertModel(config, add_pooling_layer=False), shape.hidden_size


def _pretrained(spec: Encoder) -> tuple[nn.Module, int]:
    from transformers import AutoModel

    def shaped(config: Any) -> None:
        set_dropout(config, spec.dropout)
        if spec.layers is not None:
            config.num_hidden_layers = min(spec.layers, config.num_hidden_layers)

    assert spec.model is not None
    backbone = read_pretrained(AutoModel, spec.model, spec.revision, shaped, needless="pooler.")
    return backbone, int(backbone.config.hidden_size)


def read_pretrained(
    auto: Any,
    model: str,
    revision: str | None,
    shaped: Callable[[Any], None],
    *,
    needless: str = "-",
    key: str = "encoder.model",
) -> Any:
    """A transformers model with all its weights, in fp32.

    Args:
        auto: the class, such as `AutoModel`.
        model: name or folder.
        revision: commit; None: the newest.
        shaped: modifies the config before the model is built.
        needless: name prefix of weights that may be missing.
        key: the setting that names the model, for messages.

    Raises:
        MachineError: the model is neither a folder nor in the cache, and the hub cannot be reached.
        ConfigError: the folder holds no such model, some weights are missing, or the model caps its
            attention scores.
    """
    from transformers import AutoConfig

    with hub_errors(model, key):
        options = hub_options(model, revision)
        config = AutoConfig.from_pretrained(model, **options)
        shaped(config)
        if getattr(config, "attn_logit_softcapping", None):  # transformers 5.0 would ignore it
            raise ConfigError(
                f"The model {model!r} caps its attention scores, which fused attention does not do.",
                f"Choose another model with --set {key}=NAME.",
            )
        loaded, loading = auto.from_pretrained(
            model,
            config=config,
            attn_implementation="sdpa",
            dtype=torch.float32,
            output_loading_info=True,
            **options,
        )
    missing = sorted(name for name in loading["missing_keys"] if not name.startswith(needless))
    if missing:  # transformers would initialise them at random and continue
        raise ConfigError(
            f"The model {model!r} has no weights for {len(missing)} tensors of its config.json,"
            f" including {missing[0]}.",
            "Check that its config.json and its weights belong together.",
        )
    return loaded


def set_dropout(config: Any, dropout: float) -> None:
    """Set every dropout probability of a transformers config (names differ between families)."""
    for name, value in config.to_dict().items():
        if "drop" in name and isinstance(value, (int, float)) and not isinstance(value, bool):
            setattr(config, name, dropout)
