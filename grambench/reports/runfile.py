"""`run.json`: what the runner recorded before training."""

import json
from pathlib import Path
from typing import Any, Literal

import pydantic
from pydantic import BaseModel, ConfigDict

from grambench.errors import DataError
from grambench.fs import read_regular
from grambench.reports.section import printable

RUN_FILE, REPORT_FILE = "run.json", "report.json"


class RunFile(BaseModel):
    """The content of `run.json`; keys from a newer version are ignored."""

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)

    schema_version: Literal[1]
    run: str
    preset: str
    spec: dict[str, Any]
    """The resolved specification, JSON values."""
    spec_sha256: str
    created: str
    """Wall time, ISO 8601, a label."""
    command: list[str]
    host: dict[str, Any]
    """`grambench.runner.host.host_facts`."""


def read_run_file(folder: Path) -> RunFile:
    """The content of a run's `run.json`.

    Raises:
        DataError: `folder` is not a run folder, or its `run.json` is damaged or of another version.
    """
    path = folder / RUN_FILE
    try:
        content = read_regular(path)
    except OSError as error:
        raise DataError(
            f"{folder} is not a run folder: {path} cannot be read ({error.strerror}).",
            "Give a folder created by `grambench run`; `grambench runs` lists them.",
        ) from error
    try:
        return RunFile.model_validate(printable(json.loads(content, parse_constant=_refuse)))
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the whole file"
        raise _damaged(path, f"{where}: {first['msg']}") from error
    except (ValueError, RecursionError) as error:
        raise _damaged(path, str(error)) from error


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not a JSON number")


def _damaged(path: Path, what: str) -> DataError:
    return DataError(
        f"{path} is damaged or from another version of grambench ({what}).",
        "Use the version that made the run, or run the benchmark again.",
    )
