"""What a fold knew at one moment, kept beside the logs so that a long run opens at once.

Only a cache: the logs are authoritative. A snapshot made by other code or of other logs, or a damaged
one, is not used, and the logs are read from their first line.
"""

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from grambench import __version__
from grambench.config import trial_name
from grambench.events.folding.folded import Folded
from grambench.fs import open_regular, read_regular, write_atomic
from grambench.metrics import catalogue

if TYPE_CHECKING:
    from pydantic import TypeAdapter

FILE = "state.json"
_TAIL_BYTES = 4096


@dataclass(slots=True)
class Mark:
    """A position in a log."""

    offset: int
    """Bytes of complete lines before it."""
    tail: str
    """SHA-256 of the last 4096 of them."""


@dataclass(slots=True)
class Snapshot:
    """A fold's state, and the position in every log up to which it was read."""

    marks: dict[str, Mark]
    """Log (empty: the supervisor's) -> its position."""
    boots: list[str]
    """In chronological order."""
    known: Folded
    code: str
    """Digest of the code that made it."""


def save(folder: Path, snapshot: Snapshot) -> None:
    """Write the snapshot of a run atomically.

    Raises:
        OSError: the disk does not take it; an older snapshot stays.
        ValueError: a text of the logs cannot be written as UTF-8, such as a path with undecodable bytes.
    """
    write_atomic(folder / FILE, _adapter().dump_json(snapshot, warnings=False))


def load(folder: Path) -> Snapshot | None:
    """The run's snapshot, or None if there is none that matches its logs."""
    from pydantic import ValidationError

    try:
        data = read_regular(folder / FILE)
    except OSError:
        return None
    try:
        snapshot: Snapshot = _adapter().validate_json(data)
    except ValidationError:
        return None
    if snapshot.code != code_digest() or "" not in snapshot.marks:
        return None
    for name, mark in snapshot.marks.items():
        log = folder / name / "events.jsonl" if name else folder / "supervisor.jsonl"
        if mark_of(log, mark.offset) != mark:
            return None
    return snapshot


def mark_of(log: Path, offset: int) -> Mark:
    """The mark of a position in a log; differs if the log is too short or missing."""
    try:
        with open_regular(log) as file:
            file.seek(max(0, offset - _TAIL_BYTES))
            tail = file.read(min(offset, _TAIL_BYTES))
    except OSError:
        tail = b""
    return Mark(offset, hashlib.sha256(tail).hexdigest())


@cache
def code_digest() -> str:
    """Digest of the code that decides what a snapshot holds: the events, and modules they import."""
    digest = hashlib.sha256(__version__.encode())
    others = [Path(str(module.__file__)) for module in (trial_name, catalogue)]
    for path in (*sorted(Path(__file__).parent.rglob("*.py")), *others):
        digest.update(path.read_bytes())
    return digest.hexdigest()


@cache
def _adapter() -> "TypeAdapter[Snapshot]":
    from pydantic import TypeAdapter

    return TypeAdapter(Snapshot)
