"""Text files that may be compressed: `news.tsv` also as `news.tsv.gz` or `news.tsv.zst`."""

import io
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa

from grambench.errors import DataError

_CODECS = {".gz": "gzip", ".zst": "zstd"}
_CHUNK_BYTES = 1 << 20
_MOST_RATIO, _ALWAYS_BYTES = 200, 1 << 28
"""A file that holds more than `_ALWAYS_BYTES` and this many times its size is taken for a bomb."""


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
        DataError: this build of pyarrow cannot decompress it; on reading also if its compressed data is
            damaged, or expands to far more than its size.
        OSError: it cannot be opened.
    """
    codec = _CODECS.get(path.suffix)
    if codec is None:
        return path.open("rb")
    if not pa.Codec.is_available(codec):
        raise DataError(
            f"{path} cannot be decompressed, since this build of pyarrow lacks {codec}.",
            f"Run `{'gunzip' if codec == 'gzip' else 'unzstd'} {path.name}`.",
        )
    return io.BufferedReader(_Decompressed(path, codec), _CHUNK_BYTES)


def read(path: Path) -> bytes:
    """The whole file, decompressed; raises as `opened`."""
    with opened(path) as file:
        return file.read()


class _Decompressed(io.RawIOBase):
    """The decompressed bytes of a file, not more of them than are believed."""

    def __init__(self, path: Path, codec: str) -> None:
        self._path, self._source = path, pa.input_stream(str(path), compression=codec)
        self._left = max(_ALWAYS_BYTES, _MOST_RATIO * path.stat().st_size)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        content = self._next(len(buffer))
        buffer[: len(content)] = content
        return len(content)

    def readall(self) -> bytes:
        return b"".join(iter(lambda: self._next(_CHUNK_BYTES), b""))

    def _next(self, count: int) -> bytes:
        try:
            content: bytes = self._source.read(count)
        except OSError as error:
            fix = "Copy or download it again."
            raise DataError(f"{self._path} cannot be read: {error.strerror or error}.", fix) from error
        self._left -= len(content)
        if self._left < 0:
            raise DataError(
                f"{self._path} expands to more than {_MOST_RATIO} times its size.",
                "If that is right, decompress it first.",
            )
        return content

    def close(self) -> None:
        self._source.close()
        super().close()
