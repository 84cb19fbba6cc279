"""The networks trained by strategies: encoder and filter of the specification, or a baseline's own."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grambench.config.spec import Spec
from grambench.config.strategies import Vocabulary
from grambench.data.prepared.tokens import without
from grambench.data.word_vectors import WordVectors, read_word_vectors
from grambench.domains.prepared import Prepared
from grambench.errors import ConfigError
from grambench.models.encoders.adapt import adapted
from grambench.models.encoders.base import ItemVectors
from grambench.models.encoders.free import FreeVectors, NoVectors, PulledVectors
from grambench.models.encoders.load import encoder_width, load_encoder
from grambench.models.encoders.text import TextEncoder
from grambench.models.encoders.words import AttentiveWordEncoder, BiLSTMEncoder
from grambench.models.filters import make_filter
from grambench.models.filters.load_lm import load_lm_kt

DENSE_NUMBERS = 2**24
"""Largest size of the free item vectors that `training.free_rows = "auto"` updates densely."""
FilterModule = Any
"""A collaborative filter: an `nn.Module` with the methods of `models.filters.base.Filter`."""


@dataclass(frozen=True, slots=True)
class NetworkInputs:
    """Arguments for building networks."""

    spec: Spec
    data: Prepared
    autocast: bool
    bucket_tokens: int
    """Maximum number of token positions per call of a model."""


Networks = Callable[[NetworkInputs], tuple[ItemVectors, FilterModule]]
"""Builds encoder and filter, in this order, since both draw weights from the same generator."""


def item_tokens(data: Prepared, vocabulary: Vocabulary) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Token ids and offsets of all items; special tokens are kept only for the encoder."""
    if vocabulary == "encoder":
        return data.tokens, data.token_offsets
    used = data.manifest.tokenizer
    special = [number for number in (used.cls_id, used.sep_id) if number is not None]
    return without(special, data.tokens, data.token_offsets)


def with_filter(encoder: Callable[[NetworkInputs], ItemVectors]) -> Networks:
    """The given encoder, with the filter of the specification."""

    def networks(inputs: NetworkInputs) -> tuple[ItemVectors, FilterModule]:
        vectors = encoder(inputs)
        return vectors, make_filter(inputs.spec, vectors.width)

    return networks


def text_encoder(inputs: NetworkInputs) -> TextEncoder:
    """The encoder of the specification, all of it trained."""
    spec = inputs.spec.encoder
    half = inputs.autocast and spec.precision == "bf16-weights"
    vocabulary_size = inputs.data.manifest.tokenizer.vocabulary_size
    return load_encoder(spec, vocabulary_size, inputs.autocast and not half, half)


def adapted_encoder(inputs: NetworkInputs) -> ItemVectors:
    """The encoder of the specification, trained as `encoder.adapt` says."""
    return adapted(text_encoder(inputs), inputs.spec.encoder)


ENCODER_AND_FILTER = with_filter(adapted_encoder)
"""The specified encoder and filter."""


def checkpointed_encoder(inputs: NetworkInputs) -> ItemVectors:
    """The specified encoder, trained as `encoder.adapt` says, with checkpointed layers (`e2e-gc`).

    Raises:
        ConfigError: its transformer, or its precision, does not support it.
    """
    if inputs.spec.encoder.precision == "bf16-weights":  # layers would run again on the fp32 weights
        raise ConfigError(
            "e2e-gc cannot run layers again with encoder.precision = bf16-weights.",
            "Use --set encoder.precision=bf16.",
        )
    encoder = text_encoder(inputs)
    encoder.checkpoint_layers()
    return adapted(encoder, inputs.spec.encoder)


def frozen_encoder(inputs: NetworkInputs) -> TextEncoder:
    """The specified encoder with a frozen transformer (`nofinetune`)."""
    encoder = text_encoder(inputs)
    if inputs.spec.nofinetune.pooling == "trained":
        encoder.freeze()
    return encoder


def free_rows(inputs: NetworkInputs) -> FreeVectors:
    """A free vector per item, of the encoder's width (`nocontent`)."""
    width = encoder_width(inputs.spec.encoder)
    items = len(inputs.data.token_offsets) - 1
    return FreeVectors(items, width, _updates_touched_rows(inputs.spec, items, width))


def pulled_rows(inputs: NetworkInputs) -> PulledVectors:
    """Free vectors in addition to the encoder (CRCF)."""
    encoder, spec = text_encoder(inputs), inputs.spec
    items = len(inputs.data.token_offsets) - 1
    touched_only = _updates_touched_rows(spec, items, encoder.width)
    return PulledVectors(encoder, items, touched_only, from_content=spec.crcf.start == "content")


def bilstm(inputs: NetworkInputs) -> BiLSTMEncoder:
    """EERNN's word encoder."""
    return BiLSTMEncoder(_word_vectors(inputs), inputs.spec.words.width)


def attentive_words(inputs: NetworkInputs) -> AttentiveWordEncoder:
    """NRMS's word encoder."""
    spec = inputs.spec
    heads, width = spec.filter.nrms.heads, spec.words.width
    words = _word_vectors(inputs)
    return AttentiveWordEncoder(words, heads, width // heads, spec.filter.nrms.query, spec.words.dropout)


def language_model(inputs: NetworkInputs) -> tuple[ItemVectors, FilterModule]:
    """LM-KT, which reads the items' tokens directly."""
    lm_kt = load_lm_kt(
        inputs.spec.language_model,
        inputs.data.manifest.tokenizer.vocabulary_size,
        *item_tokens(inputs.data, "language-model"),
        dropout=inputs.spec.encoder.dropout,
        call_tokens=inputs.bucket_tokens,
        autocast=inputs.autocast,
    )
    return NoVectors(lm_kt.revision), lm_kt


def _word_vectors(inputs: NetworkInputs) -> WordVectors:
    vectors = inputs.spec.words.vectors
    return read_word_vectors(Path(vectors).expanduser() if vectors else None, inputs.data.vocabulary())


def _updates_touched_rows(spec: Spec, items: int, width: int) -> bool:
    """Depends on the size of the data, not on the device, so that a run trains the same way anywhere."""
    rule = spec.training.free_rows
    return rule == "touched" or (rule == "auto" and items * width > DENSE_NUMBERS)
