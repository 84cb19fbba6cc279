"""Tab-separated bytes -> arrow strings, vectorised over lines, without a CSV dialect.

MIND has no header and no quoting, and only ``\\n`` ends a line: a carriage return, a quote, U+2028 or
an escape inside a field is data. CSV readers break at least one of these rules, so fields are located
by the positions of their separators. Legend of shapes: R rows, C columns, S strings.
"""

import codecs
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from grambench.data.tables import compressed
from grambench.errors import DataError

QUOTED = r'^(".*"|\'.*\')$'
"""A field in quotes, which are part of it since nothing is quoted."""
BLOCK_BYTES = 1 << 22
_SAMPLE = 512
_OTHER_ENCODINGS = (
    (codecs.BOM_UTF32_LE, "UTF-32"),
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
)
TAB, NEWLINE, CARRIAGE_RETURN = 9, 10, 13

Int64s = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]


class MalformedError(Exception):
    """Some row of the file is malformed; `faults.raise_first_fault` finds out which."""


def check_encoding(path: Path, head: bytes) -> None:
    """Reject UTF-16 and UTF-32, with or without a byte order mark, by a file's first bytes.

    Raises:
        DataError: the file is not UTF-8.
    """
    sample = head[:_SAMPLE]
    name = next((name for mark, name in _OTHER_ENCODINGS if sample.startswith(mark)), None)
    if name is None and any(_is_sparse(sample[first::2]) for first in (0, 1)):
        name = "UTF-16"
    if name is None:
        return
    raise DataError(
        f"{path}:1: found text in {name}, expected UTF-8.", f"Convert it: `iconv -f {name} -t UTF-8`."
    )


def _is_sparse(half: bytes) -> bool:
    """Whether nearly all bytes are zero, as in one half of UTF-16 text in ASCII without a byte order mark."""
    return len(half) >= 8 and half.count(0) > 0.9 * len(half)


def blocks(path: Path, block_bytes: int = BLOCK_BYTES) -> Iterator[bytes]:
    """A file's decompressed bytes as blocks of whole lines, each ending in a newline; no leading BOM.

    Raises:
        DataError: the file cannot be read, is empty, or is in another encoding.
    """
    try:
        with compressed.opened(path) as file:
            rest = file.read(block_bytes)
            check_encoding(path, rest)
            rest = rest.removeprefix(codecs.BOM_UTF8)
            if not rest:
                raise DataError(f"{path}:1: found an empty file, expected tab-separated rows.")
            while chunk := file.read(block_bytes):
                cut = chunk.rfind(b"\n") + 1
                if cut:
                    yield rest + chunk[:cut]
                    rest = chunk[cut:]
                else:
                    rest += chunk
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.") from error
    if rest:
        yield rest if rest.endswith(b"\n") else rest + b"\n"


def check_utf8(block: bytes) -> None:
    """Raise `MalformedError` unless the block is valid UTF-8."""
    try:
        block.decode()
    except UnicodeDecodeError as error:
        raise MalformedError from error


def field_bounds(bytes_: Bytes, separators: Int64s, columns: int) -> tuple[Int64s, Int64s]:
    """Start and end of every field.

    Args:
        bytes_: the block, uint8, ending in a newline.
        separators: positions of its tabs and newlines, ascending.
        columns: C, expected in every row.

    Returns:
        starts and ends, both [R, C] byte positions; a carriage return before the newline is excluded.

    Raises:
        MalformedError: some row has the wrong number of fields.
    """
    is_newline = bytes_[separators] == NEWLINE
    rows = int(np.count_nonzero(is_newline))
    if len(separators) != rows * columns or not is_newline[columns - 1 :: columns].all():
        raise MalformedError
    ends_RC = separators.reshape(rows, columns).copy()
    starts_RC = np.concatenate(([0], separators[:-1] + 1)).reshape(rows, columns)
    last_R = ends_RC[:, -1]
    last_R -= (last_R > starts_RC[:, -1]) & (bytes_[last_R - 1] == CARRIAGE_RETURN)
    return starts_RC, ends_RC


def strings(block: bytes, starts: Int64s, ends: Int64s) -> pa.Array:
    """The byte ranges `starts[i]:ends[i]` (ascending, disjoint) as large_string [S]; bytes are copied.

    Texts and the gaps between them alternate in one string array over the block; taking every second
    string leaves the texts.
    """
    count = len(starts)
    if not count:
        return pa.array([], pa.large_string())
    offsets = np.empty(2 * count + 1, np.int64)
    offsets[0:-1:2] = starts
    offsets[1::2] = ends
    offsets[-1] = ends[-1]
    both = pa.LargeStringArray.from_buffers(2 * count, pa.py_buffer(offsets), pa.py_buffer(block))
    return both.take(pa.array(np.arange(0, 2 * count, 2)))


def columns_of(block: bytes, columns: int, wanted: tuple[int, ...]) -> tuple[pa.Array, ...]:
    """The `wanted` columns of a block as large_string arrays.

    Raises:
        MalformedError: a row has the wrong number of fields, or the block is not UTF-8.
    """
    check_utf8(block)
    bytes_ = np.frombuffer(block, np.uint8)
    separators = np.flatnonzero((bytes_ == TAB) | (bytes_ == NEWLINE))
    starts_RC, ends_RC = field_bounds(bytes_, separators, columns)
    return tuple(strings(block, starts_RC[:, column], ends_RC[:, column]) for column in wanted)


def unified(encoded: Sequence[pa.Array]) -> tuple[npt.NDArray[np.int32], pa.Array]:
    """Dictionary arrays -> indices and one dictionary, in order of first appearance."""
    chunks = pa.chunked_array(list(encoded)).unify_dictionaries().chunks
    return np.concatenate([chunk.indices.to_numpy() for chunk in chunks]), chunks[-1].dictionary


def check_unique(ids: pa.Array, *texts: pa.Array) -> None:
    """Raise `MalformedError` if an id is empty, or occurs again with another text."""
    if pc.any(pc.equal(ids, "")).as_py() or other_text(ids, texts) is not None:
        raise MalformedError


def other_text(ids: pa.Array, texts: Sequence[pa.Array]) -> tuple[int, int] | None:
    """The first row whose id an earlier row has with another text, and that row; None: there is none.

    Args:
        ids: [R].
        texts: columns [R], non-null.
    """
    first_R = first_rows(ids)
    repeats = np.flatnonzero(first_R != np.arange(len(first_R)))
    differs = np.zeros(len(repeats), np.bool_)
    for column in texts:
        again, before = (column.take(pa.array(rows)) for rows in (repeats, first_R[repeats]))
        differs |= pc.not_equal(again, before).to_numpy(zero_copy_only=False)
    if not differs.any():
        return None
    row = int(repeats[np.argmax(differs)])
    return row, int(first_R[row])


def first_rows(values: pa.Array) -> Int64s:
    """For each value [R], the first row that has it."""
    codes = values.dictionary_encode().indices.to_numpy()
    first: Int64s = np.unique(codes, return_index=True)[1][codes]
    return first


def check_ids(ids: pa.Array) -> None:
    """Raise `MalformedError` if an id contains a blank, is quoted or begins with a byte order mark."""
    if pc.any(pc.match_substring_regex(ids, rf"(?s) |^\x{{FEFF}}|{QUOTED}")).as_py():
        raise MalformedError
