"""Names of trials, which are also those of their folders: `<label>.s<seed>`."""

import re
from dataclasses import dataclass
from functools import lru_cache

NULL = "null-"
"""Stands before the label of a trial that repeats another one."""
_NAME = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]{0,63})\.s([0-9]{1,18})")


@dataclass(frozen=True, slots=True)
class TrialName:
    """One label with one seed; printed it is the trial's name."""

    label: str
    seed: int

    @staticmethod
    @lru_cache(1024)
    def parse(name: str) -> "TrialName | None":
        """The label and the seed of a name; None: no trial can have it."""
        found = _NAME.fullmatch(name)
        return TrialName(found[1], int(found[2])) if found else None

    def __str__(self) -> str:
        return f"{self.label}.s{self.seed}"

    @property
    def is_null(self) -> bool:
        """True for a null test."""
        return self.label.startswith(NULL)

    @property
    def repeated(self) -> "TrialName":
        """The trial that a null test repeats; any other is its own."""
        return TrialName(self.label.removeprefix(NULL), self.seed)
