"""Run folders: created once, found by name or path."""

import contextlib
import json
import os
import platform
import re
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from grambench.config.changes import spec_digest
from grambench.config.kept import read_kept
from grambench.config.spec import Spec
from grambench.errors import ConfigError, DataError, MachineError
from grambench.events.journal import boot_id
from grambench.fs import read_regular, write_atomic
from grambench.runner.facts import host_facts
from grambench.text import redacted, safe_text

RUN_FILE, PID_FILE = "run.json", "supervisor.pid"
SUPERVISOR_LOG = "supervisor.jsonl"
_RUN_NAME = re.compile(r"-\d{8}-\d{6}(-\d+)?$")
_ROOM_BYTES = 1 << 20
"""Without so much room a run cannot begin."""
_SHOWN = 5
"""Runs in a message."""
_START_FIELD = 19  # of /proc/PID/stat, counted from the field after the name


def create_run(spec: Spec, preset: str, out: Path, command: list[str]) -> Path:
    """Create `<out>/<name>-<time>` with its `run.json`.

    Raises:
        MachineError: the folder cannot be written.
    """
    label = re.sub(r"[^A-Za-z0-9._-]+", "-", spec.name).strip(".-") or "run"
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    folder: Path | None = None
    try:
        folder = _fresh_folder(out, f"{label}-{stamp}")
        run = {
            "schema_version": 1,
            "run": folder.name,
            "preset": preset,
            "spec": spec.model_dump(mode="json"),
            "spec_sha256": spec_digest(spec.model_dump(mode="json")),
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "command": [*map(redacted, command)],
            "host": host_facts(),
        }
        write_atomic(folder / RUN_FILE, json.dumps(run, indent=1, allow_nan=False))
        require_room(folder)
    except OSError as error:
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)
        raise MachineError(
            f"The run folder cannot be created in {out}: {error.strerror or error}.",
            "Free some space, or choose a folder that you can write to with --out.",
        ) from error
    return folder


def _fresh_folder(out: Path, name: str) -> Path:
    out.mkdir(parents=True, exist_ok=True)
    for attempt in range(1000):
        folder = out / (name if attempt == 0 else f"{name}-{attempt}")
        try:
            folder.mkdir()
        except FileExistsError:
            continue
        return folder.resolve()
    raise FileExistsError(f"{out / name} exists a thousand times")


def require_room(folder: Path) -> None:
    """Write a file of `_ROOM_BYTES` and remove it.

    Raises:
        OSError: the disk does not take it.
    """
    room = folder / ".room"
    try:
        write_atomic(room, bytes(_ROOM_BYTES))
    finally:
        room.unlink(missing_ok=True)


def find_run(name: str, out: Path) -> Path:
    """The folder of a run, by path, by name, by the beginning of its name, or `last` for the newest.

    Raises:
        DataError: there is none. ConfigError: several names begin so.
    """
    if name == "last":
        runs = list_runs(out)
        if runs:
            return runs[-1].resolve()
        raise DataError(f"There is no run in {out}.", "Start one with `grambench run --preset demo`.")
    for folder in (Path(name).expanduser(), out / name):
        with contextlib.suppress(OSError):  # an invalid file name, or a folder that we may not enter
            if (folder / RUN_FILE).is_file():
                return folder.resolve()
    found = list_runs(out, name)[::-1] if name else []
    if len(found) > 1:
        more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        names = ", ".join(safe_text(folder.name) for folder in found[:_SHOWN])
        raise ConfigError(f"{len(found)} runs begin with {name!r}: {names}{more}.", "Give more of the name.")
    if found:
        return found[0].resolve()
    raise DataError(
        f"{name!r} is not a run folder: it has no {RUN_FILE}.",
        f"`grambench runs` lists those in {out}; --out looks elsewhere.",
    )


def list_runs(out: Path, beginning: str = "") -> list[Path]:
    """Run folders, oldest first; also those whose `run.json` is not a file or cannot be looked at.

    Args:
        out: the folder that holds them.
        beginning: only those whose names begin so.

    Raises:
        MachineError: `out` itself cannot be listed.
    """
    try:
        named = (folder for folder in out.iterdir() if folder.name.startswith(beginning))
        found = [(born, folder) for folder in named if (born := born_ns(folder)) is not None]
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise MachineError(
            f"{out} cannot be listed: {error.strerror or error}.", "Choose another folder with --out."
        ) from error
    return [folder for _, folder in sorted(found, key=lambda pair: (pair[0], pair[1].name))]


def born_ns(folder: Path) -> int | None:
    """When a run was created: `run.json` is written once; None: the folder is no run."""
    try:
        return os.lstat(f"{folder}/{RUN_FILE}").st_mtime_ns
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError:  # not permitted to look into it
        return os.lstat(folder).st_mtime_ns if _RUN_NAME.search(folder.name) else None


def read_spec(folder: Path) -> tuple[str, Spec]:
    """Preset and specification of a run.

    Raises:
        DataError: `run.json` is missing or damaged.
    """
    preset, raw, _ = read_raw_spec(folder)
    try:
        return preset, read_kept(raw)
    except (ValueError, TypeError, AttributeError) as error:
        raise _damaged(folder) from error


def read_raw_spec(folder: Path) -> tuple[str, dict[str, Any], str]:
    """Preset, specification and its digest, as `run.json` has them.

    Raises:
        DataError: `run.json` is missing or damaged.
    """
    try:
        run = json.loads(read_regular(folder / RUN_FILE), parse_constant=_refuse)
        preset, spec, digest = run["preset"], run["spec"], run.get("spec_sha256", "")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _damaged(folder) from error
    if not (isinstance(preset, str) and isinstance(spec, dict) and isinstance(digest, str)):
        raise _damaged(folder)
    return preset, spec, digest


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not a JSON number")


def _damaged(folder: Path) -> DataError:
    return DataError(f"{folder / RUN_FILE} cannot be read.", "Run the benchmark again.")


def write_pid(folder: Path) -> None:
    """Record this process's pid and start, so that a later process with the same pid can be told apart."""
    pid, since = os.getpid(), datetime.now(UTC).isoformat(timespec="seconds")
    identity = {"pid": pid, "started": _start_of(pid), "host": platform.node(), "since": since}
    write_atomic(folder / PID_FILE, json.dumps(identity))


def held_by(folder: Path) -> MachineError:
    """The error that says who runs a folder: pid, host and since when."""
    holder = "another process"
    with contextlib.suppress(OSError, ValueError, TypeError, LookupError, AttributeError, RecursionError):
        identity = json.loads(read_regular(folder / PID_FILE))
        noted = datetime.fromtimestamp((folder / PID_FILE).stat().st_mtime, UTC)
        since = identity.get("since") or noted.isoformat(timespec="seconds")
        where = safe_text(str(identity.get("host") or platform.node()), 100)
        holder = f"process {int(identity['pid'])} on {where} holds it since {safe_text(str(since), 40)}"
    return MachineError(
        f"The run {safe_text(folder.name)} is already running: {holder}.",
        f"`grambench watch {safe_text(folder.name)}` shows it, and `grambench stop` ends it.",
    )


def supervisor_of(folder: Path) -> psutil.Process | None:
    """The living supervisor of a run; None when it has ended."""
    try:
        identity = json.loads(read_regular(folder / PID_FILE))
        process = psutil.Process(int(identity["pid"]))
        same = _start_of(process.pid) == identity["started"]
        return process if same and process.status() != psutil.STATUS_ZOMBIE else None
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError, psutil.Error):
        return None


def _start_of(pid: int) -> str:
    """When a process began: on Linux in ticks since boot, which changes of the clock do not affect."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return f"{psutil.Process(pid).create_time():.2f}"
    return f"{boot_id()}/{stat.rpartition(')')[2].split()[_START_FIELD]}"
