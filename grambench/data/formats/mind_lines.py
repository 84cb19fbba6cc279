"""The literal reader of MIND's rows: one line at a time, to name the first bad one.

It runs only after the vectorised reader (`mind`) has refused a file, so it may be slow; the two must
agree on what is malformed.
"""

import codecs
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

from grambench.data.formats.mind_times import EXPECTED, parse_time
from grambench.errors import DataError

NEWS_COLUMNS = 8
BEHAVIORS_COLUMNS = 5
BODIES_COLUMNS = 2
_SHOWN_CHARACTERS = 60

Check = Callable[[list[str]], str | None]
"""Fields of one line -> "found X, expected Y", or None where the line is of the format."""


def raise_first_fault(path: Path, columns: int, check: Check) -> NoReturn:
    """Re-read a refused file line by line.

    Raises:
        DataError: with the file, the 1-based number of the first bad line, what it holds, and what
            was expected.
        RuntimeError: every line is well formed, so the vectorised reader is at fault.
    """
    for number, line in _numbered_lines(path):
        fault = _fault(line, columns, check)
        if fault is not None:
            raise DataError(f"{path}:{number}: {fault}.")
    raise RuntimeError(f"{path} was refused, but every line of it is well formed")


def check_ids(what: str) -> Check:
    """A check of rows whose first field is an id that occurs once in the file."""
    first_line: dict[str, int] = {}
    count = 0

    def check(fields: list[str]) -> str | None:
        nonlocal count
        count += 1
        if not fields[0]:
            return f"found an empty {what} id, expected one such as N12345"
        if fields[0] in first_line:
            return (
                f"found {what} id {shown(fields[0])} again (first on line {first_line[fields[0]]}),"
                " expected every id once"
            )
        first_line[fields[0]] = count
        return None

    return check


def check_behaviors(labelled: bool | None) -> Check:
    """A check of behaviors.tsv's rows.

    Args:
        labelled: whether candidates carry `-0` or `-1`; None: as the file's first candidate does.
    """

    def check(fields: list[str]) -> str | None:
        nonlocal labelled
        if fields[2] and parse_time(fields[2]) is None:
            return f"found time {shown(fields[2])}, expected {EXPECTED}"
        candidates = [candidate for candidate in fields[4].split(" ") if candidate]
        if not candidates:
            return "found no candidates in the fifth field, expected at least one"
        if labelled is None:
            labelled = has_label(candidates[0])
        for candidate in candidates:
            if has_label(candidate) != labelled:
                wanted = "N123-0 or N123-1" if labelled else "N123, unlabelled as the file's first one"
                return f"found candidate {shown(candidate)}, expected {wanted}"
        return None

    return check


def has_label(candidate: str) -> bool:
    """Whether a candidate is an id with `-0` or `-1` behind it."""
    return len(candidate) > 2 and candidate[-2:] in ("-0", "-1")


def shown(text: str) -> str:
    """A piece of data in a message: quoted, escaped, cut."""
    return repr(text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "…")


def _fault(line: bytes, columns: int, check: Check) -> str | None:
    try:
        text = line.decode()
    except UnicodeDecodeError as error:
        return f"found byte 0x{line[error.start]:02x} at byte {error.start + 1}, expected valid UTF-8"
    fields = text.split("\t")
    if len(fields) != columns:
        plural = "" if len(fields) == 1 else "s"
        return f"found {len(fields)} tab-separated field{plural}, expected {columns}"
    return check(fields)


def _numbered_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            content = line.removeprefix(codecs.BOM_UTF8) if number == 1 else line
            yield number, content.removesuffix(b"\n").removesuffix(b"\r")
