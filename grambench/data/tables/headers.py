"""Column names: what they mean, and header lines where rows are expected."""

import re
from collections.abc import Iterable, Sequence

import pyarrow as pa
import pyarrow.compute as pc

_IDS = re.compile(
    r"ids?|index|item|problem|question|exercise"
    r"|(n|news|item|article|doc|document|problem|question|exercise|content|impression|imp)_?id"
)
_OTHERS = re.compile(
    r"title|headline|abstract|summary|description|body|texts?|contents?|name|url|link"
    r"|(sub_?)?(cat|category|categories|vert|vertical)"
    r"|((title|abstract)_?)?(entity|entities)"
    r"|(user(_?id)?|uid|time(_?stamp)?|date|(click_?)?history|clicked_news|clicks|impressions|candidates|labels?)"
)
ALIASES = {
    "id": "nid news_id item_id article_id doc_id document_id question_id problem_id exercise_id content_id",
    "title": "headline news_title item_title",
    "abstract": "summary description teaser",
    "text": "content contents question question_text problem_text exercise_text item_text prompt title",
    "user": "user_id uid student student_id learner learner_id reader_id",
    "item": "item_id question question_id problem problem_id exercise exercise_id content_id",
    "correct": "answered_correctly is_correct correctness label",
    "time": "timestamp time_stamp datetime date_time date created_at",
    "history": "click_history clicked_news clicks",
    "candidates": "impressions",
}
"""Column -> its other usual names, separated by blanks; case, blanks, `-`, `.` and `_` make no difference."""
_READ = 5
"""Leading fields of a line that are inspected: those that every reader keeps."""
_SHOWN = 8


def meaning(column: str, found: Sequence[str]) -> list[str]:
    """The names in `found` that mean a column: its own in any case, or another usual one."""
    meant = {_bare(name) for name in (column, *ALIASES.get(column, "").split())}
    return [name for name in found if _bare(name) in meant]


def is_header(fields: Sequence[str]) -> bool:
    """Whether the fields of a line are column names.

    At least three fields, or two if the first is the name of an id column, and half of the non-empty fields
    must be column names, ignoring case, quotes and blanks. A title that equals or contains a column name does
    not make a header.
    """
    names = [_plain(field) for field in fields[:_READ]]
    hits = sum(_is_name(name) for name in names)
    begins = bool(names) and _IDS.fullmatch(names[0]) is not None
    return hits >= (2 if begins else 3) and 2 * hits >= sum(map(bool, names))


def header_fault(number: int, fields: Iterable[str], columns: str) -> str:
    """What is wrong with a header line, and how to fix it.

    Args:
        number: of the line, from 1.
        fields: of the line.
        columns: the expected columns, in order.
    """
    named = ", ".join(list(fields)[:_SHOWN])
    which = "a header" if number == 1 else "a header, as in concatenated files"
    return f"line {number} looks like {which} ({named}), expected only rows of {columns}; delete the line"


def header_row(columns: Sequence[pa.Array]) -> int | None:
    """The first row that is a header, given string columns of equal length, ids first; None if there is none.

    After the first row, only rows whose id is a column name are inspected.
    """
    pattern = rf"(?i)^[\s\"'\x{{FEFF}}]*({_IDS.pattern}|{_OTHERS.pattern})[\s\"']*$"
    bare = pc.replace_substring_regex(columns[0], r"[\s.-]+", "_")
    suspects = pc.indices_nonzero(pc.match_substring_regex(bare, pattern)).to_pylist()
    for row in [0, *suspects] if len(bare) else []:
        if is_header([column[row].as_py() for column in columns]):
            return int(row)
    return None


def _is_name(plain: str) -> bool:
    return any(pattern.fullmatch(plain) is not None for pattern in (_IDS, _OTHERS))


def _bare(name: str) -> str:
    return _plain(name).replace("_", "")


def _plain(field: str) -> str:
    return re.sub(r"[\s.-]+", "_", field.strip("\"' \t\ufeff").lower())
