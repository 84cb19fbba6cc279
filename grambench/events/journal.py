"""Append-only logs: one writer, any number of readers, readable after any crash."""

import os
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from grambench.events.codec import Record, Stamp, decode, encode
from grambench.events.types import Event

_BLOCK_BYTES = 1 << 16
_READ_BYTES = 1 << 20


def boot_id() -> str:
    """Identifies this boot of the machine: monotonic times compare only within it."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return f"boot-{int(psutil.boot_time())}"


class Journal:
    """The writer of one log. Thread-safe; each event is one `write` of one line."""

    def __init__(self, path: Path) -> None:
        """Open `path` for appending; a torn last line is cut back first.

        Raises:
            OSError: the folder is missing or not writable.
        """
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        self._lock = threading.Lock()
        self._boot = boot_id()
        self._seq = _heal(self._descriptor)
        self.lines = self._seq
        """Whole lines that were there already."""

    def append(self, event: Event) -> None:
        """Write one event.

        Raises:
            OSError: the disk is full or gone, or the log is closed; what was written before stays
                readable, and a later event may be written.
        """
        with self._lock:
            if self._descriptor < 0:
                raise OSError("the log is closed")
            wall = datetime.now(UTC).isoformat(timespec="milliseconds")
            stamp = Stamp(self._seq, time.monotonic_ns(), self._boot, wall)
            line = encode(event, stamp)
            written = os.write(self._descriptor, line)
            if written != len(line):
                _heal(self._descriptor)
                raise OSError(f"only {written} of {len(line)} bytes of an event could be written")
            self._seq += 1

    def close(self) -> None:
        """Flush to disk and close; harmless when closed already."""
        with self._lock:
            descriptor, self._descriptor = self._descriptor, -1
            if descriptor < 0:
                return
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class Follower:
    """Reads a log that may still grow, or not exist yet; keeps its place between calls."""

    def __init__(self, path: Path, offset: int = 0) -> None:
        """`offset`: bytes of whole lines to pass over."""
        self._path, self._offset = path, offset

    @property
    def path(self) -> Path:
        """The log."""
        return self._path

    @property
    def offset(self) -> int:
        """Bytes of whole lines that were read."""
        return self._offset

    def read(self) -> Iterator[Record]:
        """Records completed since the last call, block by block; a torn tail waits for its newline.

        Take all of them before the next call: what an abandoned iterator held is passed over.
        """
        try:
            file = self._path.open("rb")
        except FileNotFoundError:
            return
        with file:
            end = os.fstat(file.fileno()).st_size
            file.seek(self._offset)
            torn = b""
            while block := file.read(min(_READ_BYTES, end - self._offset - len(torn))):
                data = torn + block
                whole = data.rfind(b"\n") + 1
                torn = data[whole:]
                self._offset += whole
                for line in data[:whole].split(b"\n"):
                    record = decode(line) if line else None
                    if record is not None:
                        yield record


def _heal(descriptor: int) -> int:
    """Cut a log back to its last newline; returns the number of whole lines."""
    size = os.fstat(descriptor).st_size
    lines, end, position = 0, 0, 0
    while position < size:
        block = os.pread(descriptor, _BLOCK_BYTES, position)
        lines += block.count(b"\n")
        if (last := block.rfind(b"\n")) >= 0:
            end = position + last + 1
        position += len(block)
    if end < size:
        os.ftruncate(descriptor, end)
    return lines
