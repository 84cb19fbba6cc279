"""The networks that strategies train: encoder and filter of the specification, or a baseline's own."""

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
from grambench.models.encoders.base import ItemVectors
from grambench.models.encoders.free import FreeVectors, NoVectors, PulledVectors
from grambench.models.encoders.load import encoder_width, load_encoder
from grambench.models.encoders.text import TextEncoder
from grambench.models.encoders.words import AttentiveWordEncoder, BiLSTMEncoder
from grambench.models.filters import make_filter
from grambench.models.filters.load_lm import load_lm_kt

DENSE_NUMBERS = 2**24
"""Most numbers in free item vectors that `training.free_rows = "auto"` updates densely."""
FilterModule = Any
"""A collaborative filter: an `nn.Module` with the methods of `models.filters.base.Filter`."""


@dataclass(frozen=True, slots=True)
class NetworkInputs:
    """What networks are made of."""

    spec: Spec
    data: Prepared
    autocast: bool
    bucket_tokens: int
    """Token positions in one call of a model."""


Networks = Callable[[NetworkInputs], tuple[ItemVectors, FilterModule]]
"""Makes encoder and filter, in this order: they draw their weights from one generator."""


def item_tokens(data: Prepared, vocabulary: Vocabulary) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Token ids of all items and where each item's begin; special tokens are the encoder's alone."""
    if vocabulary == "encoder":
        return data.tokens, data.token_offsets
    special = (data.manifest.tokenizer.cls_id, data.manifest.tokenizer.sep_id)
    return without(special, data.tokens, data.token_offsets)


def with_filter(encoder: Callable[[NetworkInputs], ItemVectors]) -> Networks:
    """An encoder beside the filter of the specification."""

    def networks(made_of: NetworkInputs) -> tuple[ItemVectors, FilterModule]:
        vectors = encoder(made_of)
        return vectors, make_filter(made_of.spec, vectors.width)

    return networks


def text_encoder(made_of: NetworkInputs) -> TextEncoder:
    """The encoder of the specification."""
    spec = made_of.spec.encoder
    half = made_of.autocast and spec.precision == "bf16-weights"
    vocabulary_size = made_of.data.manifest.tokenizer.vocabulary_size
    return load_encoder(spec, vocabulary_size, made_of.autocast and not half, half)


ENCODER_AND_FILTER = with_filter(text_encoder)
"""Those of the specification."""


def frozen_encoder(made_of: NetworkInputs) -> TextEncoder:
    """The encoder of the specification, whose transformer is not trained (`nofinetune`)."""
    encoder = text_encoder(made_of)
    if made_of.spec.nofinetune.pooling == "trained":
        encoder.freeze()
    return encoder


def free_rows(made_of: NetworkInputs) -> FreeVectors:
    """A free vector an item, as wide as the encoder's (`nocontent`)."""
    width = encoder_width(made_of.spec.encoder)
    items = len(made_of.data.token_offsets) - 1
    return FreeVectors(items, width, _updates_touched_rows(made_of.spec, items, width))


def pulled_rows(made_of: NetworkInputs) -> PulledVectors:
    """Free vectors beside the encoder (CRCF)."""
    encoder, spec = text_encoder(made_of), made_of.spec
    items = len(made_of.data.token_offsets) - 1
    touched_only = _updates_touched_rows(spec, items, encoder.width)
    return PulledVectors(encoder, items, touched_only, from_content=spec.crcf.start == "content")


def bilstm(made_of: NetworkInputs) -> BiLSTMEncoder:
    """EERNN's encoder of words."""
    return BiLSTMEncoder(_word_vectors(made_of), made_of.spec.words.width)


def attentive_words(made_of: NetworkInputs) -> AttentiveWordEncoder:
    """NRMS's encoder of words."""
    spec = made_of.spec
    heads, width = spec.filter.nrms.heads, spec.words.width
    words = _word_vectors(made_of)
    return AttentiveWordEncoder(words, heads, width // heads, spec.filter.nrms.query, spec.words.dropout)


def language_model(made_of: NetworkInputs) -> tuple[ItemVectors, FilterModule]:
    """LM-KT, which reads the items' tokens itself."""
    lm_kt = load_lm_kt(
        made_of.spec.language_model,
        made_of.data.manifest.tokenizer.vocabulary_size,
        *item_tokens(made_of.data, "language-model"),
        dropout=made_of.spec.encoder.dropout,
        call_tokens=made_of.bucket_tokens,
        autocast=made_of.autocast,
    )
    return NoVectors(lm_kt.revision), lm_kt


def _word_vectors(made_of: NetworkInputs) -> WordVectors:
    vectors = made_of.spec.words.vectors
    return read_word_vectors(Path(vectors).expanduser() if vectors else None, made_of.data.vocabulary())


def _updates_touched_rows(spec: Spec, items: int, width: int) -> bool:
    """Decided by the size of the data, never by the device: the same run trains the same way anywhere."""
    rule = spec.training.free_rows
    return rule == "touched" or (rule == "auto" and items * width > DENSE_NUMBERS)
