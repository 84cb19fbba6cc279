"""`encoder.adapt`: which part of the content encoder is trained."""

import torch

from grambench.config.networks import Encoder
from grambench.errors import ConfigError
from grambench.models.encoders.base import ItemVectors
from grambench.models.encoders.buckets import ItemEncoder
from grambench.models.encoders.cut import layers_of
from grambench.models.encoders.lora import add_lora, require_layer
from grambench.models.encoders.side import SideEncoder
from grambench.models.encoders.states import CachedItemEncoder, LayerStates, SideStates
from grambench.models.encoders.text import TextEncoder

TRAINED_SHARE = 6
"""`freeze.layers = "auto"` trains the last of so many layers: 2 of 12, as MicroLens and PixelRec do."""


def adapted(encoder: TextEncoder, spec: Encoder) -> TextEncoder | SideEncoder:
    """The encoder with those parameters frozen, or added, that `spec.adapt` says.

    Raises:
        ConfigError: the model's layers cannot be told apart, or it has fewer than would be frozen.
    """
    if spec.adapt == "none":
        encoder.freeze_transformer()
    elif spec.adapt == "freeze":
        encoder.freeze_below(frozen_layers(encoder, spec))
    elif spec.adapt == "lora":
        if spec.lora.frozen_layers:
            require_layer(spec.lora.frozen_layers, len(layers_of(encoder.backbone)))
            encoder.freeze_below(spec.lora.frozen_layers)
        add_lora(encoder.backbone, spec.lora, spec.lora.frozen_layers)
    elif spec.adapt == "side":
        layers = None if spec.side.layers == "every-second" else spec.side.layers
        with torch.random.fork_rng(devices=[]):  # the filter starts the same with any kind
            return SideEncoder(encoder, layers, spec.side.pool, spec.side.width)
    return encoder


def frozen_layers(encoder: TextEncoder, spec: Encoder) -> int:
    """Layers below the trained ones.

    Raises:
        ConfigError: that would be all layers.
    """
    number = len(layers_of(encoder.backbone))
    asked = spec.freeze.layers
    layers = number - max(1, round(number / TRAINED_SHARE)) if asked == "auto" else asked
    if not 0 < layers < number:
        most = {1: "", 2: "encoder.freeze.layers = 1, or "}
        fewer = most.get(number, f"encoder.freeze.layers from 1 to {number - 1}, or ")
        raise ConfigError(
            f"encoder.freeze.layers = {layers}, but of the encoder's {number} layers one must stay trained.",
            f"Use {fewer}encoder.adapt = none.",
        )
    return layers


def over_states(encoder: ItemVectors, plain: ItemEncoder, spec: Encoder) -> ItemEncoder:
    """Encode over states of the frozen part that are computed once per item, if the encoder has such a part.

    Args:
        encoder: as `adapted` returns it.
        plain: encodes without a cache.
        spec: the `encoder` table.
    """
    if not spec.keeps_states:
        return plain
    tokens = plain.bucket_tokens
    if isinstance(encoder, SideEncoder):
        return CachedItemEncoder(SideStates(encoder, plain.tokens, tokens, in_fp16=True), tokens)
    if isinstance(encoder, TextEncoder) and (encoder.cut is not None or encoder.is_frozen):
        states = LayerStates(encoder, plain.tokens, tokens, in_fp16=True)
        return CachedItemEncoder(states, tokens, plain.layout)
    return plain
