"""Duolingo SLAM 2018 (https://doi.org/10.7910/DVN/8SWHNO): exercises of language learners, token by token.

Exercises are separated by blank lines. An exercise is a block of lines::

    # prompt:I cook fish.
    # user:+H9QWAV4  countries:CA  days:0.026  client:ios  session:lesson  format:reverse_translate  time:11
    fPMzRNKJ0201  Yo      PRON  Number=Sing|Person=1  nsubj  2  0
    fPMzRNKJ0202  cocino  VERB  Mood=Ind              ROOT   0  1

A token line holds id, token, part of speech, morphology, dependency label, head and, in train only, the
label: 1 for a mistake. The labels of dev and test are in key files of `id label` lines. Fields are
separated by runs of blanks.
"""

import codecs
import re
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import pyarrow as pa

from grambench.data.tables.compressed import opened, stored
from grambench.data.tables.faults import shown
from grambench.data.tables.splits import TEST, TRAIN, VALIDATION
from grambench.data.tables.tsv import check_encoding
from grambench.domains.knowledge_tracing.answers import Answers
from grambench.errors import DataError

__all__ = ["Track", "duolingo_files", "read_duolingo", "tracks_of"]

Track = Literal["es_en", "fr_en"]
"""Language being learned, then the learner's own: Spanish or French for speakers of English."""

_NAMES = ("train", "dev", "dev.key", "test", "test.key")
_PARTS = {"train": TRAIN, "dev": VALIDATION, "test": TEST}
_TRAIN_FIELDS, _UNLABELLED_FIELDS = 7, 6
_ID_CHARACTERS = 12
_SECONDS_PER_DAY = 86_400
_MOST_DAYS = 20_000
"""Maximum number of days of a user: more than fifty years means another origin or another unit."""
_RIGHT, _MISTAKE = b"0", b"1"
_PROMPT, _USER = b"# prompt:", b"# user:"
_USER_AND_DAYS = re.compile(rb"# user:(\S+)\s(?:.*?\s)?days:([0-9]{1,6}(?:\.[0-9]+)?)(?:\s|$)")

Labels = dict[bytes, bytes]
"""Token id -> `0` or `1`, for the tokens of a key file not yet matched to an exercise."""


@dataclass(slots=True)
class _Columns:
    """One entry per answer; users and texts are numbered in order of first appearance."""

    users: dict[bytes, int] = field(default_factory=dict)
    texts: dict[bytes, int] = field(default_factory=dict)
    user: "array[int]" = field(default_factory=lambda: array("i"))
    item: "array[int]" = field(default_factory=lambda: array("i"))
    days: "array[float]" = field(default_factory=lambda: array("d"))
    correct: "array[int]" = field(default_factory=lambda: array("b"))
    split: "array[int]" = field(default_factory=lambda: array("b"))


@dataclass(frozen=True, slots=True)
class _Part:
    """One of the three exercise files, with the labels of its key file if it has one."""

    path: Path
    key_path: Path | None
    labels: Labels


def read_duolingo(folder: Path, track: Track) -> Answers:
    """Read a track's train, dev and test files; `Answers.split` says which file an answer comes from.

    An exercise is one answer, right if none of its tokens is a mistake. Its text is the prompt if there is
    one, else its tokens joined by blanks. Each distinct text is an item and its own id, whatever the exercise
    format. Users are in order of first appearance; a user's answers are in file order (train, dev,
    test), stably sorted by days. `time_s` counts from the day on which the user began.

    Raises:
        DataError: a file is missing or unreadable, a line is malformed (`FILE:LINE: found X, expected Y`),
            or a key file and its exercises have different tokens.
    """
    files = duolingo_files(folder, track)
    columns = _Columns()
    for name, split in _PARTS.items():
        key_path = files.get(f"{name}.key")
        labels = {} if key_path is None else _read_key(key_path)
        _read_part(_Part(files[name], key_path, labels), split, columns)
        if key_path is not None and labels:
            token_id = next(iter(labels))
            found = f"found token id {_shown(token_id)}, which no exercise has"
            raise _error(key_path, _line_of(key_path, token_id), f"{found}, expected those of {files[name]}")
    return _answers(columns)


def tracks_of(folder: Path) -> list[Track]:
    """The tracks of which a folder has some file."""
    return [track for track in get_args(Track) if any(folder.glob(f"{track}.slam.*"))]


def duolingo_files(folder: Path, track: Track) -> dict[str, Path]:
    """A track's files by content: `train`, `dev`, `dev.key`, `test` and `test.key`.

    Raises:
        DataError: some are missing; the message names them and says where to get the data.
    """
    files = {name: stored(folder / f"{track}.slam.20190204.{name}") for name in _NAMES}
    missing = [path.name for path in files.values() if not path.is_file()]
    if missing:
        raise DataError(
            f"{folder} lacks {', '.join(missing)}.",
            "The data is at https://doi.org/10.7910/DVN/8SWHNO, behind a guestbook (CC BY-NC 4.0), so"
            f" grambench does not download it: get it there and put the files into {folder}.",
        )
    return files


def _read_key(path: Path) -> Labels:
    labels: Labels = {}
    for number, line in _lines(path):
        fields = line.split()
        if not fields:
            continue
        if len(fields) != 2:
            raise _error(path, number, f"found {_counted(fields)}, expected 2: token id and label")
        token_id, label = fields
        if len(token_id) != _ID_CHARACTERS:
            raise _id_fault(path, number, token_id)
        if label not in (_RIGHT, _MISTAKE):
            raise _label_fault(path, number, label)
        if token_id in labels:
            found = f"found token id {_shown(token_id)} again (first on line {_line_of(path, token_id)})"
            raise _error(path, number, f"{found}, expected every id once")
        labels[token_id] = label
    if not labels:
        raise _error(path, 1, "found an empty file, expected lines of token id and label")
    return labels


def _read_part(part: _Part, split: int, columns: _Columns) -> None:
    for start, block in _blocks(part.path):
        user, days, text, correct = _exercise(part, start, block)
        columns.user.append(columns.users.setdefault(user, len(columns.users)))
        columns.item.append(columns.texts.setdefault(text, len(columns.texts)))
        columns.days.append(days)
        columns.correct.append(correct)
        columns.split.append(split)
    if not columns.split or columns.split[-1] != split:
        raise _error(part.path, 1, "found an empty file, expected exercises")


def _exercise(part: _Part, start: int, block: list[bytes]) -> tuple[bytes, float, bytes, bool]:
    """User, days, text and correctness of the exercise whose first line is `start`."""
    path, labels = part.path, part.labels
    user, days, prompt, heads = _header(path, start, block)
    is_labelled = part.key_path is None
    width = _TRAIN_FIELDS if is_labelled else _UNLABELLED_FIELDS
    words, mistakes = [], 0
    for number, line in enumerate(block[heads:], start + heads):
        fields = line.split()
        if len(fields) != width or len(fields[0]) != _ID_CHARACTERS:
            raise _token_fault(path, number, fields, width)
        label = fields[-1] if is_labelled else labels.pop(fields[0], None)
        if label == _MISTAKE:
            mistakes += 1
        elif label is None:
            found = f"found token id {_shown(fields[0])}"
            raise _error(path, number, f"{found}, expected one of {part.key_path}, each once")
        elif label != _RIGHT:
            raise _label_fault(path, number, label)
        words.append(fields[1])
    if not words:
        last = start + len(block) - 1
        raise _error(path, last, "found the end of an exercise, expected a token line first")
    return user, days, prompt or b" ".join(words), mistakes == 0


def _header(path: Path, start: int, block: list[bytes]) -> tuple[bytes, float, bytes, int]:
    """User, days, prompt (empty if there is none), and the number of header lines."""
    match = prompt = None
    heads = 0
    for line in block:
        if not line.startswith(b"#"):
            break
        if match is None and line.startswith(_USER):
            match = _USER_AND_DAYS.match(line)
            if match is None:
                raise _user_fault(path, start + heads, line)
        elif prompt is None and line.startswith(_PROMPT):
            prompt = line[len(_PROMPT) :].strip()
        else:
            expected = "one '# user:' line and at most one '# prompt:' line before the tokens"
            raise _error(path, start + heads, f"found {_shown(line)}, expected {expected}")
        heads += 1
    if match is None:
        raise _error(path, start, "found an exercise without a '# user:' line, expected one")
    days = float(match[2])
    if days > _MOST_DAYS:
        expected = f"days since the user began, at most {_MOST_DAYS:,}, such as days:2.678"
        raise _error(path, start, f"found days {_shown(match[2])}, expected {expected}")
    return match[1], days, prompt or b"", heads


def _answers(columns: _Columns) -> Answers:
    user = np.frombuffer(columns.user, np.int32)
    days = np.frombuffer(columns.days, np.float64)
    order = np.lexsort((days, user))
    texts = pa.array([text.decode() for text in columns.texts], pa.large_string())
    return Answers(
        item_ids=texts,
        texts=texts,
        user_ids=pa.array([user_id.decode() for user_id in columns.users], pa.large_string()),
        offsets=np.concatenate(([0], np.cumsum(np.bincount(user)))),
        items=np.frombuffer(columns.item, np.int32)[order],
        correct=np.frombuffer(columns.correct, np.int8)[order],
        time_s=np.rint(days[order] * _SECONDS_PER_DAY).astype(np.int64),
        split=np.frombuffer(columns.split, np.int8)[order],
        coarse_times=True,  # days with three decimals: steps of 86 s
    )


def _blocks(path: Path) -> Iterator[tuple[int, list[bytes]]]:
    """Blocks of lines separated by blank lines, each with the number of its first line."""
    start, block = 1, []
    for number, line in _lines(path):
        if line:
            block.append(line)
            continue
        if block:
            yield start, block
            block = []
        start = number + 1
    if block:
        yield start, block


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    r"""Numbered lines, stripped of surrounding white space; only `\n` ends a line."""
    try:
        with opened(path) as file:
            for number, line in enumerate(file, start=1):
                if number == 1:
                    check_encoding(path, line)
                try:
                    line.decode()
                except UnicodeDecodeError as error:
                    byte, place = line[error.start], error.start + 1
                    fault = f"found byte 0x{byte:02x} at byte {place}, expected valid UTF-8"
                    raise _error(path, number, fault) from error
                yield number, (line.removeprefix(codecs.BOM_UTF8) if number == 1 else line).strip()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.") from error


def _user_fault(path: Path, number: int, line: bytes) -> DataError:
    pairs = dict(word.partition(b":")[::2] for word in line.split()[1:])
    if not pairs[b"user"]:
        return _error(path, number, "found no user id, expected one such as user:XEinXf5+")
    wanted = "days since the user began, such as days:2.678"
    if b"days" not in pairs:
        return _error(path, number, f"found no days, expected {wanted}")
    return _error(path, number, f"found days {_shown(pairs[b'days'])}, expected {wanted}")


def _token_fault(path: Path, number: int, fields: list[bytes], width: int) -> DataError:
    if fields[0].startswith(b"#"):
        line = _shown(b" ".join(fields))
        return _error(path, number, f"found {line} after a token line, expected a blank line before it")
    if len(fields) != width:
        return _error(path, number, f"found {_counted(fields)}, expected {width}")
    return _id_fault(path, number, fields[0])


def _id_fault(path: Path, number: int, token_id: bytes) -> DataError:
    found = f"{_shown(token_id)} of length {len(token_id)}"
    return _error(path, number, f"found token id {found}, expected {_ID_CHARACTERS} characters")


def _label_fault(path: Path, number: int, label: bytes) -> DataError:
    return _error(path, number, f"found label {_shown(label)}, expected 0 or 1")


def _line_of(key_path: Path, token_id: bytes) -> int:
    return next(number for number, line in _lines(key_path) if line.startswith(token_id))


def _counted(fields: list[bytes]) -> str:
    return f"{len(fields)} field{'' if len(fields) == 1 else 's'}"


def _shown(data: bytes) -> str:
    return shown(data.decode())


def _error(path: Path, number: int, fault: str) -> DataError:
    return DataError(f"{path}:{number}: {fault}.")
