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

_CANNOT_READ = (AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)
"""What models raise that need more than word embeddings, or have none."""


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
        ConfigError: the folder holds no model that `AutoModel` can load, some weights are missing, or the
            model cannot read word embeddings.
    """
    if spec.architecture is not None:
        backbone, width = _from_scratch(spec, vocabulary_size)
    else:
        backbone = _pretrained(spec)
        width = int(_states(backbone).shape[-1])
    if getattr(backbone, "pooler", None) is not None:
        # its output is unused, so its parameters would never be trained; SqueezeBERT calls it in any case
        backbone.register_module("pooler", nn.Identity())
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
        word_scale=_word_scale(backbone),
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
    return int(getattr(config, "word_embed_proj_dim", None) or config.hidden_size)  # OPT projects its output


def takes_ready_mask(backbone: nn.Module) -> bool:
    """Whether all layers use bidirectional scaled_dot_product_attention with one common mask.

    A causal model builds its own mask, which a ready-made one would replace; relative biases are added to a
    mask of numbers.
    """
    if _is_relative(backbone):
        return False
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
    is_absolute = getattr(config, "position_embedding_type", None) in (None, "absolute")
    if not takes_ready_mask(backbone) or not takes_positions or not is_absolute:
        return None
    return None if _mixes_neighbours(config) else Packing(_first_position(backbone))


def _is_relative(backbone: nn.Module) -> bool:
    """Whether attention has learned biases of relative positions, as in T5 and MPNet."""
    return any("relative" in name for name, _ in backbone.named_modules())


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
    """Maximum sequence length of a model with learned positions; None if its config has no limit.

    A sparse BigBird attends to all tokens, and so reads an item as it does alone, up to a shorter length.
    """
    config: Any = backbone.config
    positions = getattr(config, "max_position_embeddings", None)
    if not isinstance(positions, int) or positions <= 0:
        return None
    positions -= _first_position(backbone)
    if getattr(config, "attention_type", None) == "block_sparse":
        positions = min(positions, (5 + 2 * int(config.num_random_blocks)) * int(config.block_size))
    return positions


def _states(backbone: nn.Module, scale: float = 1.0, by_ids: bool = False) -> torch.Tensor:
    """Hidden states [1, 2, D] of two tokens, read by their scaled word embeddings or by their ids.

    Raises:
        ConfigError: the model does not compute them so.
    """
    model: Any = backbone
    ids = torch.arange(1, 3)[None]
    try:
        with torch.no_grad():
            inputs = {"inputs_embeds": scale * model.get_input_embeddings()(ids)}
            inputs = {"input_ids": ids} if by_ids else inputs
            states: torch.Tensor = model(**inputs, attention_mask=torch.ones_like(ids)).last_hidden_state
    except _CANNOT_READ as error:
        raise ConfigError(
            f"{type(model).__name__} does not compute token states from word embeddings alone.",
            "Choose a text encoder with --set encoder.model=NAME; docs/encoders.md lists families.",
        ) from error
    return states


def _word_scale(backbone: nn.Module) -> float:
    """Factor between the looked-up embeddings and those that the layers read.

    Some models with `embed_scale` apply it to token ids only, others also to given embeddings.
    """
    scale = float(getattr(backbone, "embed_scale", 1.0))
    if scale == 1.0:
        return scale
    wanted = _states(backbone, by_ids=True)
    return min((1.0, scale), key=lambda factor: float((_states(backbone, factor) - wanted).norm()))


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


def _pretrained(spec: Encoder) -> nn.Module:
    """The model; of an encoder-decoder its encoder, without the decoder's layers ever built."""
    from transformers import AutoModel

    def shaped(config: Any) -> None:
        set_dropout(config, spec.dropout)
        config.use_cache = False  # of states for a next token; Bamba's and LFM2's need a layer of attention
        if spec.layers is not None:
            _keep_layers(config, spec.layers)
        _leave_decoder_out(config)

    assert spec.model is not None
    model = read_pretrained(AutoModel, spec.model, spec.revision, shaped, needless="pooler.")
    encoder: nn.Module = model.get_encoder() if model.config.is_encoder_decoder else model
    return encoder


def _keep_layers(config: Any, most: int) -> None:
    """Let a model be built with its first layers only.

    Raises:
        ConfigError: the model's layers are not one stack.
    """
    try:
        config.num_hidden_layers = kept = min(most, config.num_hidden_layers)
    except (AttributeError, NotImplementedError) as error:  # Funnel, ProphetNet
        raise ConfigError(
            f"The first layers of a model of type {config.model_type} cannot be kept alone.",
            "Leave out encoder.layers, which keeps all of them.",
        ) from error
    if isinstance(windows := getattr(config, "attention_window", None), list):  # Longformer, LED: one a layer
        config.attention_window = windows[:kept]


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
        ConfigError: the folder holds no such model, or some weights are missing.
    """
    from transformers import AutoConfig

    with hub_errors(model, key):
        options = hub_options(model, revision)
        config = AutoConfig.from_pretrained(model, **options)
        shaped(config)
        loaded, loading = _loaded(auto, model, config, options)
    unread = (needless, "decoder.") if config.is_encoder_decoder else (needless,)
    missing = sorted(name for name in loading["missing_keys"] if not name.startswith(unread))
    if missing:  # transformers would initialise them at random and continue
        raise ConfigError(
            f"The model {model!r} has no weights for {len(missing)} tensors of its config.json,"
            f" including {missing[0]}.",
            "Check that its config.json and its weights belong together.",
        )
    return loaded


def _leave_decoder_out(config: Any) -> None:
    """Let an encoder-decoder be built with no layer in its decoder."""
    names = [name for name in ("decoder_layers", "num_decoder_layers") if hasattr(config, name)]
    saved_as = str((getattr(config, "architectures", None) or ("",))[0])
    if names and (config.is_encoder_decoder or saved_as.endswith("EncoderModel")):
        config.is_encoder_decoder = True  # T5EncoderModel saves False
        for name in names:
            setattr(config, name, 0)


def _loaded(auto: Any, model: str, config: Any, options: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """The model and what was found of its weights, with fused attention where transformers has it."""

    def with_attention(name: str) -> tuple[Any, dict[str, Any]]:
        found: tuple[Any, dict[str, Any]] = auto.from_pretrained(
            model,
            config=config,
            attn_implementation=name,
            dtype=torch.float32,
            output_loading_info=True,
            **options,
        )
        return found

    if getattr(config, "attn_logit_softcapping", None):  # fused attention would ignore the cap
        return with_attention("eager")
    try:
        return with_attention("sdpa")
    except ValueError as error:  # raised before any weight is read
        if "attention implementation" not in str(error):
            raise
    return with_attention("eager")


def set_dropout(config: Any, dropout: float) -> None:
    """Set every dropout probability of a transformers config (names differ between families)."""
    for name, value in config.to_dict().items():
        if "drop" in name and isinstance(value, (int, float)) and not isinstance(value, bool):
            setattr(config, name, dropout)
