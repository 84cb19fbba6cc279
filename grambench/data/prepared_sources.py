"""The files that a prepared folder is made from, and their digests, remembered between starts."""

import contextlib
import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from grambench.data.formats.mind_folder import (
    BEHAVIORS_FILE,
    NEWS_FILE,
    SPLITS,
    Split,
    find_bodies,
    find_split,
    is_one_split,
    split_folder,
)
from grambench.errors import DataError
from grambench.fs import file_state, sha256_file, write_atomic

Report = Callable[[str, int, int], None]
"""Progress: phase, units done, units in all."""

_MEMO_FILE = ".sha256.json"


@dataclass(frozen=True, slots=True)
class Sources:
    """What is read: splits in order of precedence, and bodies where they are wanted."""

    data_dir: Path
    splits: dict[Split, Path]
    """Folder of each split, test where the data has it; train alone where a folder has no splits, so that the
    test part is cut out of it."""
    bodies: tuple[Path, ...]

    @property
    def labelled(self) -> tuple[Split, ...]:
        """Splits whose behaviors are read."""
        return tuple(split for split in self.splits if split != "test")

    def files(self) -> dict[str, Path]:
        """Every file that determines the arrays, by a name that does not depend on the folder."""
        files = {f"{split}/{NEWS_FILE}": folder / NEWS_FILE for split, folder in self.splits.items()}
        for split in self.labelled:
            files[f"{split}/{BEHAVIORS_FILE}"] = self.splits[split] / BEHAVIORS_FILE
        for index, path in enumerate(self.bodies):
            files[f"bodies/{index}{path.suffix}"] = path
        return files


def find_sources(data_dir: Path, with_bodies: bool) -> Sources:
    """Locate the files of a data folder.

    Raises:
        DataError: train or dev is missing, or bodies are wanted and there are none.
    """
    splits: dict[Split, Path] = {}
    is_one = data_dir.is_dir() and is_one_split(data_dir)
    if is_one:
        splits["train"] = data_dir
    for split in () if is_one else SPLITS:
        folder = find_split(data_dir, split) if split == "test" else split_folder(data_dir, split)
        if folder is not None:
            splits[split] = folder
    bodies = find_bodies(data_dir, list(splits.values())) if with_bodies else []
    if with_bodies and not bodies:
        raise DataError(
            f"The body field is wanted, but {data_dir} has no bodies.tsv or bodies.parquet.",
            "Put one there (news id, tab, body), or set `--set data.fields.body=0`.",
        )
    return Sources(data_dir, splits, tuple(bodies))


def digests(
    files: dict[str, Path], cache_dir: Path, report: Report, read_all: bool = False
) -> dict[str, str]:
    """sha256 of each file, from memory where path, size, times and inode are those remembered.

    A folder of many files stands for itself by its listing.

    Args:
        files: name -> file.
        cache_dir: holds the memory.
        report: told of the files done.
        read_all: read every file, and correct the memory.
    """
    memo_path = cache_dir / _MEMO_FILE
    remembered = _read_memo(memo_path)
    memo = {} if read_all else dict(remembered)
    found: dict[str, str] = {}
    for done, (name, path) in enumerate(files.items()):
        if path.is_dir():
            found[name] = _listing_digest(path)
            continue
        key = _identity(path)
        if key not in memo:
            report("hash", done, len(files))
            memo[key] = _sha256(path)
        found[name] = memo[key]
    memo = {**remembered, **memo}
    if memo != remembered:
        report("hash", len(files), len(files))
        with contextlib.suppress(OSError):
            write_atomic(memo_path, json.dumps(_without_stale(memo), indent=1))
    return found


def size_of(path: Path) -> int:
    """Bytes of a file, or of the files of a folder."""
    if not path.is_dir():
        return path.stat().st_size
    with os.scandir(path) as entries:
        return sum(entry.stat().st_size for entry in entries if entry.is_file())


def _listing_digest(folder: Path) -> str:
    """sha256 of the names, sizes and times of a folder's files: a million small files are not read twice."""
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
    """Leave out what was remembered of files that are gone or have changed."""
    kept = {}
    for key, digest in memo.items():
        with contextlib.suppress(OSError):
            if _identity(Path(json.loads(key)[0])) == key:
                kept[key] = digest
    return kept


def _read_memo(path: Path) -> dict[str, str]:
    """The memory, or nothing where it is absent, damaged or not ours."""
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
