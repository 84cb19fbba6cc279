"""Atomic storage of tensors and numbers: safetensors, JSON, and a manifest with their digests."""

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from grambench.errors import DataError
from grambench.fs import discard, own_folder, sha256_file, sync_folder, write_atomic

WEIGHTS, NUMBERS, MANIFEST = "model.safetensors", "numbers.json", "manifest.json"
SCHEMA_VERSION = 1
_OWN = "manifest_sha256"
"""Key of the manifest's own digest; grambench 0.1 did not write it."""
_STEP = "step-{:010d}"


@dataclass(frozen=True, slots=True)
class Written:
    """A checkpoint on disk."""

    bytes: int
    """Size of its tensor file."""
    sha256: str
    """Digest of its tensor file."""


def save_weights(
    folder: Path,
    state: Mapping[str, torch.Tensor],
    facts: Mapping[str, object],
    numbers: Mapping[str, Any] | None = None,
) -> Written:
    """Write tensors, numbers and a manifest to a temporary folder, flush them, and replace `folder`.

    Raises:
        OSError: the disk is full or gone; the previous content is kept.
    """
    temporary = folder.with_name(f".{folder.name}.tmp")
    own_folder(folder.parent)
    discard(temporary)
    temporary.mkdir()
    try:
        written = _fill(temporary, state, facts, numbers)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    old = folder.with_name(f".{folder.name}.old")
    discard(old)
    if os.path.lexists(folder):
        folder.rename(old)
    temporary.rename(folder)
    sync_folder(folder.parent)
    discard(old)
    return written


def load_weights(folder: Path) -> dict[str, torch.Tensor]:
    """Read tensors, digests checked: safetensors alone would silently load a flipped bit.

    Raises:
        DataError: a file is missing or has changed since it was written.
    """
    read_manifest(folder)
    weights: dict[str, torch.Tensor] = load_file(folder / WEIGHTS)
    return weights


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest, including the facts written with the tensors; checks every digest.

    Raises:
        DataError: a file is missing or has changed since it was written.
    """
    try:
        manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_bytes())
        files = dict(manifest["files"])
        damaged = [name for name, digest in files.items() if sha256_file(folder / name) != digest]
        if manifest.get(_OWN, _digest(manifest)) != _digest(manifest):
            damaged.append(MANIFEST)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DataError(
            f"The checkpoint {folder} cannot be read: {error}.", "Run the trial again."
        ) from error
    if damaged:
        raise DataError(
            f"The checkpoint {folder} is damaged: the SHA-256 of {damaged[0]} differs.",
            "Run the trial again.",
        )
    return manifest


class Checkpoints:
    """The newest checkpoints of a trial."""

    def __init__(self, folder: Path, kept: int = 2) -> None:
        self.folder, self.kept = folder, kept

    def save(
        self,
        step: int,
        state: Mapping[str, torch.Tensor],
        numbers: Mapping[str, Any],
        facts: Mapping[str, object],
    ) -> tuple[Path, Written]:
        """Write a checkpoint, and remove all but the newest `kept`.

        Raises:
            OSError: the disk is full or gone; earlier checkpoints are kept.
        """
        place = self.folder / _STEP.format(step)
        written = save_weights(place, state, {"step": step, **facts}, numbers)
        for older in self._folders()[self.kept :]:
            shutil.rmtree(older, ignore_errors=True)
        return place, written

    def newest(self) -> tuple[Path | None, list[str]]:
        """The newest intact checkpoint, and what is wrong with newer ones."""
        complaints = []
        for place in self._folders():
            try:
                read_manifest(place)
            except DataError as error:
                complaints.append(error.message)
            else:
                return place, complaints
        return None, complaints

    def remove(self) -> None:
        """Remove all checkpoints, once the trial has ended."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _folders(self) -> list[Path]:
        """The checkpoints' folders, newest first."""
        return sorted(self.folder.glob("step-*"), reverse=True)


def read_numbers(folder: Path) -> dict[str, Any]:
    """The `numbers` passed to `save_weights`; call `read_manifest` first."""
    numbers: dict[str, Any] = json.loads((folder / NUMBERS).read_bytes())
    return numbers


def _fill(
    folder: Path,
    state: Mapping[str, torch.Tensor],
    facts: Mapping[str, object],
    numbers: Mapping[str, Any] | None,
) -> Written:
    tensors = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in state.items()}
    try:
        save_file(tensors, folder / WEIGHTS)
    except SafetensorError as error:  # how safetensors reports disk errors
        raise OSError(str(error)) from error
    (folder / WEIGHTS).chmod(folder.stat().st_mode & 0o666)  # safetensors hides it from the group
    _flush(folder / WEIGHTS)
    if numbers is not None:
        write_atomic(folder / NUMBERS, json.dumps(numbers, indent=1, allow_nan=False))
    names = [WEIGHTS] if numbers is None else [WEIGHTS, NUMBERS]
    digests = {name: sha256_file(folder / name) for name in names}
    size = (folder / WEIGHTS).stat().st_size
    manifest: dict[str, Any] = {"schema_version": SCHEMA_VERSION, "files": digests, "bytes": size, **facts}
    manifest[_OWN] = _digest(manifest)
    write_atomic(folder / MANIFEST, json.dumps(manifest, indent=1, allow_nan=False))
    return Written(size, digests[WEIGHTS])


def _digest(manifest: Mapping[str, Any]) -> str:
    """SHA-256 of a manifest without its own digest."""
    facts = {name: value for name, value in manifest.items() if name != _OWN}
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
