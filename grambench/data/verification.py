"""Results shared by the verifications of all data formats."""

import datetime
from collections.abc import Mapping
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict

from grambench.data.tables import clock
from grambench.data.tables.clock import MISSING_TIME

Origin = Literal["official", "differs", "unknown"]

EXAMPLES = 5
"""Maximum number of examples kept per problem."""


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Problem(Strict):
    """A problem that a run will encounter. `examples` are raw data: print them through `safe_text`."""

    occurrences: int
    """Number of occurrences."""
    distinct: int
    """Distinct ids (impressions: the same number as occurrences)."""
    examples: tuple[str, ...]
    """Up to five ids in order of first appearance."""


class FileCheck(Strict):
    """A file compared with the published one."""

    path: str
    bytes: int
    origin: Origin


class Size(Strict):
    """What the cost of training on a data set depends on."""

    items: int
    samples: int
    """Training samples before parts are divided off: clicks (news), students (knowledge tracing)."""
    history: float
    """Mean interactions of a sample."""
    characters: dict[str, float]
    """Field of `data.fields` -> mean characters of its texts."""


class CheckedFolder(Strict):
    """Common fields of all verifications."""

    data_dir: str
    dataset: str | None
    contents: str = ""
    """What the data is, in one line, such as "300 items, 1,500 impressions, 1 to 11 May 2024"."""
    size: Size | None = None
    """None: not counted."""
    cautions: tuple[str, ...] = ()
    """Warnings about the data, in sentences."""


def mean_characters(**texts: pa.Array) -> dict[str, float]:
    """Mean characters of the texts of each field."""
    return {field: float(pc.mean(pc.utf8_length(column)).as_py() or 0) for field, column in texts.items()}


def contents_line(counts: Mapping[str, int], time_s: npt.NDArray[np.int64]) -> str:
    """The contents of a data set in one line: its counts above 0, and the days of its times.

    Args:
        counts: by a plural, such as "items".
        time_s: [T] of its interactions, in seconds since 1970; none are named if any is missing, or if they
            count from another zero.
    """
    filled = {what if count > 1 else what.removesuffix("s"): count for what, count in counts.items() if count}
    parts = [f"{count:,} {what}" for what, count in filled.items()]
    first, last = (int(time_s.min()), int(time_s.max())) if len(time_s) else (MISSING_TIME, MISSING_TIME)
    is_dated = clock.is_believed(first) and clock.is_believed(last)
    return ", ".join([*parts, _days(first, last) if is_dated else "no dates"])


def _days(first_s: int, last_s: int) -> str:
    """The days from one moment to another, such as "1 to 11 May 2024"."""
    first, last = (datetime.datetime.fromtimestamp(second, datetime.UTC) for second in (first_s, last_s))
    ending = f"{last.day} {last:%b %Y}"
    if first.date() == last.date():
        return ending
    if first.year != last.year:
        return f"{first.day} {first:%b %Y} to {ending}"
    return f"{first.day} to {ending}" if first.month == last.month else f"{first.day} {first:%b} to {ending}"
