"""Integrity of a prepared folder: every file is compared with its digest."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from grambench.data.prepared.manifest import MANIFEST_FILE, read_manifest
from grambench.errors import DataError
from grambench.fs import FileState, file_state, locked, sha256_file

UNKNOWN = "an earlier version of grambench prepared the folder, without digests"
PREPARE_AGAIN = "Delete the folder; the next run prepares the data again."


@dataclass(frozen=True, slots=True)
class FileRead:
    """A file that was read completely."""

    sha256: str
    state: FileState
    """State before reading."""


@dataclass(frozen=True, slots=True)
class PreparedCheck:
    """Result of checking a prepared folder."""

    folder: Path
    files: dict[str, FileRead]
    """Readable files, by path within the folder."""
    damaged: dict[str, str]
    """File -> what is wrong with it."""
    is_known: bool
    """Whether the manifest has digests; without them only unreadable files count as damaged."""

    @property
    def bytes(self) -> int:
        """Total size of the files that were read."""
        return sum(file.state[0] for file in self.files.values())

    def sentence(self) -> str:
        """The damage, in one sentence."""
        name, what = next(iter(self.damaged.items()))
        return f"The prepared data is damaged: {self.folder / name} {what}{_more(self.damaged)}."

    def error(self) -> DataError:
        """The damage as an error."""
        return DataError(self.sentence(), PREPARE_AGAIN)


def read_files(paths: Mapping[str, Path]) -> tuple[dict[str, FileRead], dict[str, str]]:
    """Read and hash files.

    Args:
        paths: name -> file.

    Returns:
        The files by name, and what is wrong with those that cannot be read.
    """
    readable: dict[str, FileRead] = {}
    unreadable: dict[str, str] = {}
    for name, path in paths.items():
        try:
            state = file_state(path)
            readable[name] = FileRead(sha256_file(path), state)
        except OSError as error:
            unreadable[name] = f"cannot be read ({error.strerror or error})"
    return readable, unreadable


def check_prepared(folder: Path, expected: Mapping[str, str] | None = None) -> PreparedCheck:
    """Read every file of a prepared folder and compare it with the digest in the manifest.

    Args:
        folder: a prepared folder.
        expected: digests to use if the manifest has none.
    """
    try:
        manifest = read_manifest(folder)
    except DataError as error:
        what = error.message.removeprefix(f"{folder / MANIFEST_FILE} ").rstrip(".")
        return PreparedCheck(folder, {}, {MANIFEST_FILE: what}, True)
    digests = manifest.files or dict(expected or {})
    names = digests or [f"{name}.npy" for name in manifest.arrays]
    files, damaged = read_files({name: folder / name for name in names})
    for name, file in files.items():
        if digests and file.sha256 != digests[name]:
            damaged[name] = "is not what was written"
    return PreparedCheck(folder, files, damaged, bool(manifest.files))


def _more(damaged: Mapping[str, str]) -> str:
    return f" (damaged files: {len(damaged)})" if len(damaged) > 1 else ""


def remove_folder(folder: Path) -> None:
    """Remove a damaged prepared folder, unless another process has prepared it again in the meantime.

    Raises:
        DataError: it cannot be removed.
    """
    try:
        with locked(folder.parent / f".{folder.name}.lock"):
            check = check_prepared(folder)
            if check.damaged or not check.is_known:
                shutil.rmtree(folder, ignore_errors=not folder.exists())
    except OSError as error:
        raise DataError(
            f"The damaged folder {folder} cannot be removed: {error.strerror or error}.", "Delete it."
        ) from error
