"""MIND's tables out of a downloaded zip, which is not trusted: no path, link or size is believed."""

import stat
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from grambench.errors import DataError
from grambench.fs import safe_join

_MOST_BYTES = 4 << 30
_MOST_RATIO = 200
_CHUNK_BYTES = 1 << 20


def extract_tables(archive: Path, folder: Path, names: tuple[str, ...]) -> None:
    """Write the files `names` of a zip into `folder`; every other entry is left out.

    An entry counts at the top of the archive or in one folder (`MINDsmall_train/news.tsv`).

    Args:
        archive: the zip.
        folder: exists; what is written there before an error stays.
        names: plain file names, each wanted exactly once.

    Raises:
        DataError: no zip or a damaged one, a name is missing or there twice, an entry points outside
            the folder or is a link, or the sizes are those of a bomb (over 4 GiB, over 200 times
            the compressed size).
    """
    try:
        with zipfile.ZipFile(archive) as container:
            for entry in _entries(container, folder, names):
                _extract(container, entry, folder)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise DataError(f"{archive.name} cannot be read as a zip ({error}).", "Fetch it again.") from error


def _entries(container: zipfile.ZipFile, folder: Path, names: tuple[str, ...]) -> list[zipfile.ZipInfo]:
    found: dict[str, zipfile.ZipInfo] = {}
    for entry in container.infolist():
        safe_join(folder, entry.filename.replace("\\", "/"))
        if stat.S_ISLNK(entry.external_attr >> 16):
            raise DataError(f"The entry {entry.filename!r} is a link.", "Do not use this archive.")
        path = PurePosixPath(entry.filename)
        if path.name not in names or len(path.parts) > 2 or path.parts[0] == "__MACOSX" or entry.is_dir():
            continue
        if path.name in found:
            raise DataError(f"The archive holds {path.name} twice.", "Do not use this archive.")
        found[path.name] = entry
    missing = [name for name in names if name not in found]
    if missing:
        raise DataError(f"The archive holds no {missing[0]}.", "Fetch it again, or from another source.")
    total = sum(entry.file_size for entry in found.values())
    packed = sum(entry.compress_size for entry in found.values())
    if total > _MOST_BYTES or total > _MOST_RATIO * max(packed, 1):
        raise DataError(f"The archive claims {total:,} bytes in {packed:,}.", "Do not use this archive.")
    return list(found.values())


def _extract(container: zipfile.ZipFile, entry: zipfile.ZipInfo, folder: Path) -> None:
    """Copy one entry; `zipfile` compares its CRC at the end and never gives more than it declares."""
    with container.open(entry) as source, (folder / PurePosixPath(entry.filename).name).open("wb") as file:
        while chunk := source.read(_CHUNK_BYTES):
            file.write(chunk)
