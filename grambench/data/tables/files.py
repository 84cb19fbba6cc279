"""Users' tables as TSV, CSV or parquet: located by name, read in chunks, columns selected by name.

A TSV has a header line; fields are separated by tabs, rows end in ``\\n``, nothing is quoted. A byte order
mark and a carriage return before the newline are ignored. A CSV has a header and may quote its fields
(`csv_file`). Either may be compressed (`compressed`). A column may have any of its usual names
(`headers.ALIASES`). Legend of shapes: R rows of a chunk.
"""

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from grambench.data.tables import clock, faults, headers, tsv
from grambench.data.tables.clock import MISSING_TIME
from grambench.data.tables.compressed import kind, stored
from grambench.data.tables.csv_file import header_of_csv, open_csv
from grambench.data.tables.faults import shown
from grambench.data.tables.tsv import MalformedError
from grambench.errors import DataError

SUFFIXES = (".tsv", ".csv", ".parquet")
CHUNK_ROWS = 1 << 16
"""Rows per chunk of a parquet or CSV file."""
_HEADER_BYTES = 1 << 16
"""Read at once in search of the header's end."""

Floats = npt.NDArray[np.float64]

_NUMBER = r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?"
_MOMENT = r"[0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?)?"
_KINDS = {
    "no time": ("", None),
    "seconds": (_NUMBER, pa.float64()),
    "a date-time without an offset": (_MOMENT, pa.timestamp("us")),
    "a date-time with an offset": (rf"{_MOMENT}(Z|[+-][0-9]{{2}}:[0-9]{{2}})", pa.timestamp("us", "UTC")),
}
_EXPECTED_TIME = "seconds such as 12.5 or a date-time such as 2024-05-01T12:30:05Z"


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns read from a table; others are ignored."""

    required: tuple[str, ...]
    optional: tuple[str, ...] = ()
    exact: bool = False
    """Only these very names, as in version 0.1; else also in another case, and other usual ones."""

    def named(self, column: str, found: Sequence[str]) -> list[str]:
        """The names in `found` that mean a column."""
        return [name for name in found if name == column] if self.exact else headers.meaning(column, found)

    def __str__(self) -> str:
        required = f"{', '.join(self.required[:-1])} and {self.required[-1]}"
        return f"{required} (optional: {' and '.join(self.optional)})" if self.optional else required


@dataclass(frozen=True, slots=True, eq=False)
class Chunk:
    """Some rows of a table: all required columns and the optional ones that it has, non-null."""

    path: Path
    first_row: int
    """Rows of the table before this chunk."""
    columns: dict[str, pa.Array]
    """Arrays [R]; texts are large_string."""
    names: Mapping[str, str]
    """Column -> its name in the table."""

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def check(self, name: str, valid: npt.NDArray[np.bool_], expected: str) -> None:
        """Raise a DataError that names the first row where `valid` [R] is false for the column."""
        if not valid.all():
            row = int(np.argmin(valid))
            value = shown(str(self.columns[name][row].as_py()))
            place = place_of(self.path, self.first_row + row)
            raise DataError(f"{place}: found {self.names[name]} {value}, expected {expected}.")

    def refuse_type(self, name: str, expected: str) -> NoReturn:
        """Raise a DataError about a parquet column's type."""
        found = self.columns[name].type
        raise DataError(f"{self.path}: found column {self.names[name]} of type {found}, expected {expected}.")


def find_table(folder: Path, name: str, columns: Columns) -> Path:
    """`folder/name.tsv`, `folder/name.csv` or `folder/name.parquet`.

    Raises:
        DataError: none or several of them exist; the message says which columns are expected.
    """
    tables = tables_named(folder, name)
    if not tables:
        raise DataError(
            f"{folder} holds no {name}{', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}.",
            f"Put one of them there, with the columns {columns}.",
        )
    if len(tables) > 1:
        raise DataError(
            f"{folder} holds {' and '.join(path.name for path in tables)}.",
            f"Keep one of them, with the columns {columns}.",
        )
    return tables[0]


def tables_named(folder: Path, name: str) -> list[Path]:
    """The files in a folder that could be the table `name`."""
    forms = (folder / f"{name}{suffix}" for suffix in SUFFIXES)
    return [path for form in forms if (path := stored(form)).is_file()]


def table_sources(folder: Path, tables: Mapping[str, Columns]) -> dict[str, Path]:
    """The files of some tables, by names that tell which columns have other names.

    Raises:
        DataError: a table is missing or exists in two formats, or lacks a column.
    """
    found = {}
    for table, columns in tables.items():
        path = find_table(folder, table, columns)
        names = _wanted(path, header_of(path), columns)
        others = ", ".join(f"{name} as {column}" for column, name in names.items() if name != column)
        found[f"{table} ({others})" if others else table] = path
    return found


def unread(path: Path, columns: Columns) -> list[str]:
    """The columns of a table that are not read."""
    names = header_of(path)
    wanted = {*_wanted(path, names, columns).values()}
    return [name for name in names if name not in wanted]


def header_of(path: Path) -> list[str]:
    """The column names of a table.

    Raises:
        DataError: it cannot be read, is empty, or is not UTF-8.
    """
    if kind(path) == ".parquet":
        return list(_parquet(path).schema_arrow.names)
    if kind(path) == ".csv":
        return header_of_csv(path)
    return _tsv_names(path, next(tsv.blocks(path, _HEADER_BYTES)).partition(b"\n")[0])


def place_of(path: Path, row: int) -> str:
    """Where a row (0-based) is, for messages: `FILE:LINE`, or `FILE, row N` for parquet.

    Line 1 is the header; a CSV field that spans several lines counts as one line.
    """
    return f"{path}, row {row + 1}" if kind(path) == ".parquet" else f"{path}:{row + 2}"


def chunks(path: Path, columns: Columns, block_bytes: int = tsv.BLOCK_BYTES) -> Iterator[Chunk]:
    """A table's rows in file order.

    Args:
        path: a CSV or parquet file by its suffix, else a TSV. A CSV is held in memory.
        columns: columns to read.
        block_bytes: bytes of a TSV parsed at once.

    Raises:
        DataError: the file cannot be read or holds no rows, a required column is missing, two columns have
            the same meaning, a text row has the wrong number of fields or is not UTF-8, a row repeats the
            header, or a parquet value is null.
    """
    match kind(path):
        case ".parquet":
            parts = _parquet_chunks(path, columns)
        case ".csv":
            parts = _csv_chunks(path, columns)
        case _:
            parts = _tsv_chunks(path, columns, block_bytes)
    row = 0
    for names, part in parts:
        chunk = Chunk(path, row, part, names)
        _check_no_header(chunk)
        yield chunk
        row += len(chunk)
    if not row:
        raise DataError(f"{path}: found no rows, expected at least one.")


def ids(chunk: Chunk, name: str) -> pa.Array:
    """A column of non-empty ids as large_string [R]; integers in a parquet file are formatted as decimals.

    Raises:
        DataError: an id is empty, or the column holds neither strings nor whole numbers.
    """
    array = chunk.columns[name]
    if pa.types.is_integer(array.type):
        return array.cast(pa.large_string())
    if not pa.types.is_large_string(array.type):
        chunk.refuse_type(name, "strings or whole numbers")
    chunk.check(name, pc.not_equal(array, "").to_numpy(zero_copy_only=False), "an id")
    if kind(chunk.path) == ".tsv":
        is_quoted = pc.match_substring_regex(array, tsv.QUOTED).to_numpy(zero_copy_only=False)
        chunk.check(name, ~is_quoted, "an id without quotes (a .tsv has none; a .csv may)")
    return array


def texts(chunk: Chunk, name: str) -> pa.Array:
    """A column of texts as large_string [R]; all empty if the table lacks the column.

    Raises:
        DataError: the column does not hold strings.
    """
    if name not in chunk.columns:
        return pa.repeat(pa.scalar("", pa.large_string()), len(chunk))
    if not pa.types.is_large_string(chunk.columns[name].type):
        chunk.refuse_type(name, "strings")
    return chunk.columns[name]


class TimeReader:
    """Reads the column `time` of one table, chunk by chunk; all rows must be in the format of the first.

    A time is a number of seconds, an ISO 8601 date-time with an offset, one without (taken as UTC), or
    missing in every row. It must lie in 1990 to 2100.

    Args:
        may_count: numbers may also count from an arbitrary origin, such as positions 0, 1, 2, if they only
            define an order; either all numbers of a table do so, or none.
    """

    def __init__(self, may_count: bool = False) -> None:
        self._kind: str | None = None
        self._may_count = may_count
        self._counts: bool | None = None

    def seconds(self, chunk: Chunk) -> Floats:
        """Times in seconds [R], since 1970 UTC for date-times; NaN where the table has none.

        Raises:
            DataError: a time is malformed, outside 1990 to 2100 (the message guesses its unit), or in a
                different format from the first row's.
        """
        if "time" not in chunk.columns:
            return np.full(len(chunk), np.nan)
        array = chunk.columns["time"]
        if pa.types.is_large_string(array.type):
            return self._parsed(chunk)
        if not (is_number(array.type) or pa.types.is_timestamp(array.type) or pa.types.is_date(array.type)):
            chunk.refuse_type("time", "numbers, timestamps or strings")
        numbers = _seconds(array)
        chunk.check("time", np.isfinite(numbers), _EXPECTED_TIME)
        self._check_span(chunk, numbers, may_count=self._may_count and is_number(array.type))
        return numbers

    def _check_span(self, chunk: Chunk, numbers: Floats, may_count: bool) -> None:
        """Reject the first time [R] outside 1990 to 2100, unless the whole table counts from another zero."""
        believed = (numbers >= clock.EARLIEST_S) & (numbers < clock.LATEST_S)
        if self._counts is None:
            self._counts = may_count and bool(numbers[0] < clock.EARLIEST_S)
        valid = numbers < clock.EARLIEST_S if self._counts else believed
        if valid.all():
            return
        row = int(np.argmin(valid))
        text = str(chunk.columns["time"][row].as_py())
        if self._counts and believed[row]:
            expected = (
                f"a count from an arbitrary origin, as in the rows before, and not a time of {clock.SPAN}"
            )
        else:
            is_odd = may_count and abs(numbers[row]) < clock.EARLIEST_S
            expected = f"seconds since 1970, of {clock.SPAN}" + (", as in the rows before" if is_odd else "")
        hint = clock.guess(text)
        place = place_of(chunk.path, chunk.first_row + row)
        found = f"found {chunk.names['time']} {shown(text)}"
        raise DataError(f"{place}: {found}, expected {expected}{': ' if hint else ''}{hint}.")

    def _parsed(self, chunk: Chunk) -> Floats:
        strings = chunk.columns["time"]
        expected = _EXPECTED_TIME
        if chunk.first_row == 0:
            self._kind = _kind_of(strings[0].as_py())
        if self._kind is not None:
            expected += f"; the first row has {self._kind}"
        pattern, type_ = _KINDS[self._kind or "seconds"]
        fits = pc.match_substring_regex(strings, f"^(?:{pattern})$").to_numpy(zero_copy_only=False)
        if type_ is None:
            chunk.check("time", fits, expected)
            return np.full(len(chunk), np.nan)
        numbers = _seconds(_cast(strings, type_))
        chunk.check("time", fits & np.isfinite(numbers), expected)
        self._check_span(chunk, numbers, may_count=self._may_count and self._kind == "seconds")
        return numbers


def is_number(type_: pa.DataType) -> bool:
    """Whether a parquet column holds whole, floating-point or decimal numbers."""
    return bool(pa.types.is_integer(type_) or pa.types.is_floating(type_) or pa.types.is_decimal(type_))


def _check_no_header(chunk: Chunk) -> None:
    """Reject a row that repeats the header, as in concatenated files."""
    repeats = np.ones(len(chunk), np.bool_)
    for name, array in chunk.columns.items():
        if not pa.types.is_large_string(array.type):
            return
        repeats &= pc.equal(array, chunk.names[name]).to_numpy(zero_copy_only=False)
        if not repeats.any():
            return
    row = int(np.argmax(repeats))
    place = place_of(chunk.path, chunk.first_row + row)
    named = ", ".join(chunk.names.values())
    raise DataError(
        f"{place}: found the header again ({named}), expected a row of data.",
        "Delete that line: files were probably joined with their headers.",
    )


def _kind_of(time: str) -> str | None:
    return next((kind for kind, (pattern, _) in _KINDS.items() if re.fullmatch(pattern, time)), None)


def _cast(strings: pa.Array, type_: pa.DataType) -> pa.Array:
    """As `cast`, but null for every string that cannot be cast."""
    try:
        return strings.cast(type_)
    except pa.ArrowInvalid:
        if len(strings) == 1:
            return pa.nulls(1, type_)
        half = len(strings) // 2
        return pa.concat_arrays([_cast(strings[:half], type_), _cast(strings[half:], type_)])


def _seconds(times: pa.Array) -> Floats:
    """Numbers as they are; timestamps and dates in seconds since 1970 UTC, to the µs; NaN for nulls."""
    scale = 1.0
    if not is_number(times.type):
        zone = times.type.tz if pa.types.is_timestamp(times.type) else None
        times, scale = times.cast(pa.timestamp("us", zone), safe=False).cast(pa.int64()), 1e6
    seconds: Floats = times.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False) / scale
    return seconds


Part = tuple[dict[str, str], dict[str, pa.Array]]
"""Column -> its name in the table, and column -> values."""


def _tsv_chunks(path: Path, columns: Columns, block_bytes: int) -> Iterator[Part]:
    blocks = tsv.blocks(path, block_bytes)
    header, _, body = next(blocks).partition(b"\n")
    fields = header.count(b"\t") + 1
    names = _tsv_names(path, header)
    wanted = _wanted(path, names, columns)
    places = tuple(names.index(name) for name in wanted.values())
    try:
        for block in itertools.chain([body] if body else [], blocks):
            yield wanted, dict(zip(wanted, tsv.columns_of(block, fields, places), strict=True))
    except MalformedError:
        faults.raise_first_fault(path, fields, lambda _: None)


def _tsv_names(path: Path, header: bytes) -> list[str]:
    try:
        tsv.check_utf8(header)
    except MalformedError:
        faults.raise_first_fault(path, header.count(b"\t") + 1, lambda _: None)
    return header.decode().removesuffix("\r").split("\t")


def _csv_chunks(path: Path, columns: Columns) -> Iterator[Part]:
    file = open_csv(path)
    wanted = _wanted(path, file.header, columns)
    for batch in file.columns([*wanted.values()]).to_batches(CHUNK_ROWS):
        if len(batch):
            yield wanted, {column: batch.column(name) for column, name in wanted.items()}


def _parquet(path: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path)
    except (OSError, ValueError, pa.ArrowException) as error:
        raise DataError(f"{path} cannot be read as parquet: {error}.") from error


def _parquet_chunks(path: Path, columns: Columns) -> Iterator[Part]:
    file = _parquet(path)
    wanted = _wanted(path, file.schema_arrow.names, columns)
    row = 0
    try:
        for batch in file.iter_batches(CHUNK_ROWS, columns=[*wanted.values()]):
            if not len(batch):
                continue
            part = {column: _plain(batch.column(name)) for column, name in wanted.items()}
            for column, array in part.items():
                if array.null_count:
                    null_row = pc.index(array.is_null(), True).as_py()
                    place = place_of(path, row + null_row)
                    named = wanted[column]
                    raise DataError(f"{place}: found null in column {named}, expected a value in every row.")
            yield wanted, part
            row += len(batch)
    except (OSError, ValueError, pa.ArrowException) as error:
        raise DataError(f"{path} cannot be read as parquet: {error}.") from error


def _plain(array: pa.Array) -> pa.Array:
    """Decode dictionaries, and cast every string type to large_string; raises ArrowInvalid if not UTF-8."""
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    is_text = pa.types.is_string(array.type) or pa.types.is_string_view(array.type)
    plain = array.cast(pa.large_string()) if is_text else array
    plain.validate(full=True)
    return plain


def _wanted(path: Path, found: list[str], columns: Columns) -> dict[str, str]:
    """Column -> its name in the table: all required columns, and the optional ones that the table has.

    Raises:
        DataError: a required column is missing, or several names mean the same column.
    """
    place = str(path) if kind(path) == ".parquet" else f"{path}:1"
    wanted = {}
    for column in (*columns.required, *columns.optional):
        names = columns.named(column, found)
        if len(set(names)) > 1:
            both = " and ".join(map(shown, names))
            raise DataError(
                f"{place}: found the columns {both}, which both mean {column}.",
                "Rename or remove all of them but one.",
            )
        if len(names) > 1 or (not names and column in columns.required):
            listed = ", ".join(map(shown, found))
            raise DataError(
                f"{place}: found the columns {listed}, expected {columns}, each once.", _hint(found, columns)
            )
        if names:
            wanted[column] = names[0]
    return wanted


def _hint(found: list[str], columns: Columns) -> str:
    """How to fix a header that lacks columns, if that is obvious; else empty."""
    if any(columns.named(column, found) for column in (*columns.required, *columns.optional)):
        return ""
    if len(found) == 1 and re.search("[\t;,]", found[0]):
        return "Separate the fields by tabs (.tsv) or commas (.csv)."
    if headers.is_header(found):
        return "Rename the columns."
    return "The first line looks like data: put a header line with these names above it."


def read_items(
    path: Path, columns: Columns, names: tuple[str, ...], block_bytes: int, others: tuple[str, ...] = ()
) -> tuple[pa.Array, list[pa.Array]]:
    """Non-empty ids and the named columns; an id may occur in several rows if all have the same texts.

    Args:
        path: the table.
        columns: those that it may have.
        names: the texts.
        block_bytes: bytes of a TSV parsed at once.
        others: more columns, which may differ.

    Raises:
        DataError: an id is empty, or occurs in two rows with different texts.
    """
    parts = [
        (ids(chunk, "id"), *(texts(chunk, name) for name in (*names, *others)))
        for chunk in chunks(path, columns, block_bytes)
    ]
    item_ids, *columns_of_text = (pa.concat_arrays(column) for column in zip(*parts, strict=True))
    if again := tsv.other_text(item_ids, columns_of_text[: len(names)]):
        row, first = again
        raise DataError(
            f"{place_of(path, row)}: found item id {shown(item_ids[row].as_py())} again"
            f" (first: {place_of(path, first)}) with another text, expected every id once.",
            "Keep one of the two rows.",
        )
    return item_ids, columns_of_text


def whole_seconds(seconds: Floats) -> npt.NDArray[np.int64]:
    """Seconds rounded down to integers; `MISSING_TIME` for NaN."""
    given = ~np.isnan(seconds)
    time_s = np.full(len(seconds), MISSING_TIME)
    time_s[given] = np.floor(seconds[given]).astype(np.int64)
    return time_s
