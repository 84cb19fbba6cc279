"""Rows of MIND's files: their columns, and the check of rows of behaviors.tsv."""

from grambench.data.tables import clock
from grambench.data.tables.faults import Check, shown
from grambench.domains.news.formats.mind_times import EXPECTED, parse_time

NEWS_COLUMNS = 8
ID_TITLE_ABSTRACT = (0, 1, 2)
NEWS_FIELDS = {3: ID_TITLE_ABSTRACT} | dict.fromkeys(range(5, NEWS_COLUMNS + 1), (0, 1, 2, 3, 4))
"""Fields of a row -> those that are read: id, title and abstract, as in xMIND; else MIND's first five."""
TEXTS = {3: slice(1, 3)} | dict.fromkeys(range(5, NEWS_COLUMNS + 1), slice(3, 5))
"""Fields of a row -> those of title and abstract."""
BEHAVIORS_COLUMNS = 5
BODIES_COLUMNS = 2
NEWS = "id, category, subcategory, title, abstract, URL, title entities and abstract entities"
BEHAVIORS = "impression id, user id, time, history and impressions"
BODIES = "news id and body"


def check_behaviors(labelled: bool | None) -> Check:
    """A check for rows of behaviors.tsv.

    Args:
        labelled: whether candidates have a suffix `-0` or `-1`; None: as the file's first candidate.
    """

    def check(fields: list[str]) -> str | None:
        nonlocal labelled
        if fields[2] and parse_time(fields[2]) is None:
            hint = clock.guess(fields[2])
            return f"found time {shown(fields[2])}, expected {EXPECTED}{': ' if hint else ''}{hint}"
        candidates = [candidate for candidate in fields[4].split(" ") if candidate]
        if not candidates:
            return "found no candidates in the fifth field, expected at least one"
        if labelled is None:
            labelled = has_label(candidates[0])
        for candidate in candidates:
            if has_label(candidate) != labelled:
                expected = "N123-0 or N123-1" if labelled else "N123, unlabelled like the file's first one"
                return f"found candidate {shown(candidate)}, expected {expected}"
        return None

    return check


def has_label(candidate: str) -> bool:
    """Whether a candidate is an id followed by `-0` or `-1`."""
    return len(candidate) > 2 and candidate[-2:] in ("-0", "-1")
