"""EdNet KT1 (https://github.com/riiid/ednet): one CSV file per student, and questions.csv with the answers.

Files are read in large batches, each parsed as one buffer; ids become indices immediately, so that 95 million
rows are int32, int8 and int64 arrays. Question texts are supplied by the user (`contents`).
Legend of shapes: F files of a batch, R their rows, A usable answers, Q questions.
"""

import codecs
import os
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from grambench.data.tables import clock, compressed, csv_file, faults, headers
from grambench.data.tables.files import header_of
from grambench.data.tables.tsv import Int64s, MalformedError, check_encoding
from grambench.domains.knowledge_tracing.answers import REPEATED_ITEMS, Answers
from grambench.domains.knowledge_tracing.formats import contents
from grambench.domains.knowledge_tracing.formats.contents import Contents
from grambench.errors import DataError

__all__ = ["ednet_files", "holds_ednet", "read_ednet"]

COLUMNS = ("timestamp", "solving_id", "question_id", "user_answer", "elapsed_time")
USERS_FOLDER = "KT1"
QUESTIONS_FILES = ("questions.csv", "contents/questions.csv")
FILES_PER_BATCH = 4096

_HEADER = ",".join(COLUMNS).encode()
_USER_FILE = re.compile(r"u.+\.csv(?:\.gz|\.zst)?")
_MILLISECONDS = re.compile(r"-?[0-9]{1,18}")
_NO_CHOICE, _UNKNOWN = 0, -1


@dataclass(frozen=True, slots=True, eq=False)
class _Questions:
    """questions.csv, joined with the texts."""

    ids: pa.Array
    """large_string [Q], distinct."""
    items: npt.NDArray[np.int32]
    """[Q] indices into the texts' ids; `_UNKNOWN`: without a text."""
    choices: pa.Array
    """Distinct answers, large_string; the first is the empty one, `_NO_CHOICE`."""
    right_choices: npt.NDArray[np.int32]
    """[Q] indices into `choices`."""


@dataclass(frozen=True, slots=True, eq=False)
class _Batch:
    """The usable answers of a batch of files, by user and time."""

    items: npt.NDArray[np.int32]
    correct: npt.NDArray[np.int8]
    time_s: Int64s
    counts: Int64s
    """[F] answers per file."""
    left_out: Counter[str]


def ednet_files(folder: Path) -> dict[str, Path]:
    """The questions, the texts, and the folder of the students' files, by content.

    Raises:
        DataError: one of them is missing.
    """
    users_folder, _ = _user_files(folder)
    return {
        "questions": _questions_file(folder),
        "contents": contents.find_contents(folder),
        "KT1": users_folder,
    }


def holds_ednet(folder: Path) -> bool:
    """Whether a folder has `KT1/`, or students' files of its own, by name and header."""
    if (folder / USERS_FOLDER).is_dir():
        return True
    names = (path for path in sorted(folder.glob("u*")) if _USER_FILE.fullmatch(path.name))
    path = next(names, None)
    return path is not None and header_of(path) == list(COLUMNS)


def read_ednet(
    folder: Path,
    report: Callable[[str, int, int], None] | None = None,
    files_per_batch: int = FILES_PER_BATCH,
) -> Answers:
    """Read KT1/u*.csv (or u*.csv in the folder itself), questions.csv and the texts.

    All items with texts are kept, in order. Users are sorted by number; answers of one user in the same
    millisecond keep the file's order.

    Args:
        folder: the data folder.
        report: called with "read", files done and total files.
        files_per_batch: files parsed at once; bounds the additional memory.

    Raises:
        DataError: a file is missing or malformed (`FILE:LINE: found X, expected Y`), or no answered question
            has a text.
    """
    texts = contents.read_contents(contents.find_contents(folder))
    questions = _read_questions(folder, texts)
    users_folder, names = _user_files(folder)
    batches = []
    for start in range(0, len(names), files_per_batch):
        paths = [users_folder / name for name in names[start : start + files_per_batch]]
        batches.append(_read_batch(paths, questions))
        if report is not None:
            report("read", start + len(paths), len(names))
    return _assemble(users_folder, names, texts, batches)


def _questions_file(folder: Path) -> Path:
    paths = [compressed.stored(folder / name) for name in QUESTIONS_FILES]
    path = next((path for path in paths if path.is_file()), None)
    if path is None:
        raise DataError(
            f"{folder} has no {' or '.join(QUESTIONS_FILES)}.", "Put the extracted EdNet-Contents there."
        )
    return path


def _read_questions(folder: Path, texts: Contents) -> _Questions:
    path = _questions_file(folder)
    table = contents.read_columns(path, ("question_id", "correct_answer")).combine_chunks()
    ids, answers = (column.combine_chunks() for column in table.columns)
    contents.check_unique(path, ids, answers)
    choices = pa.concat_arrays([pa.array([""], pa.large_string()), answers.unique()])
    return _Questions(
        ids=ids,
        items=_positions(ids, texts.ids),
        choices=choices,
        right_choices=_positions(answers, choices),
    )


def _user_files(folder: Path) -> tuple[Path, list[str]]:
    """Folder of the students' files, and their names in natural order: u2.csv before u10.csv."""
    inner = folder / USERS_FOLDER
    users_folder = inner if inner.is_dir() else folder
    with os.scandir(users_folder) as entries:
        names = [entry.name for entry in entries if _USER_FILE.fullmatch(entry.name)]
    if not names:
        raise DataError(
            f"{users_folder} has no u*.csv.", f"Put the extracted files of EdNet-KT1 into {inner}."
        )
    by_user = {name.partition(".csv")[0]: name for name in sorted(names, reverse=True)}  # uncompressed last
    return users_folder, [by_user[user] for user in sorted(by_user, key=lambda user: (len(user), user))]


def _read_batch(paths: list[Path], questions: _Questions) -> _Batch:
    bodies = [_read_body(path) for path in paths]
    rows_F = np.array([body.count(b"\n") for body in bodies], np.int64)
    try:
        table = _parse(b"".join(bodies), int(rows_F.sum()))
    except (MalformedError, pa.ArrowException) as error:
        _raise_first_fault(paths, error)
    questions_R = _positions(table["question_id"], questions.ids)
    choices_R = _positions(table["user_answer"], questions.choices)
    items_R = np.where(questions_R == _UNKNOWN, _UNKNOWN, questions.items[questions_R])
    is_used_R = (items_R != _UNKNOWN) & (choices_R != _NO_CHOICE)
    users_A = np.repeat(np.arange(len(paths)), rows_F)[is_used_R]
    time_A = table["timestamp"].to_numpy()[is_used_R]
    by_user_and_time = np.lexsort((time_A, users_A))
    right_R = choices_R == questions.right_choices[questions_R]
    unknown = int(np.count_nonzero(questions_R == _UNKNOWN))
    without_text = int(np.count_nonzero(items_R == _UNKNOWN)) - unknown
    return _Batch(
        items=items_R[is_used_R][by_user_and_time],
        correct=right_R[is_used_R][by_user_and_time].astype(np.int8),
        time_s=time_A[by_user_and_time] // 1000,
        counts=np.bincount(users_A, minlength=len(paths)),
        left_out=Counter(
            {
                "answers to a question that questions.csv lacks": unknown,
                "answers to a question without a text": without_text,
                "answers without a choice": len(items_R) - len(users_A) - unknown - without_text,
            }
        ),
    )


def _read_body(path: Path) -> bytes:
    """A file's bytes after its header, ending in a newline.

    Raises:
        DataError: the file cannot be read, or does not begin with the header of KT1.
    """
    try:
        content = compressed.read(path)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.") from error
    check_encoding(path, content)
    content = content.removeprefix(codecs.BOM_UTF8)
    header, _, body = content.partition(b"\n")
    if header.removesuffix(b"\r") != _HEADER:
        found = faults.shown(header.decode(errors="replace")) if content else "an empty file"
        is_data = _MILLISECONDS.fullmatch(header.partition(b",")[0].decode(errors="replace")) is not None
        fix = (
            "The first line looks like data: put a header line with these names above it." if is_data else ""
        )
        raise DataError(f"{path}:1: found {found}, expected the columns {_HEADER.decode()}.", fix)
    return body if not body or body.endswith(b"\n") else body + b"\n"


def _parse(rows: bytes, count: int) -> pa.Table:
    """The columns used, as large_string; the timestamp as int64.

    Raises:
        MalformedError: the number of rows is not `count`, because a carriage return is inside a line; or a
            timestamp is outside 1990 to 2100.
        ArrowException: a row has the wrong number of fields, is not UTF-8, or its timestamp is not a number.
    """
    wanted = {"timestamp": pa.int64(), "question_id": pa.large_string(), "user_answer": pa.large_string()}
    if not rows:
        return pa.schema(wanted).empty_table()
    table = pacsv.read_csv(
        pa.py_buffer(rows),
        read_options=pacsv.ReadOptions(column_names=COLUMNS),
        parse_options=pacsv.ParseOptions(quote_char=False, ignore_empty_lines=False),
        convert_options=pacsv.ConvertOptions(
            include_columns=list(wanted), column_types=wanted, null_values=[], strings_can_be_null=False
        ),
    )
    times_R = table["timestamp"].to_numpy()
    outside_R = (times_R < 1000 * clock.EARLIEST_S) | (times_R >= 1000 * clock.LATEST_S)
    if len(table) != count or outside_R.any():
        raise MalformedError
    return table


def _raise_first_fault(paths: list[Path], refusal: Exception) -> NoReturn:
    """Re-read rejected files line by line.

    Raises:
        DataError: names the first bad line; quotes the parser's message if no line is bad.
    """
    for path in paths:
        for number, line in enumerate(_read_body(path).split(b"\n")[:-1], csv_file.FIRST_ROW):
            fault = _fault(line.removesuffix(b"\r"))
            if fault is not None:
                raise DataError(f"{path}:{number}: {fault}.") from refusal
    raise DataError(f"{paths[0].parent} cannot be read as CSV: {refusal}.") from refusal


def _fault(line: bytes) -> str | None:
    try:
        text = line.decode()
    except UnicodeDecodeError as error:
        return f"found byte 0x{line[error.start]:02x} at byte {error.start + 1}, expected valid UTF-8"
    fields = text.split(",")
    if len(fields) != len(COLUMNS):
        plural = "" if len(fields) == 1 else "s"
        return f"found {len(fields)} comma-separated field{plural}, expected {len(COLUMNS)}"
    if tuple(fields) == COLUMNS or headers.is_header(fields):
        return f"found the header again ({text}), expected a row of data; delete the line"
    if not _MILLISECONDS.fullmatch(fields[0]):
        return f"found timestamp {faults.shown(fields[0])}, expected milliseconds since 1970"
    if "\r" in text:
        return f"found a carriage return inside {faults.shown(text)}, expected it only at the end of a line"
    if not clock.is_believed(int(fields[0]) / 1000):
        hint = clock.guess_of_milliseconds(int(fields[0]))
        found = f"found timestamp {faults.shown(fields[0])}, expected milliseconds since 1970"
        return f"{found}, of {clock.SPAN}{': ' if hint else ''}{hint}"
    return None


def _positions(values: pa.Array | pa.ChunkedArray, ids: pa.Array) -> npt.NDArray[np.int32]:
    """Index of each value in `ids`, or `_UNKNOWN`."""
    positions: npt.NDArray[np.int32] = pc.fill_null(pc.index_in(values, value_set=ids), _UNKNOWN).to_numpy()
    return positions


def _assemble(users_folder: Path, names: list[str], texts: Contents, batches: list[_Batch]) -> Answers:
    counts_U = np.concatenate([batch.counts for batch in batches])
    left_out = sum((batch.left_out for batch in batches), Counter[str]())
    left_out[REPEATED_ITEMS] = texts.repeated
    left_out["users without a usable answer"] = int(np.count_nonzero(counts_U == 0))
    if not counts_U.any():
        reasons = ", ".join(f"{count} {reason}" for reason, count in left_out.items() if count)
        raise DataError(
            f"{users_folder}: found no usable answer ({reasons}), expected at least one.",
            "Use the same ids in questions.csv, the texts and the students' files.",
        )
    users = [name.partition(".csv")[0] for name, count in zip(names, counts_U, strict=True) if count]
    return Answers(
        item_ids=texts.ids,
        texts=texts.texts,
        user_ids=pa.array(users, pa.large_string()),
        offsets=np.concatenate(([0], np.cumsum(counts_U[counts_U > 0]))),
        items=np.concatenate([batch.items for batch in batches]),
        correct=np.concatenate([batch.correct for batch in batches]),
        time_s=np.concatenate([batch.time_s for batch in batches]),
        left_out={reason: count for reason, count in left_out.items() if count},
    )
