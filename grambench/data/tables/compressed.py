"""Text files that may be compressed: `news.tsv` also as `news.tsv.gz` or `news.tsv.zst`."""

import io
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa

from grambench.errors import DataError

_CODECS = {".gz": "gzip", ".zst": "zstd"}


def stored(path: Path) -> Path:
    """The file as it is there: itself, else its compressed form; `path` if neither exists."""
    forms = (path, *(path.with_name(path.name + suffix) for suffix in _CODECS))
    return next((form for form in forms if form.is_file()), path)


def kind(path: Path) -> str:
    """The suffix without that of the compression: `.tsv` of `items.tsv.gz`."""
    return path.with_suffix("").suffix if path.suffix in _CODECS else path.suffix


def opened(path: Path) -> BinaryIO:
    """The file's bytes, decompressed on reading.

    Raises:
        DataError: this build of pyarrow cannot decompress it.
        OSError: it cannot be opened; on reading also if its compressed data is damaged.
    """
    codec = _CODECS.get(path.suffix)
    if codec is None:
        return path.open("rb")
    if not pa.Codec.is_available(codec):
        raise DataError(
            f"{path} cannot be decompressed, since this build of pyarrow lacks {codec}.",
            f"Run `{'gunzip' if codec == 'gzip' else 'unzstd'} {path.name}`.",
        )
    return io.BufferedReader(pa.input_stream(str(path), compression=codec))


def read(path: Path) -> bytes:
    """The whole file, decompressed; raises as `opened`."""
    with opened(path) as file:
        return file.read()
