"""MIND's times: `11/11/2019 9:05:58 AM` -> POSIX seconds, taken as UTC (the files have no zone)."""

import datetime
import re

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from grambench.data.tables import clock
from grambench.data.tables.clock import MISSING_TIME

EXPECTED = f"a time such as 11/11/2019 9:05:58 AM, of {clock.SPAN}, or nothing"
_PATTERN = (
    r"(?P<month>[0-9]{1,2})/(?P<day>[0-9]{1,2})/(?P<year>[0-9]{4})"
    r" (?P<hour>[0-9]{1,2}):(?P<minute>[0-9]{2}):(?P<second>[0-9]{2}) (?P<half>[AP])M"
)
_COMPILED = re.compile(_PATTERN)


def parse_times(texts: pa.Array) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Parse times, vectorised and independent of the locale (unlike strptime's `%p`).

    Args:
        texts: string array [R].

    Returns:
        Seconds since 1970 [R], `MISSING_TIME` where the text is empty or malformed; and a mask [R] of the
        malformed ones, including years outside 1990 to 2099.
    """
    parts = pc.extract_regex(texts, pattern=f"^{_PATTERN}$")
    fits = pc.is_valid(parts).to_numpy(zero_copy_only=False)
    fields = {name: _numbers(parts, name) for name in ("year", "month", "day", "hour", "minute", "second")}
    is_pm = pc.fill_null(pc.equal(pc.struct_field(parts, "half"), "P"), False)
    months = (fields["year"] - 1970) * 12 + fields["month"] - 1
    days = months.astype("datetime64[M]").astype("datetime64[D]") + (fields["day"] - 1)
    valid = (
        fits
        & _between(fields["year"], clock.FIRST_YEAR, clock.LAST_YEAR - 1)
        & _between(fields["month"], 1, 12)
        & (fields["day"] >= 1)
        & (days.astype("datetime64[M]").astype(np.int64) == months)
        & _between(fields["hour"], 1, 12)
        & (fields["minute"] <= 59)
        & (fields["second"] <= 59)
    )
    hours = fields["hour"] % 12 + 12 * is_pm.to_numpy(zero_copy_only=False)
    seconds = ((days.astype(np.int64) * 24 + hours) * 60 + fields["minute"]) * 60 + fields["second"]
    is_empty = pc.equal(texts, "").to_numpy(zero_copy_only=False)
    return np.where(valid, seconds, MISSING_TIME), ~valid & ~is_empty


def parse_time(text: str) -> int | None:
    """Parse one time in plain Python; None if it is malformed. Reference for `parse_times`."""
    match = _COMPILED.fullmatch(text)
    if match is None:
        return None
    hour = int(match["hour"])
    if not (1 <= hour <= 12 and clock.FIRST_YEAR <= int(match["year"]) < clock.LAST_YEAR):
        return None
    try:
        moment = datetime.datetime(
            int(match["year"]),
            int(match["month"]),
            int(match["day"]),
            hour % 12 + 12 * (match["half"] == "P"),
            int(match["minute"]),
            int(match["second"]),
            tzinfo=datetime.UTC,
        )
    except ValueError:
        return None
    return int(moment.timestamp())


def _numbers(parts: pa.Array, name: str) -> npt.NDArray[np.int64]:
    texts = pc.fill_null(pc.struct_field(parts, name), "1")
    numbers: npt.NDArray[np.int64] = pc.cast(texts, pa.int64()).to_numpy(zero_copy_only=False)
    return numbers


def _between(values: npt.NDArray[np.int64], low: int, high: int) -> npt.NDArray[np.bool_]:
    return (values >= low) & (values <= high)
