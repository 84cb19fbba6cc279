"""Find the first bad row of a tab-separated file, line by line.

This runs only after a vectorised reader has rejected the file, so it may be slow; both must agree on what is
malformed.
"""

import codecs
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NoReturn

from grambench.data.tables import compressed, headers
from grambench.data.tables.tsv import QUOTED
from grambench.errors import DataError
from grambench.text import safe_text

_SHOWN_CHARACTERS = 60

Check = Callable[[list[str]], str | None]
"""Fields of one line -> "found X, expected Y", or None if the line is valid."""


TO_UTF8 = "Save it as UTF-8, or convert it: `iconv -f WINDOWS-1252 -t UTF-8`, or whatever it is in."
"""How to fix text in an older encoding."""


def raise_first_fault(
    path: Path, columns: int, check: Check, named: str = "", title: Sequence[str] = ()
) -> NoReturn:
    """Re-read a rejected file line by line.

    Args:
        path: the file.
        columns: fields per row.
        check: finds other faults of a row with that many fields.
        named: description of the columns, if a header line is a fault; empty: it is not.
        title: the header that is allowed on line 1 even so.

    Raises:
        DataError: with the file, the 1-based number of the first bad line, what it holds, and what
            was expected.
        RuntimeError: every line is well formed, so the vectorised reader is at fault.
    """
    for number, line in _numbered_lines(path):
        fault = _header_fault(number, line, named, title) or _fault(line, columns, check)
        if fault is not None:
            raise DataError(f"{path}:{number}: {fault}.", TO_UTF8 if fault.endswith("UTF-8") else "")
    raise RuntimeError(f"{path} was rejected, but all its lines are well formed")


def check_ids(what: str, texts: slice = slice(1, None)) -> Check:
    """A check for rows whose first field is an id; rows that repeat it must repeat its `texts`."""
    first: dict[str, tuple[int, list[str]]] = {}
    count = 0

    def check(fields: list[str]) -> str | None:
        nonlocal count
        count += 1
        if not fields[0]:
            return f"found an empty {what} id, expected one such as N12345"
        if fault := id_fault(fields[0]):
            return f"found {what} id {shown(fields[0])}, expected {fault}"
        line, text = first.setdefault(fields[0], (count, fields[texts]))
        if text == fields[texts]:
            return None
        again = f"again (first on line {line}) with another text"
        return f"found {what} id {shown(fields[0])} {again}, expected every id once"

    return check


def id_fault(id_: str) -> str:
    """What is expected instead of an invalid id; empty if it is valid. Lists separate ids by blanks."""
    if " " in id_:
        return "one without blanks; the columns may be in a different order"
    if re.fullmatch(QUOTED, id_):
        return "one without quotes: nothing is quoted here"
    return "one without a byte order mark; files were probably joined" if id_.startswith("\ufeff") else ""


def shown(text: str) -> str:
    """A piece of data for a message: quoted, escaped, truncated."""
    return repr(text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "…")


def _header_fault(number: int, line: bytes, named: str, title: Sequence[str]) -> str | None:
    fields = line.decode(errors="replace").split("\t")
    if not named or not headers.is_header(fields) or (number == 1 and fields == list(title)):
        return None
    return headers.header_fault(number, [safe_text(field, _SHOWN_CHARACTERS) for field in fields], named)


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
    with compressed.opened(path) as file:
        for number, line in enumerate(file, start=1):
            content = line.removeprefix(codecs.BOM_UTF8) if number == 1 else line
            yield number, content.removesuffix(b"\n").removesuffix(b"\r")
