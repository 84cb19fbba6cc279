"""What a prepared folder holds: read, link, cut into parts, apply the policy, tokenize, write."""

import hashlib
import os
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from grambench.config.spec import FieldLimits
from grambench.data import prepared_parts
from grambench.data.formats.mind_catalogue import Catalogue
from grambench.data.prepared_answers import AnswerSources, SplitChoices, build_answers
from grambench.data.prepared_items import (
    ItemTokenizer,
    SavesItself,
    Texts,
    TokenizerFactory,
    built_from,
    count_texts,
    item_texts,
    tokenize,
)
from grambench.data.prepared_manifest import (
    MANIFEST_FILE,
    SCHEMA_VERSION,
    ArrayFile,
    ItemCounts,
    Manifest,
    PartCounts,
    PartInfo,
    PartName,
    Protocol,
    SourceFile,
    TokenizerInfo,
    UnknownItems,
    ValidationRule,
    sealed,
)
from grambench.data.prepared_news import Cutting, TableSources, cut, read_sources
from grambench.data.prepared_parts import Part
from grambench.data.prepared_sources import Report, Sources
from grambench.errors import DataError
from grambench.fs import sha256_file, sync_folder, write_atomic

TOKENIZER_FOLDER = "tokenizer"
_EXAMPLES = 5


@dataclass(frozen=True, slots=True)
class Choices:
    """The request without its paths; goes into the manifest."""

    dataset: str
    fields: FieldLimits
    unknown_items: UnknownItems
    validation: ValidationRule
    validation_share: float
    protocol: Protocol
    tokenizer_key: str
    fingerprint: str
    split: SplitChoices
    """Knowledge tracing; its test share also for tables of impressions."""


@dataclass(frozen=True, slots=True, eq=False)
class Built:
    """Everything that goes into a prepared folder."""

    arrays: dict[str, npt.NDArray[Any]]
    manifest: Manifest
    """Its `arrays` are listed when they are written."""
    tokenizer: ItemTokenizer


def build(
    choices: Choices,
    sources: Sources | TableSources | AnswerSources,
    described: dict[str, SourceFile],
    tokenizer: ItemTokenizer | TokenizerFactory,
    report: Report,
) -> Built:
    """Read the sources and make the arrays, in memory.

    Raises:
        DataError: the data is malformed, holds unknown ids under "error", or leaves a part empty.
        ConfigError: a field limit leaves no room for the special tokens.
    """
    if isinstance(sources, AnswerSources):
        return _build_answers(choices, sources, described, tokenizer, report)
    found = read_sources(sources, report)
    catalogue = found.catalogue
    texts = item_texts(catalogue, found.bodies, choices.fields)
    linked, unknown_ids = prepared_parts.link(found.behaviors, catalogue.ids)
    if choices.unknown_items == "error" and len(unknown_ids):
        raise _unknown_error(linked, unknown_ids)
    before = cut(_cutting(choices), found, linked)
    after = {name: _apply_policy(choices, part, len(catalogue)) for name, part in before.items()}
    _check_filled(after)
    blank_items = len(unknown_ids) if choices.unknown_items == "blank" else 0
    ready = built_from(tokenizer, texts)
    tokens, token_offsets, cut_items = tokenize(texts, blank_items, ready, report)
    text_counts = count_texts(tokens, token_offsets, cut_items, texts, ready)
    arrays: dict[str, npt.NDArray[Any]] = {"tokens": tokens, "token_offsets": token_offsets}
    for name, part in after.items():
        arrays |= {f"{name}_{field.name}": getattr(part, field.name) for field in fields(part)}
    counts = {name: prepared_parts.count(before[name], after[name]) for name in after}
    items = _count_items(catalogue, texts, len(unknown_ids), blank_items, token_offsets, text_counts)
    return Built(arrays, _manifest(choices, described, ready, counts, items), ready)


def _build_answers(
    choices: Choices,
    sources: AnswerSources,
    described: dict[str, SourceFile],
    tokenizer: ItemTokenizer | TokenizerFactory,
    report: Report,
) -> Built:
    built = build_answers(sources, choices.split, choices.fields, tokenizer, report)
    manifest = Manifest(
        schema_version=SCHEMA_VERSION,
        domain="knowledge-tracing",
        fingerprint=choices.fingerprint,
        dataset=choices.dataset,
        sources=described,
        tokenizer=_tokenizer_info(choices, built.tokenizer),
        fields=choices.fields,
        unknown_items=choices.unknown_items,
        validation="users",
        validation_share=choices.split.validation_share,
        protocol=choices.protocol,
        parts={name: PartInfo(stored_as=name, counts=counts) for name, counts in built.counts.items()},
        items=built.items,
        arrays={},
        cold=built.cold,
        left_out=built.left_out,
        repeats=built.repeats,
        repeated_answers="first" if choices.split.repeated_answers == "first" else "keep",
    )
    return Built(built.arrays, manifest, built.tokenizer)


def _tokenizer_info(choices: Choices, tokenizer: ItemTokenizer) -> TokenizerInfo:
    return TokenizerInfo(
        key=choices.tokenizer_key,
        fingerprint=tokenizer.fingerprint,
        vocabulary_size=tokenizer.vocabulary_size,
        cls_id=tokenizer.cls_id,
        sep_id=tokenizer.sep_id,
    )


def write(folder: Path, built: Built, report: Report) -> None:
    """Fill an empty folder, flushed to disk; the manifest comes last."""
    listed, digests = _write_arrays(folder, built.arrays, report)
    if isinstance(built.tokenizer, SavesItself):
        saved = _save_tokenizer(folder / TOKENIZER_FOLDER, built.tokenizer)
        digests |= {str(path.relative_to(folder)): sha256_file(path) for path in saved}
    manifest = built.manifest.model_copy(update={"arrays": listed, "files": digests})
    write_atomic(folder / MANIFEST_FILE, sealed(manifest))


def _manifest(
    choices: Choices,
    described: dict[str, SourceFile],
    tokenizer: ItemTokenizer,
    counts: dict[PartName, PartCounts],
    items: ItemCounts,
) -> Manifest:
    stored: dict[PartName, PartName] = {name: name for name in counts}
    stored.setdefault("validation", "test")
    rule = choices.validation if choices.protocol == "honest" else None
    return Manifest(
        schema_version=SCHEMA_VERSION,
        domain="news",
        fingerprint=choices.fingerprint,
        dataset=choices.dataset,
        sources=described,
        tokenizer=_tokenizer_info(choices, tokenizer),
        fields=choices.fields,
        unknown_items=choices.unknown_items,
        validation=rule,
        validation_share=choices.validation_share if rule == "users" else None,
        protocol=choices.protocol,
        parts={name: PartInfo(stored_as=where, counts=counts[where]) for name, where in stored.items()},
        items=items,
        arrays={},
    )


def _check_filled(parts: dict[PartName, Part]) -> None:
    for name, part in parts.items():
        if not len(part):
            raise DataError(
                f"The {name} part has no impression with a known candidate.",
                "Check the items' files, or keep unknown ids with `--set data.unknown_items=blank`.",
            )


def _cutting(choices: Choices) -> Cutting:
    return Cutting(choices.validation, choices.validation_share, choices.split.test_share, choices.protocol)


def _apply_policy(choices: Choices, part: Part, known: int) -> Part:
    if choices.unknown_items == "drop":
        return prepared_parts.drop_unknown(part)
    return prepared_parts.number_unknown(part, known)


def _unknown_error(linked: list[Part], unknown_ids: pa.Array) -> DataError:
    history = sum(int(np.count_nonzero(split.history_items < 0)) for split in linked)
    candidates = sum(int(np.count_nonzero(split.candidate_items < 0)) for split in linked)
    examples = ", ".join(map(repr, unknown_ids[:_EXAMPLES].to_pylist()))
    return DataError(
        f"{len(unknown_ids):,} ids have no row in the items' files (such as {examples}):"
        f" {history:,} history clicks and {candidates:,} candidates.",
        "Add their rows, or choose with `--set data.unknown_items=…`: `drop` leaves them out (counted),"
        " `blank` keeps each as an item without text, `error` stops here.",
    )


def _count_items(
    catalogue: Catalogue,
    texts: Texts,
    unknown_ids: int,
    blank_items: int,
    token_offsets: npt.NDArray[np.int64],
    text_counts: dict[str, int | None],
) -> ItemCounts:
    lengths = np.diff(token_offsets)
    is_empty = np.logical_and.reduce([_is_empty(column) for column in texts.columns])
    body = dict(zip(texts.names, texts.columns, strict=True)).get("body")
    return ItemCounts(
        items=len(lengths),
        tokens=int(token_offsets[-1]),
        mean_length=float(lengths.mean()),
        max_length=int(lengths.max()),
        repeated_ids_same_text=len(catalogue.repeated_same),
        repeated_ids_other_text=len(catalogue.repeated_other),
        unknown_ids=unknown_ids,
        blank_items=blank_items,
        empty_texts=int(np.count_nonzero(is_empty)),
        without_body=None if body is None else int(np.count_nonzero(_is_empty(body))),
        **text_counts,
    )


def _is_empty(column: pa.Array) -> npt.NDArray[np.bool_]:
    empty: npt.NDArray[np.bool_] = pc.equal(column, "").to_numpy(zero_copy_only=False)
    return empty


class _Hashing:
    """Writes to a file and hashes what it was given: the array, whatever the disk makes of it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self.digest = file, hashlib.sha256()

    def write(self, data: Any) -> int:
        self.digest.update(data)
        return self._file.write(data)


def _write_arrays(
    folder: Path, arrays: dict[str, npt.NDArray[Any]], report: Report
) -> tuple[dict[str, ArrayFile], dict[str, str]]:
    """The arrays' descriptions, and sha256 by file name."""
    listed, digests = {}, {}
    for done, (name, array) in enumerate(arrays.items()):
        report("write", done, len(arrays))
        path = folder / f"{name}.npy"
        with path.open("wb") as file:
            hashing = _Hashing(file)
            np.save(hashing, array, allow_pickle=False)
            file.flush()
            os.fsync(file.fileno())
        digests[path.name] = hashing.digest.hexdigest()
        listed[name] = ArrayFile(dtype=array.dtype.str, shape=array.shape, bytes=path.stat().st_size)
    report("write", len(arrays), len(arrays))
    return listed, digests


def _save_tokenizer(folder: Path, tokenizer: SavesItself) -> list[Path]:
    """The files that the tokenizer leaves, flushed to disk."""
    folder.mkdir()
    tokenizer.save(folder)
    saved = sorted(path for path in folder.rglob("*") if path.is_file())
    for path in saved:
        with path.open("rb") as file:
            os.fsync(file.fileno())
    sync_folder(folder)
    return saved
