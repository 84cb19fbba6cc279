"""Append-only logs: one writer, any number of readers, readable after any crash."""

import os
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

import psutil

from grambench.events.codec import Record, Stamp, Unreadable, decode, encode, read_line
from grambench.events.log_check import LogCheck, in_order
from grambench.events.types import Event
from grambench.fs import open_owned, open_regular

_BLOCK_BYTES = 1 << 16
_READ_BYTES = 1 << 20
_HEAD_BYTES = 64
"""Of a line: they differ between any two lines of a log, since their numbers or times do."""
_WINDOW = 32
"""Records after a gap in which the missing lines are looked for."""


def boot_id() -> str:
    """Identifies this boot of the machine: monotonic times compare only within it."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return f"boot-{int(psutil.boot_time())}"


class Journal:
    """The writer of one log. Thread-safe; each event is one `write` of one line."""

    def __init__(self, path: Path) -> None:
        """Open `path` for appending; a torn last line is removed first.

        Raises:
            OSError: the folder is missing or not writable, or `path` is a link.
        """
        self._descriptor = open_owned(path)
        self._lock = threading.Lock()
        self._boot = boot_id()
        self.lines = _heal(self._descriptor)
        """Complete lines that the log held when it was opened."""
        self._seq = _next_number(self._descriptor, self.lines)

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
            before = os.fstat(self._descriptor).st_size
            written = os.write(self._descriptor, line)
            if written != len(line):
                os.ftruncate(self._descriptor, before)
                raise OSError(f"only {written} of {len(line)} bytes of an event could be written")
            self._seq += 1

    def close(self) -> None:
        """Flush to disk and close; harmless if already closed."""
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

    def __exit__(self, *_: object) -> None:
        self.close()


class Follower:
    """Reads a log that may still grow, or not exist yet; keeps its place between calls."""

    def __init__(self, path: Path, offset: int = 0, check: LogCheck | None = None) -> None:
        """
        Args:
            path: of the log.
            offset: bytes of complete lines to skip.
            check: what is known of the lines before `offset`.
        """
        self._path, self._offset = path, offset
        self._torn, self._torn_head = 0, b""
        self.check = check or LogCheck(None if offset else 0)
        """What is wrong with the log."""
        self._last: Record | None = None

    @property
    def path(self) -> Path:
        """The log."""
        return self._path

    @property
    def offset(self) -> int:
        """Bytes of complete lines read so far."""
        return self._offset

    def read(self) -> Iterator[Record]:
        """Records completed since the last call, block by block; a torn tail waits for its newline.

        Repeated lines are left out, and lines that changed places with their neighbours are put in order.
        Nothing is raised: `check` says what cannot be read. Take all of the records before the next call:
        what an abandoned iterator held is lost.
        """
        behind_gap: list[Record] = []
        for record in self._whole_lines():
            if not isinstance(record, Record):
                yield from self._taken(behind_gap)
                behind_gap = []
                self.check.count(record)
            elif behind_gap or self.check.is_ahead(record):
                behind_gap.append(record)
                if len(behind_gap) == _WINDOW:
                    yield from self._taken(behind_gap)
                    behind_gap = []
            elif self.check.take(record, self._last):
                self._last = record
                yield record
        yield from self._taken(behind_gap)

    def _taken(self, records: list[Record]) -> Iterator[Record]:
        ordered = in_order(records)
        self.check.misplaced += sum(a is not b for a, b in zip(records, ordered, strict=True))
        for record in ordered:
            if self.check.take(record, self._last):
                self._last = record
                yield record

    def _whole_lines(self) -> Iterator[Record | Unreadable]:
        """The records of the complete lines since the last call, or why a line has none."""
        try:
            file = open_regular(self._path)
        except FileNotFoundError:
            return
        except (OSError, ValueError) as error:
            self.check.trouble = getattr(error, "strerror", None) or str(error)
            return
        self.check.trouble = ""
        with file:
            end = os.fstat(file.fileno()).st_size
            if end < self._offset:
                self.check.trouble = "it became shorter while it was read"
                return
            try:
                for data in self._blocks(file.fileno(), end):
                    yield from map(read_line, data.split(b"\n"))
                self.check.torn = self._torn > 0
            except OSError as error:
                self.check.trouble = error.strerror or str(error)

    def _blocks(self, descriptor: int, end: int) -> Iterator[bytes]:
        """New lines, many at a time, without the last newline; no byte is searched twice."""
        head = os.pread(descriptor, len(self._torn_head), self._offset)
        if head != self._torn_head or end < self._place:
            self._torn = 0  # another writer has cut it off, and gone on
        while block := os.pread(descriptor, min(_READ_BYTES, end - self._offset - self._torn), self._place):
            after = block.rfind(b"\n") + 1
            if after:
                data = os.pread(descriptor, self._torn, self._offset) + block[:after]
                self._offset, self._torn = self._offset + len(data), 0
                yield data[:-1]
            self._torn += len(block) - after
        self._torn_head = os.pread(descriptor, min(self._torn, _HEAD_BYTES), self._offset)

    @property
    def _place(self) -> int:
        return self._offset + self._torn


def _next_number(descriptor: int, lines: int) -> int:
    """The number of the next line: after the newest readable one, so that no number is used twice."""
    size = os.fstat(descriptor).st_size
    tail = os.pread(descriptor, _BLOCK_BYTES, max(0, size - _BLOCK_BYTES)).split(b"\n")[:-1]
    for behind, line in enumerate(reversed(tail)):
        record = decode(line)
        if record is not None:
            return record.stamp.seq + 1 + behind
    return lines


def _heal(descriptor: int) -> int:
    """Cut a log back to its last newline; returns the number of complete lines."""
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
