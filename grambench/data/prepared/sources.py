"""Source files of prepared folders, and a cache of their digests."""

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path

from grambench.errors import DataError
from grambench.fs import file_state, sha256_file, write_atomic

Report = Callable[[str, int, int], None]
"""Progress: phase, units done, total units."""

_MEMO_FILE = ".sha256.json"


def digests(
    files: dict[str, Path], cache_dir: Path, report: Report, read_all: bool = False
) -> dict[str, str]:
    """sha256 of each file, from the cache if path, size, times and inode are unchanged.

    The digest of a folder is that of its files' names and digests; its state is that of all its files.

    Args:
        files: name -> file.
        cache_dir: holds the cache of digests.
        report: called with the number of files done.
        read_all: read every file and update the cache.
    """
    memo_path = cache_dir / _MEMO_FILE
    remembered = _read_memo(memo_path)
    memo = {} if read_all else dict(remembered)
    by_name: dict[str, str] = {}
    for done, (name, path) in enumerate(files.items()):
        key = _identity(path)
        if key not in memo:
            report("hash", done, len(files))
            memo[key] = _sha256(path)
        by_name[name] = memo[key]
    memo = {**remembered, **memo}
    if memo != remembered:
        report("hash", len(files), len(files))
        with contextlib.suppress(OSError):
            write_atomic(memo_path, json.dumps(_without_stale(memo), indent=1))
    return by_name


def size_of(path: Path) -> int:
    """Bytes of a file, or of the files of a folder."""
    if not path.is_dir():
        return path.stat().st_size
    with os.scandir(path) as entries:
        return sum(entry.stat().st_size for entry in entries if entry.is_file())


def _files_of(folder: Path) -> list[Path]:
    with os.scandir(folder) as entries:
        return [folder / name for name in sorted(entry.name for entry in entries if entry.is_file())]


def _sha256(path: Path) -> str:
    try:
        if not path.is_dir():
            return sha256_file(path)
        return _digest((file.name, sha256_file(file)) for file in _files_of(path))
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.") from error


def _identity(path: Path) -> str:
    state: list[object] = [*file_state(path)]
    if path.is_dir():
        state = ["folder", _digest((file.name, *file_state(file)) for file in _files_of(path)), 0, 0]
    return json.dumps([str(path.resolve()), *state])


def _digest(rows: Iterable[object]) -> str:
    return hashlib.sha256(json.dumps([*rows]).encode()).hexdigest()


def _without_stale(memo: dict[str, str]) -> dict[str, str]:
    """Drop entries of files that are gone or have changed."""
    kept = {}
    for key, digest in memo.items():
        with contextlib.suppress(OSError):
            if _identity(Path(json.loads(key)[0])) == key:
                kept[key] = digest
    return kept


def _read_memo(path: Path) -> dict[str, str]:
    """The cache; empty if it is missing, damaged or in another format."""
    try:
        memo = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(memo, dict) or not all(isinstance(digest, str) for digest in memo.values()):
        return {}
    return {key: digest for key, digest in memo.items() if _is_identity(key)}


def _is_identity(key: str) -> bool:
    try:
        parts = json.loads(key)
    except (ValueError, RecursionError):
        return False
    return isinstance(parts, list) and len(parts) == 5 and isinstance(parts[0], str)
