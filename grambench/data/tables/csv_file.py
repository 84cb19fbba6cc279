"""CSV files with a header and quoting (RFC 4180); every value is a string.

The header is row 1, so that row numbers are line numbers unless a quoted field spans several lines.
"""

import codecs
import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
import pyarrow.csv as pacsv

from grambench.data.tables import compressed, faults, tsv
from grambench.errors import DataError

FIRST_ROW = 2
"""Number of the first row after the header."""

_BLOCK_BYTES = 1 << 24
_HEADER_BYTES = 1 << 20
_END = "\x00end"
"""Field of a sentinel row appended to the file: an unclosed quote swallows it."""


@dataclass(frozen=True, slots=True, eq=False)
class CsvFile:
    """A file in memory, and its column names."""

    path: Path
    header: list[str]
    content: bytes
    """UTF-8 without a byte order mark, ending in a newline."""

    def columns(self, names: Sequence[str]) -> pa.Table:
        """The named columns as large_string without nulls; each name occurs once in the header.

        Raises:
            DataError: a row has the wrong number of fields (`FILE:ROW: found X, ...`), or a quote is never
                closed.
        """
        end = ",".join([_END] * len(self.header))
        table = self._parse(pa.py_buffer(self.content + end.encode() + b"\n"), names)
        last = len(table) - 1
        if table[names[0]][last].as_py() != _END:  # arrow takes the rest of the file for the field's text
            raise DataError(
                f"{self.path}:{last + FIRST_ROW}: found a quote that is never closed,"
                " expected a closing quote after every quoted field."
            )
        return table[:last]

    def _parse(self, content: pa.Buffer, names: Sequence[str]) -> pa.Table:
        malformed: list[pacsv.InvalidRow] = []

        def stop(row: pacsv.InvalidRow) -> str:
            malformed.append(row)
            return "error"

        try:
            return pacsv.read_csv(
                content,
                read_options=pacsv.ReadOptions(use_threads=False, block_size=_BLOCK_BYTES),
                parse_options=pacsv.ParseOptions(
                    newlines_in_values=True, ignore_empty_lines=False, invalid_row_handler=stop
                ),
                convert_options=pacsv.ConvertOptions(
                    include_columns=names,
                    column_types=dict.fromkeys(names, pa.large_string()),
                    strings_can_be_null=False,
                ),
            )
        except pa.ArrowException as error:
            if not malformed:
                raise DataError(f"{self.path} cannot be read as CSV: {error}.") from error
            row = malformed[0]
            plural = "" if row.actual_columns == 1 else "s"
            raise DataError(
                f"{self.path}:{row.number}: found {row.actual_columns} comma-separated field{plural} in"
                f" {faults.shown(row.text)}, expected {row.expected_columns}."
            ) from error


def open_csv(path: Path) -> CsvFile:
    """Read a file's bytes and its header.

    Raises:
        DataError: the file is missing or empty, or is not UTF-8.
    """
    content = _read_utf8(path)
    return CsvFile(path, _header(path, io.BytesIO(content)), content)


def header_of_csv(path: Path) -> list[str]:
    """The header alone.

    Raises:
        DataError: the file is missing or empty, or the header is not UTF-8.
    """
    try:
        with compressed.opened(path) as file:
            tsv.check_encoding(path, head := file.read(_HEADER_BYTES))
            if not head.removeprefix(codecs.BOM_UTF8):
                raise DataError(f"{path}:1: found an empty file, expected a header and rows.")
            return _header(path, io.BytesIO(head.removeprefix(codecs.BOM_UTF8)))
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.") from error


def _header(path: Path, content: BinaryIO) -> list[str]:
    try:
        return next(csv.reader(io.TextIOWrapper(content, "utf-8", errors="replace", newline="")))
    except csv.Error as error:
        raise DataError(f"{path}:1 cannot be read as CSV: {error}.") from error


def _read_utf8(path: Path) -> bytes:
    """A file's bytes without a BOM, ending in a newline."""
    try:
        content = compressed.read(path)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.") from error
    tsv.check_encoding(path, content)
    content = content.removeprefix(codecs.BOM_UTF8)
    if not content:
        raise DataError(f"{path}:1: found an empty file, expected a header and rows.")
    try:
        content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        found = f"byte 0x{content[error.start]:02x}"
        raise DataError(f"{path}:{line}: found {found}, expected valid UTF-8.", faults.TO_UTF8) from error
    return content if content.endswith(b"\n") else content + b"\n"
