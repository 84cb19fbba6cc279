"""Control groups (version 1 and 2): whether a process is frozen, and where a CPU quota is reported."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import psutil

_ROOT = Path("/sys/fs/cgroup")
_PROC = Path("/proc")


def how_stopped(pid: int, root: Path = _ROOT, proc: Path = _PROC) -> str:
    """What keeps a process from running, in words; empty: nothing.

    A stopped process is alive and will continue; it does not hang.
    """
    try:
        status = psutil.Process(pid).status()
    except psutil.Error:
        return ""
    if status in (psutil.STATUS_STOPPED, psutil.STATUS_TRACING_STOP):
        return "stopped by a signal or a debugger"
    return "frozen by its control group" if _is_frozen(pid, root, proc) else ""


def quota_files(root: Path = _ROOT, proc: Path = _PROC) -> list[tuple[Path, str, float]]:
    """Counters of the time throttled by a CPU quota: file, field in it, and its unit in seconds.

    Those of this process's group and its parents, where a quota is set.
    """
    found = []
    for folder in _folders("self", "cpu", root, proc):
        if _text(folder / "cpu.max").split()[:1] not in ([], ["max"]):
            found.append((folder / "cpu.stat", "throttled_usec", 1e-6))
        elif _text(folder / "cpu.cfs_quota_us").strip() not in ("", "-1"):
            found.append((folder / "cpu.stat", "throttled_time", 1e-9))
    return found


def quota_cpus(root: Path = _ROOT, proc: Path = _PROC) -> float | None:
    """CPUs that the quotas of this process's group and its parents allow; None: there is none."""
    found = []
    for folder in _folders("self", "cpu", root, proc):
        words = _text(folder / "cpu.max").split() or [
            _text(folder / f"cpu.cfs_{name}_us").strip() for name in ("quota", "period")
        ]
        with contextlib.suppress(ValueError, ZeroDivisionError):  # `max`, or no quota here
            found.append(int(words[0]) / int(words[1]))
    return min((cpus for cpus in found if cpus > 0), default=None)


def _is_frozen(pid: int, root: Path, proc: Path) -> bool:
    return any(
        "frozen 1" in _text(folder / "cgroup.events").splitlines()
        or _text(folder / "freezer.state").strip() == "FROZEN"
        for folder in _folders(str(pid), "freezer", root, proc)
    )


def _folders(pid: str, controller: str, root: Path, proc: Path) -> Iterator[Path]:
    """The folders of a process's group and its parents, in either version."""
    for line in _text(proc / pid / "cgroup").splitlines():
        _, names, path = line.split(":", 2)
        if names == "":
            roots = [root, root / "unified"]
        elif controller in names.split(","):
            roots = [root / controller, root / names]
        else:
            continue
        for base in dict.fromkeys(roots):
            folder = base / path.lstrip("/")
            for place in (folder, *folder.parents):
                if not place.is_relative_to(base):
                    break
                yield place


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, ValueError):
        return ""
