"""Common parts of POJ and EdNet: item texts supplied by the user, and CSV columns selected by name."""

import functools
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from grambench.data.tables import faults, headers, tsv
from grambench.data.tables.compressed import stored
from grambench.data.tables.csv_file import FIRST_ROW, open_csv
from grambench.data.tables.tsv import MalformedError
from grambench.errors import DataError

CONTENTS_FILES = ("contents.tsv", "contents.parquet")
NAMES = ["id", "text"]
"""Columns of contents.parquet, and the optional header of contents.tsv."""


@dataclass(frozen=True, slots=True, eq=False)
class Contents:
    """Items and their texts: two non-null large_string arrays of equal length."""

    ids: pa.Array
    """Distinct and non-empty."""
    texts: pa.Array
    repeated: int = 0
    """Rows left out, which repeat an item."""

    def __len__(self) -> int:
        return len(self.ids)


def find_contents(folder: Path) -> Path:
    """The contents.tsv or contents.parquet of a data folder.

    Raises:
        DataError: neither exists, or both do.
    """
    paths = [path for name in CONTENTS_FILES if (path := stored(folder / name)).is_file()]
    if len(paths) > 1:
        raise DataError(f"{paths[0]} and {paths[1]} could both hold the texts.", "Keep one of them.")
    if not paths:
        raise DataError(
            f"{folder} has no {' or '.join(CONTENTS_FILES)}. The texts of this data set are private,"
            " so you have to supply them.",
            f"Put a {CONTENTS_FILES[0]} there: one item per line (id, tab, text), UTF-8, no quoting;"
            f" or a {CONTENTS_FILES[1]} with the columns id and text.",
        )
    return paths[0]


def read_contents(path: Path) -> Contents:
    """Read contents.tsv (id, tab, text; no quoting; header optional) or contents.parquet (id, text).

    Empty texts are kept; null texts of a parquet file become empty.

    Raises:
        DataError: the file is missing, empty or malformed (`FILE:LINE: found X, expected Y`; for parquet a
            row instead of a line): wrong number of fields, not UTF-8, an id that is empty or has two texts.
    """
    contents = _read_parquet(path) if path.suffix == ".parquet" else _read_tsv(path)
    if not len(contents):
        raise DataError(f"{path}: found no items, expected an id and a text in each row.")
    kept = pa.array(np.unique(tsv.first_rows(contents.ids)))
    return Contents(contents.ids.take(kept), contents.texts.take(kept), len(contents) - len(kept))


def read_columns(path: Path, names: Sequence[str]) -> pa.Table:
    """Columns of a CSV file with a header and quoting, selected by name; others are ignored.

    Returns:
        large_string columns in the order of `names`, without nulls.

    Raises:
        DataError: the file is missing or empty, is not UTF-8, lacks a column or has it twice, or a row has
            the wrong number of fields or an empty one in a column of `names` (`FILE:ROW: found X, ...`).
    """
    file = open_csv(path)
    if any(file.header.count(name) != 1 for name in names):
        raise DataError(
            f"{path}:1: found the columns {faults.shown(','.join(file.header))},"
            f" expected {', '.join(names)}, each once.",
            "" if set(names) & set(file.header) else "Put a header line with these names above the rows.",
        )
    table = file.columns(names)
    if not len(table):
        raise DataError(f"{path}: found only a header, expected rows after it.")
    again = pc.index(functools.reduce(pc.and_, (pc.equal(table[name], name) for name in names)), True).as_py()
    if again >= 0:
        found = f"found the header again ({', '.join(names)})"
        raise DataError(
            f"{path}:{again + FIRST_ROW}: {found}, expected a row of data.",
            "Delete that line: files were probably joined with their headers.",
        )
    for name in names:
        empty = pc.index(table[name], "").as_py()
        if empty >= 0:
            raise DataError(f"{path}:{empty + FIRST_ROW}: found an empty {name}, expected one in every row.")
    return table


def check_unique(path: Path, ids: pa.Array, texts: pa.Array, first_row: int = FIRST_ROW) -> None:
    """Reject a column in which an id is empty or occurs with two texts.

    Raises:
        DataError: `FILE:ROW: found X, expected Y`.
    """
    check = _check_ids("row", first_row)
    for row, fields in enumerate(zip(ids.to_pylist(), texts.to_pylist(), strict=True), first_row):
        fault = check([*fields])
        if fault is not None:
            raise DataError(f"{path}:{row}: {fault}.")


def _read_tsv(path: Path) -> Contents:
    try:
        parts = [tsv.columns_of(block, len(NAMES), (0, 1)) for block in tsv.blocks(path)]
        ids, texts = (pa.concat_arrays(column) for column in zip(*parts, strict=True))
        first = int([ids[0].as_py(), texts[0].as_py()] == NAMES)
        ids, texts = ids[first:], texts[first:]
        tsv.check_unique(ids, texts)
        if headers.header_row((ids, texts)) is not None:
            raise MalformedError
    except MalformedError:
        faults.raise_first_fault(path, len(NAMES), _check_ids(), "id and text", NAMES)
    return Contents(ids, texts)


def _read_parquet(path: Path) -> Contents:
    try:
        file = pq.ParquetFile(path)
        if not set(NAMES) <= set(file.schema_arrow.names):
            found = ", ".join(file.schema_arrow.names)
            raise DataError(f"{path}: found columns {faults.shown(found)}, expected id and text.")
        table = file.read(columns=NAMES)
        ids, texts = (
            pc.fill_null(table[name].cast(pa.large_string()), "").combine_chunks() for name in NAMES
        )
        ids.validate(full=True)
        texts.validate(full=True)
    except (OSError, ValueError, pa.ArrowException) as error:
        raise DataError(f"{path} cannot be read as parquet: {error}.") from error
    check_unique(path, ids, texts, first_row=1)
    return Contents(ids, texts)


def _check_ids(unit: str = "line", start: int = 1) -> faults.Check:
    """A check for rows of an id and a text; rows that repeat an id must have its text."""
    first: dict[str, tuple[int, str]] = {}
    numbers = itertools.count(start)

    def check(fields: list[str]) -> str | None:
        number = next(numbers)
        if not fields[0]:
            return "found an empty id, expected the id of a question or problem"
        where, text = first.setdefault(fields[0], (number, fields[1]))
        if text == fields[1]:
            return None
        again = f"again (first on {unit} {where}) with another text"
        return f"found id {faults.shown(fields[0])} {again}, expected every id once"

    return check
