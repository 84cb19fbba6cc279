"""The range of plausible times, 1990 to 2100, and guesses at the unit of numbers outside it."""

import datetime
import re

FIRST_YEAR, LAST_YEAR = 1990, 2100
EARLIEST_S, LATEST_S = 631_152_000, 4_102_444_800
"""1990-01-01 (inclusive) and 2100-01-01 (exclusive) in seconds since 1970."""
SPAN = f"{FIRST_YEAR} to {LAST_YEAR}"
MISSING_TIME = -(1 << 63)
"""Marks a missing time in an array of seconds; the smallest int64."""

_UNITS = (
    ("milliseconds", 1e-3, "divide by 1000"),
    ("microseconds", 1e-6, "divide by 1,000,000"),
    ("nanoseconds", 1e-9, "divide by 1,000,000,000"),
    ("minutes since 1970", 60.0, "multiply by 60"),
    ("hours since 1970", 3600.0, "multiply by 3600"),
)
_DAY_S = 86_400
_EXCEL_1970 = 25_569
"""Excel's serial number of 1970-01-01."""
_FIRST_EXCEL, _LAST_EXCEL = 32_874, 73_051
_DATE = re.compile(r"(?P<year>[0-9]{4})(?P<month>[0-9]{2})(?P<day>[0-9]{2})([0-9]{6})?")


def is_believed(seconds: float) -> bool:
    """Whether a number of seconds since 1970 lies in the years 1990 to 2100."""
    return EARLIEST_S <= seconds < LATEST_S


def guess(text: str) -> str:
    """What a number outside 1990 to 2100 looks like, and how to fix it; empty if there is no guess.

    Args:
        text: the number as written in the file.
    """
    try:
        number = float(text)
    except ValueError:
        return ""
    if number == 0:
        return "it looks like the start of 1970, often written for a missing time"
    if _is_date(text):
        return "it looks like a date without separators; write it as 2024-05-01"
    if _FIRST_EXCEL <= number <= _LAST_EXCEL:
        return f"it looks like an Excel date; subtract {_EXCEL_1970} and multiply by {_DAY_S}"
    if is_believed(number * _DAY_S):
        return f"it looks like days since 1970; multiply by {_DAY_S}"
    for unit, scale, fix in _UNITS:
        if is_believed(number * scale):
            return f"it looks like {unit}; {fix}"
    return ""


def guess_of_milliseconds(number: int) -> str:
    """As `guess`, for a column of milliseconds."""
    if number == 0:
        return guess("0")
    if is_believed(number):
        return "it looks like seconds; multiply by 1000"
    if is_believed(number / 1e6):
        return "it looks like microseconds; divide by 1000"
    return "it looks like nanoseconds; divide by 1,000,000" if is_believed(number / 1e9) else ""


def _is_date(text: str) -> bool:
    match = _DATE.fullmatch(text.removesuffix(".0"))
    if match is None or not FIRST_YEAR <= int(match["year"]) < LAST_YEAR:
        return False
    try:
        datetime.date(int(match["year"]), int(match["month"]), int(match["day"]))
    except ValueError:
        return False
    return True
