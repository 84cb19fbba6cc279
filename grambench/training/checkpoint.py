"""Weights on disk: safetensors and a manifest with their digest, whole or absent."""

import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from grambench.errors import DataError
from grambench.fs import sha256_file, sync_folder, write_atomic

WEIGHTS, MANIFEST = "model.safetensors", "manifest.json"


def save_weights(folder: Path, state: dict[str, torch.Tensor], facts: dict[str, object]) -> tuple[int, str]:
    """Write weights and manifest beside `folder`, then put them in its place.

    Returns:
        Size in bytes and SHA-256 of the weights' file.
    """
    temporary = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    save_file(
        {name: tensor.detach().cpu().clone().contiguous() for name, tensor in state.items()},
        temporary / WEIGHTS,
    )
    digest, size = sha256_file(temporary / WEIGHTS), (temporary / WEIGHTS).stat().st_size
    manifest = {"file": WEIGHTS, "bytes": size, "sha256": digest, **facts}
    write_atomic(temporary / MANIFEST, json.dumps(manifest, indent=1, allow_nan=False))
    old = folder.with_name(f".{folder.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.rename(old)
    temporary.rename(folder)
    sync_folder(folder.parent)
    shutil.rmtree(old, ignore_errors=True)
    return size, digest


def load_weights(folder: Path) -> dict[str, torch.Tensor]:
    """Read weights back; safetensors alone would load a flipped bit silently.

    Raises:
        DataError: a file is missing or is not the one that was written.
    """
    try:
        manifest = json.loads((folder / MANIFEST).read_bytes())
        digest = sha256_file(folder / WEIGHTS)
    except (OSError, ValueError) as error:
        raise DataError(
            f"The checkpoint {folder} cannot be read: {error}.", "Run the trial again."
        ) from error
    if digest != manifest.get("sha256"):
        raise DataError(f"The checkpoint {folder} is damaged: its SHA-256 differs.", "Run the trial again.")
    weights: dict[str, torch.Tensor] = load_file(folder / WEIGHTS)
    return weights
