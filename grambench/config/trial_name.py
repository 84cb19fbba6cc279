"""Names of trials, which are also those of their folders: `<label>.s<seed>`, of the second repeat `….r2`."""

import re
from dataclasses import dataclass
from functools import lru_cache

NULL = "null-"
"""Stands before the label of a trial that repeats another one."""
_NAME = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]{0,63})\.s([0-9]{1,18})(?:\.r([2-9]|[1-9][0-9]{1,5}))?")


@dataclass(frozen=True, slots=True)
class TrialName:
    """One label with one seed, the first time or again; printed it is the trial's name."""

    label: str
    seed: int
    repeat: int = 1
    """From 1; the first one's name does not mention it."""

    @staticmethod
    @lru_cache(1024)
    def parse(name: str) -> "TrialName | None":
        """What a name says; None: no trial can have it."""
        found = _NAME.fullmatch(name)
        return TrialName(found[1], int(found[2]), int(found[3] or 1)) if found else None

    def __str__(self) -> str:
        return f"{self.label}.s{self.seed}" + (f".r{self.repeat}" if self.repeat > 1 else "")

    @property
    def block(self) -> tuple[int, int]:
        """Seed and repeat: trials that have both in common are compared, and race together."""
        return self.seed, self.repeat

    def of(self, label: str) -> "TrialName":
        """The trial of another label in the same block."""
        return TrialName(label, self.seed, self.repeat)

    @property
    def is_null(self) -> bool:
        """True for a null test."""
        return self.label.startswith(NULL)

    @property
    def repeated(self) -> "TrialName":
        """The trial that a null test repeats; any other is its own."""
        return self.of(self.label.removeprefix(NULL))
