"""Atomic file writes, files that are no links, advisory locks, safe paths and digests."""

import contextlib
import errno
import fcntl
import hashlib
import os
import shutil
import stat
import time
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from tokenize import TokenError
from typing import BinaryIO

from grambench.errors import DataError

_CHUNK_BYTES = 4 << 20
"""Bytes hashed per call: large enough that a hashing thread rarely waits for the GIL."""

_LOCK_S = 0.05
"""Seconds between two attempts to take a lock."""

NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})
"""Codes of a full disk, and of a quota."""

NPY_ERRORS = (
    *(OSError, ValueError, EOFError, SyntaxError, TokenError),
    *(MemoryError, RecursionError, OverflowError),
)
"""What numpy raises for a damaged .npy file: its header is a Python expression."""

FileState = tuple[int, int, int, int]
"""Size, mtime and ctime in ns, inode: any write to a file changes at least one of the four."""


def write_atomic(path: Path, content: str | bytes) -> None:
    """Write `content` so that `path` holds either the old bytes or all the new ones.

    The bytes go to a temporary file in the same folder, are flushed to disk, and are renamed over
    `path`, which a link does not redirect; the folder is flushed as well. The umask decides the permissions.
    """
    data = content.encode() if isinstance(content, str) else content
    temporary = _temporary(path)
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
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
    temporary = fresh_folder(path)
    try:
        yield temporary
        if replaced and path.is_dir():
            _swap(temporary, path, replaced)
        else:
            temporary.replace(path)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    sync_folder(path.parent)


def fresh_folder(path: Path) -> Path:
    """A new folder beside `path`, under a name that nobody can foresee; the umask decides its permissions."""
    temporary = _temporary(path)
    temporary.mkdir()
    return temporary


def _temporary(path: Path) -> Path:
    return path.with_name(f".{path.name}.{os.urandom(4).hex()}")


def own_folder(path: Path) -> None:
    """Make a folder and its parents, unless they are there.

    Raises:
        OSError: it cannot be made, or is a symbolic link, which may lead elsewhere.
    """
    path.mkdir(parents=True, exist_ok=True)
    if path.is_symlink():
        raise _refused(path, errno.ELOOP)


def discard(path: Path) -> None:
    """Remove a folder or file as far as possible; of a link only the link."""
    shutil.rmtree(path, ignore_errors=True)
    with contextlib.suppress(OSError):
        path.unlink()


def open_owned(path: Path) -> int:
    """A descriptor for reading and appending to a file of this run, made if absent.

    Raises:
        OSError: it cannot be written; or it is a link of either kind, through which something else would be
            written, or a FIFO or device.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        descriptor = os.open(path, flags, 0o666)
    except OSError as error:
        raise _refused(path, error.errno or errno.EIO) from error
    status = os.fstat(descriptor)
    code = errno.EINVAL if not stat.S_ISREG(status.st_mode) else errno.EMLINK if status.st_nlink > 1 else 0
    if code:
        os.close(descriptor)
        raise _refused(path, code)
    return descriptor


def open_regular(path: Path) -> BinaryIO:
    """Open a file for reading; a FIFO, which might never answer, and a device are refused.

    Raises:
        OSError: it is missing, cannot be read, or is not a regular file.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        raise _refused(path, errno.EISDIR if stat.S_ISDIR(mode) else errno.EINVAL)
    return os.fdopen(descriptor, "rb")


def read_regular(path: Path) -> bytes:
    """All bytes of a file; see `open_regular`."""
    with open_regular(path) as file:
        return file.read()


_REFUSED = {
    errno.ELOOP: "it is a symbolic link",
    errno.EMLINK: "it has a second name (a hard link)",
    errno.EINVAL: "it is not a regular file",
}
"""What the system's words do not say."""


def _refused(path: Path, code: int) -> OSError:
    return OSError(code, _REFUSED.get(code, os.strerror(code)), str(path))


def _swap(new: Path, path: Path, replaced: Collection[str]) -> None:
    old = fresh_folder(path)
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
def locked(path: Path, waiting: Callable[[], None] | None = None) -> Iterator[None]:
    """Hold an exclusive advisory lock on `path` (created if absent); waits for its holder.

    `waiting` is called now and then until then; what it raises ends the wait.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with os.fdopen(open_owned(path), "ab") as file:
        while waiting is not None and not _taken(file):
            waiting()
            time.sleep(_LOCK_S)
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _taken(file: BinaryIO) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def sha256_file(path: Path) -> str:
    """Hex SHA-256 of a file's bytes."""
    digest = hashlib.sha256()
    with open_regular(path) as file:
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
