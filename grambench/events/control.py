"""What the runner tells a worker: one JSON line a message on the worker's standard input.

A worker trains only while it holds a turn. End of file means that the runner is gone.
"""

import json
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Grant:
    """Train from now on."""

    turn: int


@dataclass(frozen=True, slots=True)
class Hold:
    """Pause before the next step."""


@dataclass(frozen=True, slots=True)
class Stop:
    """End the trial after the step under way."""


Message = Grant | Hold | Stop


def encode(message: Message) -> bytes:
    """The line of a message."""
    fields = {"turn": message.turn} if isinstance(message, Grant) else {}
    return json.dumps({"type": type(message).__name__.lower(), **fields}).encode() + b"\n"


def decode(line: bytes) -> Message | None:
    """The message of a line; None for one that a newer runner may send."""
    try:
        fields = json.loads(line)
        match fields["type"]:
            case "grant":
                return Grant(int(fields["turn"]))
            case "hold":
                return Hold()
            case "stop":
                return Stop()
    except (ValueError, KeyError, TypeError):
        pass
    return None
