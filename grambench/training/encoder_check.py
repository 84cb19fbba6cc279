"""Check, on a few real items before every run, that the encoder computes the item vectors of its model.

The encoder passes word embeddings instead of token ids, combines items of several lengths in one call, and
builds masks and position ids itself. If that goes wrong (a causal mask is lost, positions are shifted,
padding is read), the gradients of all strategies still agree, because all train on the same wrong vectors.
"""

import contextlib
import math
import sys
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from grambench.errors import ConfigError
from grambench.events.types import EncoderChecked
from grambench.models.encoders.base import ItemVectors
from grambench.models.encoders.buckets import Buckets, ItemEncoder, Layout
from grambench.models.encoders.cut import captured, layers_of
from grambench.models.encoders.free import PulledVectors
from grambench.models.encoders.packed import PackedRows
from grambench.models.encoders.side import SideEncoder
from grambench.models.encoders.states import CachedItemEncoder, SideStates
from grambench.models.encoders.text import TextEncoder
from grambench.models.encoders.tokens import ItemTokens
from grambench.models.lengths import LENGTH_STEP
from grambench.training.phases import System

_Content = TextEncoder | SideEncoder
TOLERANCE = 1e-3
"""Largest relative norm of a difference, in fp32. Rounding gives 1e-7 in two layers and up to about 1e-5 in
deep models; a wrong mask, position or neighbour gives 1e-2 or more."""
ITEMS = 4
LONGEST = 32
"""Maximum tokens of the compared items, if there are enough of these: longer ones only cost more."""

_CAUSES = {
    "padding": (
        "The encoder {} reads padding: a longer item beside an item changes its vector by {:.0e} of its norm,"
        " so that results would depend on which items share a call."
    ),
    "words": (
        "The encoder {} does more to token ids than look up their embeddings: from those alone its vectors"
        " differ by {:.0e} of their norm."
    ),
}
_ANOTHER = "Choose another with --set encoder.model=NAME; docs/encoders.md lists families that can be used."


def check_encoder(system: System) -> EncoderChecked | None:
    """Compare item vectors, computed in the run's layout, with those of the model itself.

    The model reads the token ids of one item at a time, unpadded and with eager attention; the encoder's
    pooling turns its states into vectors. In buckets the items share one call, so that all but the longest
    are padded.

    Args:
        system: in fp32, without autocast; dropout is switched off during the check.

    Returns:
        The result; None if the strategy has no content encoder.
    """
    encode, encoder, tokens = system.encode, system.encode.encoder, system.encode.tokens
    if isinstance(encoder, PulledVectors):
        encoder = encoder.content
    if isinstance(encode, CachedItemEncoder):
        encoder, tokens = encode.states.encoder, encode.states.tokens
    if not isinstance(encoder, (TextEncoder, SideEncoder)) or not len(tokens):
        return None
    began = time.monotonic_ns()
    items_N = compared_items(tokens.lengths)
    was_training = encoder.training
    encoder.eval()
    try:
        with torch.no_grad():
            computed_ND = _computed(encode, encoder, items_N)
            text = encoder if isinstance(encoder, TextEncoder) else encoder.text
            with _plain_attention(text.backbone):
                expected_ND = _one_by_one(encoder, tokens, items_N)
                relative = _relative(computed_ND, expected_ND)
                is_wrong = TOLERANCE < relative < math.inf
                cause = _cause(encoder, tokens, items_N, expected_ND) if is_wrong else ""
    finally:
        encoder.train(was_training)
    return EncoderChecked(
        equal=relative <= TOLERANCE,
        tolerance=TOLERANCE,
        items=len(items_N),
        relative=relative,
        layout=system.encode.layout.name,
        seconds=(time.monotonic_ns() - began) / 1e9,
        cause=cause,
    )


def require_equal(checked: EncoderChecked, label: str) -> None:
    """Reject an encoder whose vectors differ from its model's.

    Args:
        checked: the result of `check_encoder`.
        label: name of the encoder, for the message.

    Raises:
        ConfigError: the vectors differ.
    """
    if checked.equal:
        return
    size = "are not finite"
    if checked.relative is not None and math.isfinite(checked.relative):
        size = f"differ from AutoModel's on the same tokens by {checked.relative:.1e} of their norm"
        if checked.cause:
            raise ConfigError(_CAUSES[checked.cause].format(label, checked.relative), _ANOTHER)
    fix = "Choose another encoder, and report this one as a bug of grambench."
    if checked.layout != "buckets":
        fix = "Use --set encoder.layout=buckets, and report this as a bug of grambench."
    raise ConfigError(
        f"The encoder {label} computes wrong item vectors in the layout {checked.layout}: those of"
        f" {checked.items} items {size} (tolerance {checked.tolerance:.0e}).",
        fix,
    )


def compared_items(lengths_I: NDArray[np.int64]) -> NDArray[np.int64]:
    """A few items, evenly spaced in length from the shortest up to `LONGEST` tokens."""
    order_I = np.argsort(lengths_I, kind="stable")
    short = max(ITEMS, int(np.searchsorted(lengths_I[order_I], LONGEST, side="right")))
    candidates = order_I[:short]
    places = np.linspace(0, len(candidates) - 1, min(ITEMS, len(candidates))).round().astype(np.int64)
    return candidates[places].astype(np.int64)


def _computed(encode: ItemEncoder, encoder: ItemVectors, items_N: NDArray[np.int64]) -> Tensor:
    """Vectors [N, D] in the run's layout, over states of frozen layers where the run caches these."""
    if isinstance(encode, CachedItemEncoder):
        encode.states.require(items_N)
        if isinstance(encode.states, SideStates):
            return encode.vectors(items_N)
        encoder = encode.states
    vectors_ND, _ = _layout(encode.layout, encode.tokens).vectors(encoder, encode.tokens, items_N)
    return vectors_ND


def _layout(layout: Layout, tokens: ItemTokens) -> Layout:
    """The run's layout; buckets such that items of all lengths share a call."""
    if isinstance(layout, PackedRows):
        return layout
    return Buckets(layout.bucket_tokens, width=1, device=tokens.device)


@contextlib.contextmanager
def _plain_attention(backbone: Any) -> Iterator[None]:
    """Use eager attention instead of a fused kernel, which takes a mask of another form."""
    kept = backbone.config._attn_implementation
    backbone.set_attn_implementation("eager")
    try:
        yield
    finally:
        backbone.set_attn_implementation(kept)


def _one_by_one(
    encoder: _Content, tokens: ItemTokens, items_N: NDArray[np.int64], by_words: bool = False
) -> Tensor:
    """Vectors [N, D], computed by the model from the token ids of one item at a time, or from embeddings."""
    return torch.cat(
        [_by_the_model(encoder, tokens, items_N[i : i + 1], 0, by_words) for i in range(len(items_N))]
    )


def _by_the_model(
    encoder: _Content, tokens: ItemTokens, items_N: NDArray[np.int64], padding: int, by_words: bool = False
) -> Tensor:
    """Vectors [N, D] of items padded to the longest and by so many positions more."""
    length = min(int(tokens.lengths[items_N].max()) + padding, encoder.max_tokens or sys.maxsize)
    ids_NL, mask_NL = tokens.padded(torch.from_numpy(items_N).to(tokens.stored_on), length)
    inputs = {"inputs_embeds": encoder.lookup(ids_NL)} if by_words else {"input_ids": ids_NL}
    inputs["attention_mask"] = mask_NL.long()
    if isinstance(encoder, SideEncoder):
        with captured(layers_of(encoder.text.backbone), encoder.read) as states:
            encoder.text.backbone(**inputs)
        return encoder.from_states(encoder.pool_states(states, mask_NL))
    vectors_ND: Tensor = encoder.pool(encoder.backbone(**inputs).last_hidden_state, mask_NL)
    return vectors_ND


def _cause(encoder: _Content, tokens: ItemTokens, items_N: NDArray[np.int64], expected_ND: Tensor) -> str:
    """Whether the model itself gives other vectors with padding, or from word embeddings (see the event)."""
    if _relative(_by_the_model(encoder, tokens, items_N, LENGTH_STEP), expected_ND) > TOLERANCE:
        return "padding"
    by_words_ND = _one_by_one(encoder, tokens, items_N, by_words=True)
    return "words" if _relative(by_words_ND, expected_ND) > TOLERANCE else ""


def _relative(computed_ND: Tensor, expected_ND: Tensor) -> float:
    """Largest norm of a difference relative to the expected vector's; infinite if any is not finite."""
    norms_N = expected_ND.norm(dim=-1).clamp_min(torch.finfo(expected_ND.dtype).tiny)
    relative = float(((computed_ND - expected_ND).norm(dim=-1) / norms_N).max())
    return relative if math.isfinite(relative) else math.inf
