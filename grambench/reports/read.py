"""Reads reports of every version as today's."""

import json
from pathlib import Path
from typing import Any

import pydantic

from grambench.errors import DataError
from grambench.reports.schema import Report
from grambench.reports.section import OLDER_REPORT

_WELCH = ("samples_per_s_low", "samples_per_s_high")
"""Version 1's interval over epochs of one process, which covered .17 to .85 of the cases: it is not kept."""

_LATER = ("tuning",)
"""Parts that version 2 did not have from its beginning."""


def read_report(path: Path) -> Report:
    """The report of a file; one of version 1 has no comparisons and no grade.

    Raises:
        DataError: it cannot be read, or is not a report.
    """
    try:
        fields = json.loads(path.read_bytes())
        if isinstance(fields, dict) and fields.get("schema_version") == 1:
            fields = _upgraded(fields)
        if isinstance(fields, dict) and isinstance(fields.get("reasons"), dict):
            later = [name for name in _LATER if name not in fields]
            reasons = {**fields["reasons"], **dict.fromkeys(later, OLDER_REPORT)}
            fields = {**fields, **dict.fromkeys(later), "reasons": reasons}
        return Report.model_validate_json(json.dumps(fields))
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.") from error
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError) as error:
        raise DataError(f"{path} is not a report of grambench: {_first(error)}.") from error


def _upgraded(fields: dict[str, Any]) -> dict[str, Any]:
    """Version 1 as version 2."""
    speedups = [ratios for trial in fields["trials"] for ratios in trial["speedups"].values()]
    for section in (*speedups, *fields["null_tests"]):
        for name in _WELCH:
            section.pop(name, None)
            section["reasons"].pop(name, None)
    reasons = {**fields.get("reasons", {}), "grade": OLDER_REPORT, "until_decided": OLDER_REPORT}
    later: dict[str, Any] = {"comparisons": [], "grade": None, "until_decided": None, "reasons": reasons}
    return {**fields, "schema_version": 2, **later}


def _first(error: Exception) -> str:
    if isinstance(error, pydantic.ValidationError):
        problem = error.errors()[0]
        return f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}"
    return str(error)
