"""The one-line JSON form of an event.

A line is `{"v": 1, "seq": n, "t_ns": monotonic, "boot": id, "wall": label, "type": name, …fields}`.
"""

import dataclasses
import json
import math
from dataclasses import dataclass
from typing import Any

from grambench.events.types import Event

SCHEMA_VERSION = 1
REGISTRY: dict[str, type[Event]] = {cls.type: cls for cls in Event.__subclasses__()}


@dataclass(frozen=True, slots=True)
class Stamp:
    """Where and when a record was written."""

    seq: int
    t_ns: int
    """Monotonic clock; comparable only under the same `boot`."""
    boot: str
    wall: str
    """Wall time in ISO 8601, a label only."""


@dataclass(frozen=True, slots=True)
class Record:
    """One line of a log."""

    stamp: Stamp
    event: Event


def encode(event: Event, stamp: Stamp) -> bytes:
    """The line of an event, newline included. Non-finite numbers become null."""
    fields = {f.name: _finite(getattr(event, f.name)) for f in dataclasses.fields(event)}
    line = {
        "v": SCHEMA_VERSION,
        "seq": stamp.seq,
        "t_ns": stamp.t_ns,
        "boot": stamp.boot,
        "wall": stamp.wall,
        "type": event.type,
        **fields,
    }
    return json.dumps(line, allow_nan=False, separators=(",", ":")).encode() + b"\n"


def decode(line: bytes) -> Record | None:
    """The record of a whole line; None for a damaged line or one of an unknown type.

    A log is read while it is written and after crashes, so that a bad line is skipped, never raised.
    """
    try:
        fields = json.loads(line)
        stamp = Stamp(fields["seq"], fields["t_ns"], fields["boot"], fields["wall"])
        return Record(stamp, REGISTRY[fields["type"]].from_fields(fields))
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return value
