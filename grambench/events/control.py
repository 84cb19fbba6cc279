"""The messages between the runner and a worker: one JSON line each, on a socket.

A worker trains only while it holds a turn. The end of the runner's side means that the runner is gone.
"""

import dataclasses
import json
from dataclasses import dataclass
from typing import Literal

from grambench.events.fields import build

Ending = Literal["interrupted", "stopped", "skipped"]


@dataclass(frozen=True, slots=True)
class Grant:
    """To a worker: train from now on."""

    turn: int
    seconds: float | None = None
    """Training seconds of the turn; None: until further notice. 0: warm up, and give the turn back."""


@dataclass(frozen=True, slots=True)
class Hold:
    """To a worker: pause before the next step."""


@dataclass(frozen=True, slots=True)
class Stop:
    """To a worker: end the trial after the current step."""

    ending: Ending = "stopped"


@dataclass(frozen=True, slots=True)
class TurnOver:
    """To the runner: the turn is given back."""

    turn: int
    train_s: float
    """Training seconds of the whole trial so far."""
    begun: bool = True
    """False: it was withdrawn before the worker could use it."""


@dataclass(frozen=True, slots=True)
class Alive:
    """To the runner: the worker has moved since its last message."""


@dataclass(frozen=True, slots=True)
class NoRoom:
    """To the runner: the disk has been full for longer than a run waits."""

    reason: str
    """A clause."""


@dataclass(frozen=True, slots=True)
class Restarted:
    """To the runner: the ranks have started again, and know nothing of what it has said before."""

    attempt: int


Message = Grant | Hold | Stop | TurnOver | Alive | NoRoom | Restarted
_MESSAGES: dict[str, type[Message]] = {
    "grant": Grant,
    "hold": Hold,
    "stop": Stop,
    "turn_over": TurnOver,
    "alive": Alive,
    "no_room": NoRoom,
    "restarted": Restarted,
}
_NAMES = {message: name for name, message in _MESSAGES.items()}


def encode(message: Message) -> bytes:
    """The line of a message."""
    return json.dumps({"type": _NAMES[type(message)], **dataclasses.asdict(message)}).encode() + b"\n"


def decode(line: bytes) -> Message | None:
    """The message of a line; None for an unknown one, perhaps of another version."""
    try:
        fields = json.loads(line)
        return build(_MESSAGES[fields["type"]], fields)
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


class Lines:
    """Splits the bytes of a pipe into messages."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[Message]:
        """The messages that are complete now."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        return [message for message in map(decode, lines) if message is not None]
