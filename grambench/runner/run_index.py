"""The list of runs, from an index beside them, so that ten thousand are listed without reading their logs.

The index is a cache: an entry is used while the files that it was made from keep size and time of change;
damage to it, or an index of other code, costs only time. Of a finished run the trials' logs are not among
them: what is damaged later is told by `report`, not by the list.
"""

import contextlib
import json
import math
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from statistics import geometric_mean
from typing import Any, Literal

from pydantic import TypeAdapter

from grambench.analysis import comparison
from grambench.config.changes import spec_digest
from grambench.errors import DataError, ExitCode
from grambench.events.reader import read_run
from grambench.events.snapshot import code_digest
from grambench.events.state import RunState
from grambench.fs import read_regular, write_atomic
from grambench.reports.runfile import REPORT_FILE, RunFile, read_run_file
from grambench.runner.rundir import PID_FILE, RUN_FILE, SUPERVISOR_LOG, born_ns, supervisor_of

INDEX_FILE = ".runs.json"
_FORMAT = 1
_WATCHED = (RUN_FILE, PID_FILE, SUPERVISOR_LOG, REPORT_FILE)
Status = Literal["running", "finished", "partial", "interrupted", "stopped", "failed", "unreadable"]
_ENDS: dict[int, Status] = {
    ExitCode.OK: "finished",
    ExitCode.NOT_EQUIVALENT: "finished",
    ExitCode.PARTIAL: "partial",
    ExitCode.INTERRUPTED: "interrupted",
    ExitCode.STOPPED: "stopped",
}
"""Exit code of a run -> how it ended; every other code: it failed."""
Marks = dict[str, list[int]]
"""File -> size in bytes and time of the last change in ns; both 0: it is missing."""


@dataclass(frozen=True, kw_only=True)
class RunRow:
    """A run in the list."""

    run: str
    """Name of its folder."""
    state: Status
    created: str
    """Wall time, ISO 8601, UTC."""
    preset: str
    """Empty: unknown."""
    strategies: list[str]
    """Labels of its trials, in running order."""
    trials: int
    trials_done: int
    """Trials that have ended, in whatever way."""
    exit_code: int | None
    """None: it has not finished, or its supervisor was killed."""
    fastest: str | None
    """The label with the largest speed-up over e2e; None: none was measured."""
    speedup: float | None
    """Its speed-up, a ratio."""
    conclusion: str | None
    """Whether it pays; None: the run has no report with comparisons."""
    reason: str
    """Why the run failed, or what its result lacks; empty: nothing."""
    complaints: list[str]
    """What is wrong with its files, in sentences without a full stop."""


def run_rows(out: Path, folders: Iterable[Path]) -> Iterator[RunRow]:
    """The row of each run, whatever state its folder is in; what had to be read is in the index afterwards.

    `folders`: of `out`.
    """
    known = _load(out)
    found = dict(known)
    try:
        for folder in folders:
            marks, row = known.get(folder.name, (None, None))
            if marks is None or row is None or marks != _marks_of(folder, marks):
                marks = _marks_of(folder, _WATCHED)
                row = read_row(folder)
                if row.exit_code is None:  # its workers may still be writing
                    logs = (str(log.relative_to(folder)) for log in folder.glob("*/events.jsonl"))
                    marks |= _marks_of(folder, (".", *logs))
                if row.state != "running":
                    found[folder.name] = marks, row
            yield row
    finally:
        if found != known:
            _save(out, found)


def read_row(folder: Path) -> RunRow:
    """A run's row, from its logs, `run.json` and `report.json`."""
    state, running = read_run(folder), supervisor_of(folder) is not None
    run, complaints = _run_file(folder)
    labels = [trial.label for trial in state.trials.values() if not trial.is_null]
    row = RunRow(
        run=folder.name,
        state="running" if running else state_word(state),
        created=run.created if run else _iso(born_ns(folder) or 0),
        preset=run.preset if run else state.preset,
        strategies=[*dict.fromkeys(labels or _planned(run))],
        trials=len(state.trials),
        trials_done=sum(trial.ended for trial in state.trials.values()),
        exit_code=None if running else state.exit_code,
        complaints=[*complaints, *state.log_complaints],
        reason=_reason(state),
        **_fastest(state),
    )
    return replace(row, **_compared(folder, state)) if state.finished and not running else row


def state_word(state: RunState) -> Status:
    """How a run without a supervisor ended."""
    if not state.started_wall and any(check.trouble for check in state.logs.values()):
        return "unreadable"
    if not state.finished or state.exit_code is None:
        return "interrupted"
    return _ENDS.get(state.exit_code, "failed")


def _fastest(state: RunState) -> dict[str, Any]:
    """The label with the largest mean speed-up so far."""
    reference, found = comparison.reference_label(state, "e2e"), defaultdict[str, list[float]](list)
    for trial in state.trials.values():
        ratio = comparison.speedup(state, trial) or 0.0
        if trial.label != reference and not trial.is_null and 0 < ratio < math.inf:
            found[trial.label].append(ratio)
    means = {label: geometric_mean(ratios) for label, ratios in found.items()}
    best = max(means, key=lambda label: means[label], default=None)
    return {"fastest": best, "speedup": None if best is None else means[best], "conclusion": None}


def _reason(state: RunState) -> str:
    if state.exit_code == ExitCode.NOT_EQUIVALENT:
        return "the audit found a difference"
    return state.setup.reason if state.setup.outcome == "failed" else ""


def _compared(folder: Path, state: RunState) -> dict[str, Any]:
    """The fastest candidate of the report, if that is of these logs and has comparisons."""
    with contextlib.suppress(OSError, ValueError, LookupError, TypeError, RecursionError):
        report = json.loads(read_regular(folder / REPORT_FILE))
        if report["run"]["seconds"] == state.seconds:
            best = max(report["comparisons"], key=lambda each: each["cost"]["ratio"] or 0.0)
            found = {"fastest": str(best["candidate"]), "conclusion": str(best["conclusion"])}
            return found | {"speedup": best["cost"]["ratio"]}
    return {}


def _run_file(folder: Path) -> tuple[RunFile | None, list[str]]:
    """`run.json`, and what is wrong with it in the form of `log_complaints`."""
    edited = f"the spec in {RUN_FILE} was edited or damaged since the run began"
    try:
        run = read_run_file(folder)
        return run, [] if spec_digest(run.spec) == run.spec_sha256 else [edited]
    except DataError as error:
        return None, [error.message.rstrip(".")]
    except ValueError:  # a number that JSON cannot hold
        return None, [edited]


def _planned(run: RunFile | None) -> list[str]:
    """Labels of a run that has not begun."""
    with contextlib.suppress(LookupError, TypeError):
        if run is not None:
            named = [str(trial["label"] or trial["strategy"]) for trial in run.spec.get("trials", ())]
            return named or [str(name) for name in run.spec["training"]["strategies"]]
    return []


def _iso(time_ns: int) -> str:
    return datetime.fromtimestamp(time_ns / 1e9, UTC).isoformat(timespec="seconds")


def _marks_of(folder: Path, names: Iterable[str]) -> Marks:
    return {name: _mark(f"{folder}/{name}") for name in names}


def _mark(path: str) -> list[int]:
    try:
        status = os.lstat(path)
    except OSError:
        return [0, 0]
    return [status.st_size, status.st_mtime_ns]


def _load(out: Path) -> dict[str, tuple[Marks, RunRow]]:
    with contextlib.suppress(OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        index = json.loads(read_regular(out / INDEX_FILE))
        if (index["format"], index["code"]) == (_FORMAT, code_digest()):
            return TypeAdapter(dict[str, tuple[Marks, RunRow]]).validate_python(index["runs"])
    return {}


def _save(out: Path, runs: dict[str, tuple[Marks, RunRow]]) -> None:
    rows = {name: (marks, vars(row)) for name, (marks, row) in runs.items() if (out / name).is_dir()}
    index = {"format": _FORMAT, "code": code_digest(), "runs": rows}
    with contextlib.suppress(OSError):  # a folder that we may only read
        write_atomic(out / INDEX_FILE, json.dumps(index))
