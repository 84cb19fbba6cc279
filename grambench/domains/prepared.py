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

from grambench.config.data import Data
from grambench.data.prepared.build import TOKENIZER_FOLDER, Built, build, write
from grambench.data.prepared.manifest import (
    MANIFEST_FILE,
    SCHEMA_VERSION,
    Manifest,
    PartName,
    SourceFile,
    read_manifest,
    sealed,
)
from grambench.data.prepared.sources import Report, digests, size_of
from grambench.data.prepared.tokens import ItemTokenizer, TokenizerFactory, ready_made
from grambench.domains.base import Domain
from grambench.domains.registry import domain_of, source_of
from grambench.errors import DataError, MachineError
from grambench.fs import NPY_ERRORS, locked, sync_folder, write_atomic

__all__ = ["PrepareRequest", "Prepared", "open_prepared", "prepare"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PrepareRequest:
    """What to prepare, and where it lies."""

    data: Data
    folder: Path
    """Of the data."""
    tokenizer: ItemTokenizer | TokenizerFactory
    """Needed only where the cache has no fitting folder."""
    tokenizer_key: str = ""
    """Identifies the tokenizer in the cache key; empty: its fingerprint (not for a factory)."""
    renew: Callable[[], object] = lambda: None
    """Called where files of `folder` are not what they were known to be: makes generated ones again."""


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """Arrays of a prepared folder, mapped read-only. Shapes: I items, T tokens."""

    folder: Path
    manifest: Manifest
    tokens: npt.NDArray[np.int32]
    """[T] of all items, special tokens included."""
    token_offsets: npt.NDArray[np.int64]
    """[I + 1]; item i's tokens lie between offsets i and i + 1."""
    parts: dict[PartName, Any]
    """"train", "validation" and "test", of the domain's own type; under the paper's protocol the last two are
    one object."""
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
    domain = domain_of(request.data.domain)
    files = source_of(request.data).files(request.folder, request.data)
    hashes = digests(files, cache_dir, report)
    described = {name: SourceFile(bytes=size_of(path), sha256=hashes[name]) for name, path in files.items()}
    fingerprint = _fingerprint(request, domain, described)
    label = re.sub(r"[^A-Za-z0-9._-]+", "-", request.data.dataset).strip(".-") or "data"
    folder = cache_dir / f"{label}-{fingerprint[:16]}"
    if _is_whole(folder) and _fits(folder, request.data, domain):
        return folder
    lock = cache_dir / f".{folder.name}.lock"
    try:
        lock.touch()
    except OSError as error:
        raise _unwritable(cache_dir, error) from error
    with locked(lock):
        if _is_whole(folder):
            _complete(folder, domain, request, report)
        elif digests(files, cache_dir, report, read_all=True) == hashes:
            built = build(
                domain.read(request.folder, request.data, report),
                request.data,
                described,
                request.tokenizer,
                fingerprint=fingerprint,
                tokenizer_key=_tokenizer_key(request),
                report=report,
            )
            if digests(files, cache_dir, report) != hashes:
                raise DataError(f"Files in {request.folder} changed while they were read.", "Start again.")
            _place(folder, built, report)
    if not _is_whole(folder):  # what was remembered of the files was wrong, and is right now
        request.renew()
        return prepare(request, cache_dir, report)
    domain.check(read_manifest(folder), request.data)
    return folder


def open_prepared(folder: Path) -> Prepared:
    """Map the arrays of a prepared folder; only headers are read.

    Raises:
        DataError: the folder is not whole (see `read_manifest`), or an array is not the listed one.
    """
    manifest = read_manifest(folder)
    arrays = {name: _mapped(folder, name, manifest) for name in manifest.arrays}
    kind = domain_of(manifest.domain).part
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


def _fits(folder: Path, data: Data, domain: Domain) -> bool:
    """Whether a whole folder can be used without a look at the sources.

    Raises:
        DataError: it holds what `data` does not allow.
    """
    manifest = read_manifest(folder)
    if domain.lacks_counts(manifest):
        return False
    domain.check(manifest, data)
    return True


def _complete(folder: Path, domain: Domain, request: PrepareRequest, report: Report) -> None:
    """Add to the manifest what an earlier version has not counted; the arrays stay as they are."""
    manifest = read_manifest(folder)
    if not domain.lacks_counts(manifest):
        return
    manifest = domain.completed(manifest, request.folder, request.data, report)
    text = sealed(manifest) if manifest.seal else manifest.model_dump_json(indent=1) + "\n"
    try:
        write_atomic(folder / MANIFEST_FILE, text)
    except OSError as error:
        raise _unwritable(folder.parent, error) from error


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


def _fingerprint(request: PrepareRequest, domain: Domain, described: dict[str, SourceFile]) -> str:
    data = request.data
    rule = data.validation if data.protocol == "honest" else None
    determinants = {
        "schema_version": SCHEMA_VERSION,
        "sources": {name: file.model_dump() for name, file in described.items()},
        "tokenizer": _tokenizer_key(request),
        "fields": data.fields.model_dump(),
        "unknown_items": data.unknown_items,
        "validation": rule,
        "validation_share": data.validation_share if rule == "users" else None,
        "protocol": data.protocol,
        **domain.determinants(data, described),
    }
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
    except NPY_ERRORS as error:
        raise DataError(f"{path} cannot be mapped: {error}.", "Delete the folder.") from error
    if (array.dtype.str, array.shape) != (listed.dtype, listed.shape):
        raise DataError(
            f"{path} is {array.dtype.str} {array.shape}, expected {listed.dtype} {listed.shape}.",
            "Delete the folder; the next run prepares the data again.",
        )
    return array
