"""Extract MIND's tables from a downloaded zip, which is not trusted: paths, links and sizes are checked."""

import errno
import stat
import struct
import zipfile
import zlib
from lzma import LZMAError
from pathlib import Path, PurePosixPath

from grambench.errors import DataError
from grambench.fs import safe_join

_MOST_BYTES = 4 << 30
_MOST_RATIO = 200
_CHUNK_BYTES = 1 << 20
_DAMAGED = (zipfile.BadZipFile, zlib.error, LZMAError, EOFError, RuntimeError, ValueError, struct.error)
"""Raised for damaged archives; `NotImplementedError` is a `RuntimeError`."""
_DAMAGED_ERRNO = {None, errno.EINVAL}
"""Of an `OSError` of bz2, and of a seek to a place before the file."""


def extract_tables(archive: Path, folder: Path, names: tuple[str, ...]) -> None:
    """Extract the files `names` of a zip into `folder`; all other entries are ignored.

    Entries may be at the top level or in one folder (`MINDsmall_train/news.tsv`).

    Args:
        archive: the zip.
        folder: must exist; files written before an error remain.
        names: plain file names, each required exactly once.

    Raises:
        DataError: not a zip or a damaged one, a name is missing or occurs twice, an entry points outside
            the folder or is a link, or the sizes suggest a zip bomb (over 4 GiB, or over 200 times the
            compressed size).
    """
    try:
        with zipfile.ZipFile(archive) as container:
            for entry in _entries(container, folder, names):
                _extract(container, entry, folder)
    except (*_DAMAGED, OSError) as error:
        if isinstance(error, OSError) and error.errno not in _DAMAGED_ERRNO:
            raise
        raise DataError(f"{archive.name} cannot be read as a zip ({error}).", "Download it again.") from error


def _entries(container: zipfile.ZipFile, folder: Path, names: tuple[str, ...]) -> list[zipfile.ZipInfo]:
    by_name: dict[str, zipfile.ZipInfo] = {}
    for entry in container.infolist():
        safe_join(folder, entry.filename.replace("\\", "/"))
        if stat.S_ISLNK(entry.external_attr >> 16):
            raise DataError(f"The entry {entry.filename!r} is a link.", "Do not use this archive.")
        path = PurePosixPath(entry.filename)
        if path.name not in names or len(path.parts) > 2 or path.parts[0] == "__MACOSX" or entry.is_dir():
            continue
        if path.name in by_name:
            raise DataError(f"The archive holds {path.name} twice.", "Do not use this archive.")
        by_name[path.name] = entry
    missing = [name for name in names if name not in by_name]
    if missing:
        raise DataError(f"The archive holds no {missing[0]}.", "Download it again, or from another source.")
    total = sum(entry.file_size for entry in by_name.values())
    packed = sum(entry.compress_size for entry in by_name.values())
    if total > _MOST_BYTES or total > _MOST_RATIO * max(packed, 1):
        raise DataError(f"The archive claims {total:,} bytes in {packed:,}.", "Do not use this archive.")
    return list(by_name.values())


def _extract(container: zipfile.ZipFile, entry: zipfile.ZipInfo, folder: Path) -> None:
    """Copy one entry; `zipfile` checks its CRC at the end and never yields more than the declared size."""
    with container.open(entry) as source, (folder / PurePosixPath(entry.filename).name).open("wb") as file:
        while chunk := source.read(_CHUNK_BYTES):
            file.write(chunk)
