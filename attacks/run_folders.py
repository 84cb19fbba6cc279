"""The files of a run folder."""

import json
import shutil
import tempfile
from pathlib import Path

from attacks.assault import assault, mutated, mutated_json, mutated_line
from grambench.events.reader import read_run
from grambench.reports.build import build_report, report_json
from grambench.reports.read import read_report
from grambench.reports.render.markdown import render_markdown
from grambench.runner.commands import take
from grambench.runner.resume import check_resumable
from grambench.runner.run_index import run_rows
from grambench.runner.rundir import read_spec, supervisor_of

NAME = "run-folders"
WHAT = "event logs, run.json, report.json, command files, the index of runs"
KEPT = Path(__file__).parents[1] / "tests" / "kept_runs" / "0.1" / "kept-20261127-123413"
_LINES = 12
"""Lines of each log, beside the first of every type."""


def attack(count: int, seed: int) -> list[str]:
    """Faults of every reader of a run."""
    files = {str(log.relative_to(KEPT)): _shorter(log) for log in sorted(KEPT.rglob("*.jsonl"))}
    run = (KEPT / "run.json").read_bytes()
    whole = {"run.json": run, **files}
    logs = assault(f"{NAME} logs", {**files}, lambda at: _read(at, run), count, seed, (mutated, mutated_line))
    about = assault(f"{NAME} run.json", {"run.json": run}, _specified, count, seed, (mutated, mutated_json))
    with tempfile.TemporaryDirectory() as scratch:
        _put(Path(scratch), whole)
        text = report_json(build_report(Path(scratch))).encode()
    report = assault(
        f"{NAME} report.json",
        {"report.json": text},
        lambda at: render_markdown(read_report(at / "report.json")),
        count,
        seed,
        (mutated, mutated_json),
    )
    command = json.dumps({"action": "mark", "trial": "e2e.s0", "text": "note"}).encode()
    pid = json.dumps({"pid": 1, "started": "x/1"}).encode()
    both = (mutated, mutated_json)
    commands = assault(
        f"{NAME} commands",
        {"commands/1-1-1.json": command, "supervisor.pid": pid},
        _commanded,
        count,
        seed,
        both,
    )
    return [*logs, *about, *report, *commands, *_index(whole, count, seed)]


def _index(whole: dict[str, bytes], count: int, seed: int) -> list[str]:
    """Faults of the index that `grambench runs` keeps."""
    with tempfile.TemporaryDirectory() as scratch:
        run = Path(scratch) / "kept"
        _put(run, whole)
        list(run_rows(Path(scratch), [run]))
        index = (Path(scratch) / ".runs.json").read_bytes()

        def listed(folder: Path) -> None:
            shutil.copy(folder / ".runs.json", scratch)
            list(run_rows(Path(scratch), [run]))

        return assault(f"{NAME} index", {".runs.json": index}, listed, count, seed, (mutated, mutated_json))


def _read(folder: Path, run: bytes) -> None:
    """As `watch` does, and as `report` does."""
    (folder / "run.json").write_bytes(run)
    read_run(folder)
    render_markdown(build_report(folder))


def _specified(folder: Path) -> None:
    read_spec(folder)
    check_resumable(folder, None)
    build_report(folder)


def _commanded(folder: Path) -> None:
    take(folder)
    supervisor_of(folder)


def _put(folder: Path, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def _shorter(log: Path) -> bytes:
    """The first lines of a log, and the first of each type, renumbered."""
    seen: set[str] = set()
    lines: list[dict[str, object]] = []
    for number, line in enumerate(log.read_bytes().splitlines()):
        fields = json.loads(line)
        if number < _LINES or fields["type"] not in seen:
            seen.add(fields["type"])
            lines.append({**fields, "seq": len(lines)})
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)
