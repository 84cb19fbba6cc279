"""Source files of prepared folders, and a cache of their digests."""

import contextlib
import hashlib
import json
import os
from collections.abc import Callable
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

    For a folder of many files, its listing is hashed instead.

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
        if path.is_dir():
            by_name[name] = _listing_digest(path)
            continue
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


def _listing_digest(folder: Path) -> str:
    """sha256 of the names, sizes and times of a folder's files, without reading a million small files."""
    with os.scandir(folder) as entries:
        states = [(entry.name, entry.stat()) for entry in entries if entry.is_file()]
    listing = sorted((name, state.st_size, state.st_mtime_ns) for name, state in states)
    return hashlib.sha256(json.dumps(listing).encode()).hexdigest()


def _sha256(path: Path) -> str:
    try:
        return sha256_file(path)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.") from error


def _identity(path: Path) -> str:
    return json.dumps([str(path.resolve()), *file_state(path)])


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
    except (OSError, ValueError):
        return {}
    if not isinstance(memo, dict) or not all(isinstance(digest, str) for digest in memo.values()):
        return {}
    return {key: digest for key, digest in memo.items() if _is_identity(key)}


def _is_identity(key: str) -> bool:
    try:
        parts = json.loads(key)
    except ValueError:
        return False
    return isinstance(parts, list) and len(parts) == 5 and isinstance(parts[0], str)
