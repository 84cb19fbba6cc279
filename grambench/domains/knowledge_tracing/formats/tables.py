"""Plain tables for users' own data: two tables with named columns, each a TSV, CSV or parquet file.

`items` (id, text) and `interactions` (user, item, correct; optional: time, split). `data.tables.files` says
how the files are read, and what a time may be. Legend of shapes: U users, A answers.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from grambench.data.tables import files as table_files
from grambench.data.tables import tsv
from grambench.data.tables.files import (
    Chunk,
    Columns,
    Floats,
    TimeReader,
    read_items,
    table_sources,
    whole_seconds,
)
from grambench.data.tables.splits import read_split
from grambench.domains.knowledge_tracing.answers import REPEATED_ITEMS, Answers
from grambench.errors import DataError

Int64s = npt.NDArray[np.int64]
Int8s = npt.NDArray[np.int8]

ITEMS = Columns(("id", "text"))
INTERACTIONS = Columns(("user", "item", "correct"), ("time", "split"))

_CORRECT = ("0", "1", "false", "true", "0.0", "1.0")


def tables_files(folder: Path, exact: bool = False) -> dict[str, Path]:
    """The two tables of knowledge-tracing data: `items` and `interactions`.

    Raises:
        DataError: a table is missing or exists in two formats, or lacks a column; the message names them.
    """
    tables = {"items": ITEMS, "interactions": INTERACTIONS}
    return table_sources(folder, {name: replace(columns, exact=exact) for name, columns in tables.items()})


def read_tables(folder: Path, block_bytes: int = tsv.BLOCK_BYTES, exact: bool = False) -> Answers:
    """Read a folder's items and interactions.

    Users are in order of first appearance; a user's answers are sorted by time, in row order if times are
    equal or missing. Fractions of a second affect the order and are then dropped. Answers to unknown items
    are dropped and counted.

    Args:
        folder: holds the two tables.
        block_bytes: bytes of a TSV parsed at once; bounds the additional memory.
        exact: see `Columns`.

    Raises:
        DataError: a table is missing, cannot be read or holds no rows; an id is empty or an item's id
            repeated with another text; `correct` is not 0, 1, 0.0, 1.0, true or false; `split` is not
            train, validation or test; a time is malformed, or missing in only some rows; a parquet value
            is null; no answered item is known. Messages name FILE:LINE or FILE, row N.
    """
    items_path, path = tables_files(folder, exact).values()
    ids, texts = read_items(items_path, replace(ITEMS, exact=exact), ("text",), block_bytes)
    kept = pa.array(np.unique(tsv.first_rows(ids)))
    item_ids = ids.take(kept)
    parts = _interactions(path, replace(INTERACTIONS, exact=exact), block_bytes)
    users, items, correct, seconds, splits = zip(*parts, strict=True)
    users_A, user_ids = tsv.unified(users)
    codes_A, named = tsv.unified(items)
    known = pc.fill_null(pc.index_in(named, value_set=item_ids), -1).to_numpy(zero_copy_only=False)
    items_A = known[codes_A]
    seconds_A = np.concatenate(seconds)
    order = _by_user_and_time(users_A, seconds_A)
    order = order[items_A[order] >= 0]
    left_out = len(items_A) - len(order)
    reason = f"answers to an item that {items_path.name} does not list"
    if not len(order):
        raise DataError(f"{path}: found only {reason}, expected at least one that it lists.")
    left_out_by_reason = {reason: left_out, REPEATED_ITEMS: len(ids) - len(kept)}
    counts_U = np.bincount(users_A[order], minlength=len(user_ids))
    return Answers(
        item_ids=item_ids,
        texts=texts[0].take(kept),
        user_ids=user_ids.filter(pa.array(counts_U > 0)),
        offsets=np.concatenate(([0], np.cumsum(counts_U[counts_U > 0]))),
        items=items_A[order],
        correct=np.concatenate(correct)[order],
        time_s=whole_seconds(seconds_A[order]),
        split=None if splits[0] is None else np.concatenate(splits)[order],
        left_out={reason: count for reason, count in left_out_by_reason.items() if count},
    )


def _interactions(
    path: Path, columns: Columns, block_bytes: int
) -> Iterator[tuple[pa.Array, pa.Array, Int8s, Floats, Int8s | None]]:
    """Users and items (dictionary-encoded), correctness, seconds and split of each chunk."""
    reader = TimeReader(may_count=True)
    for chunk in table_files.chunks(path, columns, block_bytes):
        users, items = (table_files.ids(chunk, name).dictionary_encode() for name in ("user", "item"))
        yield users, items, _correct(chunk), reader.seconds(chunk), read_split(chunk)


def _by_user_and_time(users_A: npt.NDArray[np.int32], seconds_A: Floats) -> Int64s:
    """Rows sorted by user, then time, then row; times are either all given or all NaN."""
    if np.isnan(seconds_A[0]):
        return np.argsort(users_A, kind="stable")
    return np.lexsort((seconds_A, users_A))


def _int8(numbers: npt.NDArray[np.generic]) -> Int8s:
    return numbers.astype(np.int8)


def _correct(chunk: Chunk) -> Int8s:
    array = chunk.columns["correct"]
    expected = "0 or 1 (or false or true)"
    if pa.types.is_large_string(array.type):
        places = pc.index_in(pc.ascii_lower(array), value_set=pa.array(_CORRECT, pa.large_string()))
        codes = pc.fill_null(places, -1).to_numpy(zero_copy_only=False)
        chunk.check("correct", codes >= 0, expected)
        return _int8(codes & 1)
    if not (table_files.is_number(array.type) or pa.types.is_boolean(array.type)):
        chunk.refuse_type("correct", "numbers, booleans or strings")
    numbers = array.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    chunk.check("correct", (numbers == 0) | (numbers == 1), expected)
    return _int8(numbers)
