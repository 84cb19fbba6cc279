"""Build the contents of a prepared folder from a domain's data: tokens, arrays, counts, manifest."""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from grambench.config.data import Data
from grambench.data.prepared.manifest import (
    MANIFEST_FILE,
    SCHEMA_VERSION,
    AnswerCounts,
    ArrayFile,
    ItemCounts,
    Manifest,
    PartCounts,
    PartInfo,
    PartName,
    SampleCounts,
    SourceFile,
    TokenizerInfo,
    sealed,
)
from grambench.data.prepared.sources import Report
from grambench.data.prepared.tokens import (
    ItemTokenizer,
    SavesItself,
    Texts,
    TokenizerFactory,
    built_from,
    count_texts,
    tokenize,
)
from grambench.fs import sha256_file, sync_folder, write_atomic

TOKENIZER_FOLDER = "tokenizer"


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Interactions:
    """A domain's data as read from its sources, before tokenization."""

    texts: Texts
    blank_items: int = 0
    """Items without a text, after those with one."""
    parts: dict[PartName, Any]
    """The stored parts, as dataclasses of arrays."""
    counts: Mapping[PartName, PartCounts | AnswerCounts | SampleCounts]
    """Counts of each stored part."""
    arrays: dict[str, npt.NDArray[Any]] = field(default_factory=dict)
    """Additional arrays, by name."""
    items: dict[str, Any]
    """Domain-specific fields of `ItemCounts`."""
    manifest: dict[str, Any]
    """Domain-specific fields of the manifest."""


@dataclass(frozen=True, slots=True, eq=False)
class Built:
    """Everything that goes into a prepared folder."""

    arrays: dict[str, npt.NDArray[Any]]
    manifest: Manifest
    """Its `arrays` are filled in when they are written."""
    tokenizer: ItemTokenizer


def build(
    found: Interactions,
    data: Data,
    described: dict[str, SourceFile],
    tokenizer: ItemTokenizer | TokenizerFactory,
    *,
    fingerprint: str,
    tokenizer_key: str,
    report: Report,
) -> Built:
    """Tokenize, count and describe the data, in memory."""
    ready = built_from(tokenizer, found.texts)
    tokens, token_offsets, cut_items = tokenize(found.texts, found.blank_items, ready, report)
    arrays: dict[str, npt.NDArray[Any]] = {
        "tokens": tokens,
        "token_offsets": token_offsets,
        **found.arrays,
    }
    for name, part in found.parts.items():
        arrays |= {f"{name}_{column.name}": getattr(part, column.name) for column in fields(part)}
    lengths = np.diff(token_offsets)
    items = ItemCounts(
        items=len(lengths),
        tokens=int(token_offsets[-1]),
        mean_length=float(lengths.mean()),
        max_length=int(lengths.max()),
        blank_items=found.blank_items,
        **found.items,
        **dict[str, Any](count_texts(tokens, token_offsets, cut_items, found.texts, ready)),
    )
    stored: dict[PartName, PartName] = {name: name for name in found.parts}
    stored.setdefault("validation", "test")
    manifest = Manifest(
        schema_version=SCHEMA_VERSION,
        domain=data.domain,
        fingerprint=fingerprint,
        dataset=data.dataset,
        sources=described,
        tokenizer=_tokenizer_info(tokenizer_key, ready),
        fields=data.fields,
        unknown_items=data.unknown_items,
        protocol=data.protocol,
        parts={name: PartInfo(stored_as=where, counts=found.counts[where]) for name, where in stored.items()},
        items=items,
        arrays={},
        **found.manifest,
    )
    return Built(arrays, manifest, ready)


def _tokenizer_info(key: str, tokenizer: ItemTokenizer) -> TokenizerInfo:
    return TokenizerInfo(
        key=key,
        fingerprint=tokenizer.fingerprint,
        vocabulary_size=tokenizer.vocabulary_size,
        cls_id=tokenizer.cls_id,
        sep_id=tokenizer.sep_id,
    )


def write(folder: Path, built: Built, report: Report) -> None:
    """Write into an empty folder, flushed to disk; the manifest last."""
    listed, digests = _write_arrays(folder, built.arrays, report)
    if isinstance(built.tokenizer, SavesItself):
        saved = _save_tokenizer(folder / TOKENIZER_FOLDER, built.tokenizer)
        digests |= {str(path.relative_to(folder)): sha256_file(path) for path in saved}
    manifest = built.manifest.model_copy(update={"arrays": listed, "files": digests})
    write_atomic(folder / MANIFEST_FILE, sealed(manifest))


class _Hashing:
    """Writes to a file and hashes the bytes before they reach the disk."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self.digest = file, hashlib.sha256()

    def write(self, data: Any) -> int:
        self.digest.update(data)
        return self._file.write(data)


def _write_arrays(
    folder: Path, arrays: dict[str, npt.NDArray[Any]], report: Report
) -> tuple[dict[str, ArrayFile], dict[str, str]]:
    """Write the arrays; returns their descriptions, and sha256 by file name."""
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
    """Save the tokenizer, flushed to disk; returns its files."""
    folder.mkdir()
    try:
        tokenizer.save(folder)
    except Exception as error:  # how tokenizers reports disk errors
        raise OSError(f"the tokenizer cannot be saved: {error}") from error
    saved = sorted(path for path in folder.rglob("*") if path.is_file())
    for path in saved:
        with path.open("rb") as file:
            os.fsync(file.fileno())
    sync_folder(folder)
    return saved
