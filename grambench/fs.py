"""Atomic file writes, advisory locks, safe paths and digests."""

import contextlib
import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Collection, Iterator
from pathlib import Path

from grambench.errors import DataError

_CHUNK_BYTES = 4 << 20
"""Bytes hashed per call: large enough that a hashing thread rarely waits for the GIL."""

FileState = tuple[int, int, int, int]
"""Size, mtime and ctime in ns, inode: any write to a file changes at least one of the four."""


def write_atomic(path: Path, content: str | bytes) -> None:
    """Write `content` so that `path` holds either the old bytes or all the new ones.

    The bytes go to a temporary file in the same folder, are flushed to disk, and are renamed over
    `path`; the folder is flushed as well.
    """
    data = content.encode() if isinstance(content, str) else content
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


@contextlib.contextmanager
def whole_folder(path: Path, replaced: Collection[str] = ()) -> Iterator[Path]:
    """A temporary folder that is renamed to `path` when the block ends, and removed if it fails.

    `replaced`: names in `path` that may go; whatever else it holds is moved into the new folder.

    Raises:
        DataError: `path` exists and is not empty, and nothing in it may go.
    """
    if not replaced and path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise DataError(f"{path} is not empty.", "Choose a new folder or remove this one.")
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
    try:
        temporary.chmod(0o755)
        yield temporary
        if replaced and path.is_dir():
            _swap(temporary, path, replaced)
        else:
            temporary.replace(path)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    sync_folder(path.parent)


def _swap(new: Path, path: Path, replaced: Collection[str]) -> None:
    old = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
    path.replace(old)
    new.replace(path)
    for kept in old.iterdir():
        if kept.name not in replaced and not (path / kept.name).exists():
            kept.rename(path / kept.name)
    shutil.rmtree(old, ignore_errors=True)


def sync_folder(folder: Path) -> None:
    """Flush a folder's entries to disk, so that a rename survives a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive advisory lock on `path` (created if absent); waits for its holder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def sha256_file(path: Path) -> str:
    """Hex SHA-256 of a file's bytes."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def sha256_descriptor(descriptor: int) -> str:
    """Hex SHA-256 of an open file, from its first byte; the file position does not move."""
    digest, offset = hashlib.sha256(), 0
    while chunk := os.pread(descriptor, _CHUNK_BYTES, offset):
        digest.update(chunk)
        offset += len(chunk)
    return digest.hexdigest()


def file_state(file: Path | int) -> FileState:
    """The state of a file, by path or descriptor.

    Raises:
        OSError: it is missing or cannot be read.
    """
    status = os.stat(file)  # noqa: PTH116 - takes descriptors too
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino


def safe_join(folder: Path, name: str) -> Path:
    """`folder / name`, refusing a name that would land outside `folder` (an archive's `../x`).

    Raises:
        DataError: `name` is absolute or climbs out of `folder`.
    """
    target = (folder / name).resolve()
    if not target.is_relative_to(folder.resolve()):
        raise DataError(f"The entry {name!r} would be written outside {folder}.", "Do not use this archive.")
    return target
