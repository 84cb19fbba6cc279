"""The one-line JSON form of an event.

A line is `{"v": 1, "seq": n, "t_ns": monotonic, "boot": id, "wall": label, "type": name, …fields,
"crc": hex}` without spaces. `seq` is the number of lines before it, `crc` the CRC-32 of the bytes before
`,"crc"`; logs of grambench 0.1 have no `crc`.
"""

import dataclasses
import json
import math
from dataclasses import dataclass
from typing import Any, Literal
from zlib import crc32

from grambench.events.fields import build
from grambench.events.types import Event
from grambench.text import redacted

SCHEMA_VERSION = 1
REGISTRY: dict[str, type[Event]] = {cls.type: cls for cls in Event.__subclasses__()}
Unreadable = Literal["damaged", "newer", "unknown"]
"""Why a line is not a record: damaged, of a newer schema version, or an event unknown to this version."""
_CRC = b',"crc":"'
_TAIL = len(_CRC) + 8 + len(b'"}')
_STAMP_FIELDS = 6
_LARGEST = 2**63 - 1


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
    """The line of an event, newline included. Non-finite numbers become null, secrets are redacted."""
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
    head = redacted(json.dumps(line, allow_nan=False, separators=(",", ":"))).encode()[:-1]
    return b'%b%b%08x"}\n' % (head, _CRC, crc32(head))


def decode(line: bytes) -> Record | None:
    """The record of a line; None for one that `read_line` calls unreadable."""
    record = read_line(line.removesuffix(b"\n"))
    return record if isinstance(record, Record) else None


def read_line(line: bytes) -> Record | Unreadable:
    """The record of a line without its newline, or why there is none.

    A log is read while it is written and after crashes: a bad line is reported, never raised.
    """
    checked = line[-_TAIL:_CRC_ENDS] == _CRC
    if checked and b"%08x" % crc32(line[:-_TAIL]) != line[_CRC_ENDS:-2]:
        return "damaged"
    try:
        text = line.decode()
        fields, end = _SCAN(text, 0)
        if end != len(text):
            return "damaged"
        version, seq, t_ns = fields["v"], fields["seq"], fields["t_ns"]
        boot, wall, name = fields["boot"], fields["wall"], fields["type"]
        if not (type(version) is type(seq) is type(t_ns) is int and type(boot) is type(wall) is str):
            return "damaged"
        if version != SCHEMA_VERSION:
            return "newer" if version > SCHEMA_VERSION else "damaged"
        if not (0 <= seq <= _LARGEST and 0 <= t_ns <= _LARGEST and type(name) is str):
            return "damaged"
        known = REGISTRY.get(name)
        if known is None:
            return "unknown"
        others = _STAMP_FIELDS + ("crc" in fields)
        return Record(Stamp(seq, t_ns, boot, wall), build(known, fields, others))
    except (ValueError, KeyError, TypeError, RecursionError, StopIteration):
        return "damaged"


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON number")


_SCAN = json.JSONDecoder(parse_constant=_refuse_constant).scan_once  # type: ignore[attr-defined]
_CRC_ENDS = len(_CRC) - _TAIL


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return value
