"""A data folder, turned once into memory-mapped arrays.

The cache folder is built beside its final place and renamed when it is whole; its name comes from
everything that determines its content, so a changed file or option makes another folder.
"""

import dataclasses
import hashlib
import json
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from grambench.config.spec import NEWS_SOURCES, NEWS_TABLES, FieldLimits, RepeatedAnswers, Source, Track
from grambench.data.cautions import check_repeats
from grambench.data.prepared_answers import AnswerSources, SplitChoices
from grambench.data.prepared_build import TOKENIZER_FOLDER, Built, Choices, build, write
from grambench.data.prepared_items import ItemTokenizer, TokenizerFactory, ready_made
from grambench.data.prepared_manifest import (
    MANIFEST_FILE,
    SCHEMA_VERSION,
    Manifest,
    PartName,
    Protocol,
    SourceFile,
    UnknownItems,
    ValidationRule,
    read_manifest,
    sealed,
)
from grambench.data.prepared_news import TableSources
from grambench.data.prepared_parts import Part
from grambench.data.prepared_sources import Report, Sources, digests, find_sources, size_of
from grambench.data.repeats import find_repeats
from grambench.data.sequences import Sequences
from grambench.errors import ConfigError, DataError, MachineError
from grambench.fs import locked, sync_folder, write_atomic

__all__ = [
    "ItemTokenizer",
    "Manifest",
    "Part",
    "PrepareRequest",
    "Prepared",
    "TokenizerFactory",
    "open_prepared",
    "prepare",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class PrepareRequest:
    """What to prepare; the fields are those of `config.spec.Data`."""

    data_dir: Path
    dataset: str
    """Label; begins the cache folder's name."""
    fields: FieldLimits
    unknown_items: UnknownItems
    validation: ValidationRule
    validation_share: float
    protocol: Protocol
    tokenizer: ItemTokenizer | TokenizerFactory
    """Needed only where the cache has no fitting folder."""
    source: Source = "mind"
    track: Track = "es_en"
    test_share: float = 0.2
    cold_items: int = 0
    seed: int = 0
    repeated_answers: RepeatedAnswers = "keep"
    tokenizer_key: str = ""
    """Identifies the tokenizer in the cache key; empty: its fingerprint (not for a factory)."""
    renew: Callable[[], object] = lambda: None
    """Called where files of `data_dir` are not what they were known to be: makes generated ones again."""


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """Arrays of a prepared folder, mapped read-only. Shapes: I items, T tokens."""

    folder: Path
    manifest: Manifest
    tokens: npt.NDArray[np.int32]
    """[T] of all items, special tokens included."""
    token_offsets: npt.NDArray[np.int64]
    """[I + 1]; item i's tokens lie between offsets i and i + 1."""
    parts: dict[PartName, Part] | dict[PartName, Sequences]
    """"train", "validation" and "test"; under the paper's protocol the last two are one object."""
    cold_items: npt.NDArray[np.int32] = field(default_factory=lambda: np.zeros(0, np.int32))
    """Ascending; items that train never shows (knowledge tracing)."""

    def vocabulary(self) -> list[str]:
        """The tokens of a tokenizer that was built from the texts, by their ids."""
        saved = json.loads((self.folder / TOKENIZER_FOLDER / "tokenizer.json").read_bytes())
        return sorted(saved["model"]["vocab"], key=saved["model"]["vocab"].__getitem__)


def prepare(request: PrepareRequest, cache_dir: Path, report: Report) -> Path:
    """The cache folder of a request, built if it is not there yet.

    Args:
        request: what to prepare.
        cache_dir: holds prepared folders; made if absent.
        report: called with (phase, done, total); phases are "hash", "read", "tokenize" and "write".

    Raises:
        DataError: the data is missing, malformed, or holds unknown ids or answers in several rows under
            "error".
        ConfigError: a field limit leaves no room for the special tokens.
        MachineError: the cache folder cannot be written.
    """
    try:
        cache_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(cache_dir, error) from error
    sources = _sources(request)
    files = sources.files()
    hashes = digests(files, cache_dir, report)
    described = {name: SourceFile(bytes=size_of(path), sha256=hashes[name]) for name, path in files.items()}
    fingerprint = _fingerprint(request, described)
    label = re.sub(r"[^A-Za-z0-9._-]+", "-", request.dataset).strip(".-") or "data"
    folder = cache_dir / f"{label}-{fingerprint[:16]}"
    if _is_whole(folder) and _fits(folder, request):
        return folder
    lock = cache_dir / f".{folder.name}.lock"
    try:
        lock.touch()
    except OSError as error:
        raise _unwritable(cache_dir, error) from error
    with locked(lock):
        if _is_whole(folder):
            if not _fits(folder, request):
                _count_repeats(folder, sources, report)
            found = True
        elif digests(files, cache_dir, report, read_all=True) == hashes:
            choices = _choices(request, fingerprint)
            built = build(choices, sources, described, request.tokenizer, report)
            if digests(files, cache_dir, report) != hashes:
                raise DataError(f"Files in {request.data_dir} changed while they were read.", "Start again.")
            _place(folder, built, report)
            found = True
        else:
            found = False
    if not found:  # what was remembered of the files was wrong, and is right now
        request.renew()
        return prepare(request, cache_dir, report)
    _check_repeats(folder, request)
    return folder


def open_prepared(folder: Path) -> Prepared:
    """Map the arrays of a prepared folder; only headers are read.

    Raises:
        DataError: the folder is not whole (see `read_manifest`), or an array is not the listed one.
    """
    manifest = read_manifest(folder)
    arrays = {name: _mapped(folder, name, manifest) for name in manifest.arrays}
    kind: type[Any] = Part if manifest.domain == "news" else Sequences
    names = [column.name for column in dataclasses.fields(kind)]
    stored = {
        part: kind(**{name: arrays[f"{part}_{name}"] for name in names})
        for part in {part.stored_as for part in manifest.parts.values()}
    }
    return Prepared(
        folder=folder,
        manifest=manifest,
        tokens=arrays["tokens"],
        token_offsets=arrays["token_offsets"],
        parts={name: stored[part.stored_as] for name, part in manifest.parts.items()},
        cold_items=arrays.get("cold_items", np.zeros(0, np.int32)),
    )


def _fits(folder: Path, request: PrepareRequest) -> bool:
    """Whether a whole folder can be used without a look at the sources.

    "error" and "keep" make the same arrays: whether there is an error is in the manifest, unless version 0.1
    has written it.

    Raises:
        DataError: answers stand in several rows, under "error".
    """
    manifest = read_manifest(folder)
    if manifest.repeats is None and manifest.domain == "knowledge-tracing":
        return False
    _check_repeats(folder, request)
    return True


def _check_repeats(folder: Path, request: PrepareRequest) -> None:
    repeats = read_manifest(folder).repeats
    if repeats is not None and request.repeated_answers == "error":
        check_repeats(repeats)


def _count_repeats(folder: Path, sources: Sources | TableSources | AnswerSources, report: Report) -> None:
    """Add what version 0.1 has not counted to the manifest of its folder; its arrays stay as they are."""
    assert isinstance(sources, AnswerSources)
    report("read", 0, 1)
    counts = find_repeats(sources.read(report)).counts
    report("read", 1, 1)
    manifest = read_manifest(folder).model_copy(update={"repeats": counts})
    text = sealed(manifest) if manifest.seal else manifest.model_dump_json(indent=1) + "\n"
    try:
        write_atomic(folder / MANIFEST_FILE, text)
    except OSError as error:
        raise _unwritable(folder.parent, error) from error


def _sources(request: PrepareRequest) -> Sources | TableSources | AnswerSources:
    if request.source == NEWS_TABLES:
        if request.fields.body:
            raise ConfigError(
                "The body field is wanted, but tables of news have a title and an abstract.",
                "Put the body into the column abstract, or set `--set data.fields.body=0`.",
            )
        return TableSources(request.data_dir)
    if request.source in NEWS_SOURCES:
        return find_sources(request.data_dir, with_bodies=request.fields.body > 0)
    return AnswerSources(request.data_dir, request.source, request.track)


def _split_choices(request: PrepareRequest) -> SplitChoices:
    return SplitChoices(
        validation_share=request.validation_share,
        test_share=request.test_share,
        cold_items=request.cold_items,
        seed=request.seed,
        repeated_answers=request.repeated_answers,
    )


def _place(folder: Path, built: Built, report: Report) -> None:
    """Write into a temporary sibling and rename it; the caller holds the folder's lock.

    Raises:
        MachineError: the disk is full or not writable.
    """
    temporary = folder.parent / f".{folder.name}.tmp"
    try:
        for leftover in (temporary, folder):
            if leftover.exists():
                shutil.rmtree(leftover)
        temporary.mkdir()
        write(temporary, built, report)
        temporary.rename(folder)
        sync_folder(folder.parent)
    except OSError as error:
        shutil.rmtree(temporary, ignore_errors=True)
        raise _unwritable(folder.parent, error) from error
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def _unwritable(cache_dir: Path, error: OSError) -> MachineError:
    return MachineError(
        f"The cache folder {cache_dir} cannot be written: {error.strerror or error}.",
        "Free some space, or choose another cache folder.",
    )


def _choices(request: PrepareRequest, fingerprint: str) -> Choices:
    return Choices(
        dataset=request.dataset,
        fields=request.fields,
        unknown_items=request.unknown_items,
        validation=request.validation,
        validation_share=request.validation_share,
        protocol=request.protocol,
        tokenizer_key=_tokenizer_key(request),
        fingerprint=fingerprint,
        split=_split_choices(request),
    )


def _fingerprint(request: PrepareRequest, described: dict[str, SourceFile]) -> str:
    rule = request.validation if request.protocol == "honest" else None
    determinants = {
        "schema_version": SCHEMA_VERSION,
        "sources": {name: file.model_dump() for name, file in described.items()},
        "tokenizer": _tokenizer_key(request),
        "fields": request.fields.model_dump(),
        "unknown_items": request.unknown_items,
        "validation": rule,
        "validation_share": request.validation_share if rule == "users" else None,
        "protocol": request.protocol,
    }
    if request.source == NEWS_TABLES:
        determinants |= {"source": request.source, "test_share": request.test_share}
    elif request.source in NEWS_SOURCES and "dev/behaviors.tsv" not in described:
        determinants["test_share"] = request.test_share
    if request.source not in NEWS_SOURCES:
        determinants |= {"source": request.source, "track": request.track}
        split = dataclasses.asdict(_split_choices(request))
        if split["repeated_answers"] != "first":  # "error" and "keep" make the arrays of version 0.1
            del split["repeated_answers"]
        determinants["split"] = split
    text = json.dumps(determinants, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _tokenizer_key(request: PrepareRequest) -> str:
    if request.tokenizer_key:
        return request.tokenizer_key
    tokenizer = ready_made(request.tokenizer)
    if tokenizer is None:
        raise ValueError("a tokenizer factory needs a tokenizer_key")
    return tokenizer.fingerprint


def _is_whole(folder: Path) -> bool:
    try:
        read_manifest(folder)
    except DataError:
        return False
    return True


def _mapped(folder: Path, name: str, manifest: Manifest) -> npt.NDArray[Any]:
    listed = manifest.arrays[name]
    path = folder / f"{name}.npy"
    try:
        array: npt.NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be mapped: {error}.", "Delete the folder.") from error
    if (array.dtype.str, array.shape) != (listed.dtype, listed.shape):
        raise DataError(
            f"{path} is {array.dtype.str} {array.shape}, expected {listed.dtype} {listed.shape}.",
            "Delete the folder; the next run prepares the data again.",
        )
    return array
