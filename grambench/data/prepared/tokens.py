"""Texts of items -> one flat array of token ids.

An item is `[CLS] title… [SEP] abstract… [SEP] body… [SEP]`; each field is cut to its limit. Legend of
shapes: I items, T tokens.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast, runtime_checkable

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from grambench.data.prepared.sources import Report

BATCH_TEXTS = 2048

Int32s = npt.NDArray[np.int32]
Int64s = npt.NDArray[np.int64]


@runtime_checkable
class ItemTokenizer(Protocol):
    """Text -> token ids, without special tokens."""

    @property
    def fingerprint(self) -> str:
        """Identifies vocabulary and rules."""

    @property
    def vocabulary_size(self) -> int:
        """Upper bound (exclusive) of the ids."""

    @property
    def cls_id(self) -> int | None:
        """Opens an item; None: nothing does (Qwen, T5)."""

    @property
    def sep_id(self) -> int:
        """Closes each field."""

    def encode(self, texts: Sequence[str]) -> tuple[Int32s, Int64s]:
        """Flat ids of all texts, and offsets [len(texts) + 1]."""


@runtime_checkable
class SavesItself(Protocol):
    """A tokenizer that is saved beside the arrays (one built from the corpus)."""

    def save(self, folder: Path) -> None:
        """Write into `folder`, which exists."""


TokenizerFactory = Callable[[Iterator[str]], ItemTokenizer]
"""Builds a tokenizer from the corpus: every non-empty field of every item."""


def ready_made(tokenizer: ItemTokenizer | TokenizerFactory) -> ItemTokenizer | None:
    """The tokenizer; None if it has yet to be built (a tokenizer class counts as a factory)."""
    if isinstance(tokenizer, type) or not isinstance(tokenizer, ItemTokenizer):
        return None
    return tokenizer


def built_from(tokenizer: ItemTokenizer | TokenizerFactory, texts: "Texts") -> ItemTokenizer:
    """The tokenizer, built from the texts if it is a factory."""
    ready = ready_made(tokenizer)
    return cast(TokenizerFactory, tokenizer)(corpus(texts)) if ready is None else ready


@dataclass(frozen=True, slots=True, eq=False)
class Texts:
    """Text fields of the known items, in the order of an item, with their token limits."""

    names: tuple[str, ...]
    limits: tuple[int, ...]
    """Maximum number of tokens of each field, including special tokens."""
    columns: tuple[pa.Array, ...]
    """large_string [I] each."""

    def __len__(self) -> int:
        return len(self.columns[0])


def corpus(texts: Texts) -> Iterator[str]:
    """Every non-empty field of every item, field by field."""
    for column in texts.columns:
        for start in range(0, len(column), BATCH_TEXTS):
            yield from filter(None, column.slice(start, BATCH_TEXTS).to_pylist())


def tokenize(
    texts: Texts, blank_items: int, tokenizer: ItemTokenizer, report: Report
) -> tuple[Int32s, Int64s, int]:
    """Tokens of all items.

    Args:
        texts: fields of the known items.
        blank_items: items without any text, appended at the end.
        tokenizer: called with a few thousand texts at a time.
        report: called with the number of items done.

    Returns:
        tokens int32 [T], offsets int64 [I + 1], and the number of items with a truncated field.
    """
    total, cut = len(texts) + blank_items, 0
    tokens: list[Int32s] = []
    lengths: list[Int64s] = []
    for start in range(0, len(texts), BATCH_TEXTS):
        report("tokenize", start, total)
        encoded = [tokenizer.encode(column.slice(start, BATCH_TEXTS).to_pylist()) for column in texts.columns]
        _append(tokens, lengths, encoded, texts.limits, tokenizer)
        cut += _cut_items(encoded, texts.limits, int(tokenizer.cls_id is not None))
    if blank_items:
        empty = (np.zeros(0, np.int32), np.zeros(blank_items + 1, np.int64))
        _append(tokens, lengths, [empty] * len(texts.columns), texts.limits, tokenizer)
    report("tokenize", total, total)
    return np.concatenate(tokens), np.concatenate(([0], np.cumsum(np.concatenate(lengths)))), cut


def count_texts(
    tokens: Int32s, offsets: Int64s, cut_items: int, texts: Texts, tokenizer: ItemTokenizer
) -> dict[str, int | None]:
    """The fields of `ItemCounts` that describe the tokenized texts.

    Args:
        tokens: [T] of all items.
        offsets: [I + 1].
        cut_items: number of items with a truncated field.
        texts: fields of the items.
        tokenizer: made the tokens; if it has no `unknown_id`, unknown tokens are not counted.
    """
    special = (tokenizer.cls_id is not None) + len(texts.names)
    has_text_I = np.diff(offsets) > special
    unknown_id: int | None = getattr(tokenizer, "unknown_id", None)
    return {
        "text_tokens": len(tokens) - special * (len(offsets) - 1),
        "unknown_tokens": None if unknown_id is None else _count_unknown(tokens, unknown_id, tokenizer),
        "same_tokens": _count_same(tokens, offsets, has_text_I),
        "no_text_tokens": int(np.count_nonzero(~has_text_I)),
        "cut_items": cut_items,
    }


def _count_unknown(tokens: Int32s, unknown_id: int, tokenizer: ItemTokenizer) -> int:
    """0 if the token also opens or closes items: such tokenizers (GPT-2's) cover every byte."""
    if unknown_id in (tokenizer.cls_id, tokenizer.sep_id):
        return 0
    return int(np.count_nonzero(tokens == unknown_id))


def _count_same(tokens: Int32s, offsets: Int64s, counted_I: npt.NDArray[np.bool_]) -> int:
    """Counted items with the same tokens as an earlier one."""
    seen = {
        hashlib.blake2b(tokens[offsets[item] : offsets[item + 1]].tobytes(), digest_size=16).digest()
        for item in np.flatnonzero(counted_I)
    }
    return int(np.count_nonzero(counted_I)) - len(seen)


def without(special: Sequence[int], tokens: Int32s, offsets: Int64s) -> tuple[Int32s, Int64s]:
    """The items without the `special` ids; an item with no other ids keeps its first.

    Returns:
        tokens int32 and offsets int64 [I + 1].
    """
    kept = ~np.isin(tokens, special)
    counts = np.add.reduceat(kept, offsets[:-1]) if len(offsets) > 1 else np.zeros(0, np.int64)
    kept[offsets[:-1][counts == 0]] = True
    ends = np.concatenate(([0], np.cumsum(kept)))
    return tokens[kept], ends[offsets]


def _append(
    tokens: list[Int32s],
    lengths: list[Int64s],
    encoded: Sequence[tuple[Int32s, Int64s]],
    limits: Sequence[int],
    tokenizer: ItemTokenizer,
) -> None:
    flat, offsets = join_fields(encoded, limits, tokenizer.cls_id, tokenizer.sep_id)
    tokens.append(flat)
    lengths.append(np.diff(offsets))


def _room(limits: Sequence[int], opening: int) -> list[int]:
    """Token limit of each field's text: the first also holds `opening` tokens, every field its `sep_id`."""
    return [limit - 1 - (opening if index == 0 else 0) for index, limit in enumerate(limits)]


def _cut_items(encoded: Sequence[tuple[Int32s, Int64s]], limits: Sequence[int], opening: int) -> int:
    """Items with at least one field beyond its limit."""
    room = _room(limits, opening)
    longer = [np.diff(offsets) > most for (_, offsets), most in zip(encoded, room, strict=True)]
    return int(np.count_nonzero(np.logical_or.reduce(longer)))


def join_fields(
    encoded: Sequence[tuple[Int32s, Int64s]], limits: Sequence[int], cls_id: int | None, sep_id: int
) -> tuple[Int32s, Int64s]:
    """Truncate each field and close it with `sep_id`; open each item with `cls_id`.

    Args:
        encoded: flat ids and offsets [I + 1] of each field.
        limits: token limit of each field, including its `sep_id` and, for the first, `cls_id`.
        cls_id: opens an item; None: nothing does.
        sep_id: closes a field.

    Returns:
        tokens int32 [T] and offsets int64 [I + 1].
    """
    opening = int(cls_id is not None)
    room = _room(limits, opening)
    kept = [np.minimum(np.diff(offsets), most) for (_, offsets), most in zip(encoded, room, strict=True)]
    lengths = opening + sum(field + 1 for field in kept)
    item_offsets = np.concatenate(([0], np.cumsum(lengths)))
    tokens = np.full(item_offsets[-1], sep_id, np.int32)
    if cls_id is not None:
        tokens[item_offsets[:-1]] = cls_id
    target = item_offsets[:-1] + opening
    for (ids, offsets), field in zip(encoded, kept, strict=True):
        within = np.arange(field.sum()) - np.repeat(np.cumsum(field) - field, field)
        tokens[np.repeat(target, field) + within] = ids[np.repeat(offsets[:-1], field) + within]
        target = target + field + 1
    return tokens, item_offsets
