"""What all events have in common."""

import dataclasses
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

Phase = Literal[
    "start", "prepare", "audit", "load", "probe", "cache", "train", "evaluate", "save", "test", "done"
]
Outcome = Literal["completed", "early-stopped", "interrupted", "stopped", "skipped", "diverged", "failed"]
"""`interrupted`: by a signal or the runner's end; `--resume` continues the trial from its checkpoint."""


@dataclass(frozen=True, slots=True)
class Event:
    """Base of all events; `type` is the name in the log."""

    type: ClassVar[str] = ""

    @classmethod
    def from_fields(cls, fields: dict[str, Any]) -> Self:
        """Build from a decoded line; fields of a newer writer are ignored."""
        known = {f.name for f in dataclasses.fields(cls)}
        return cls(**{key: value for key, value in fields.items() if key in known})
