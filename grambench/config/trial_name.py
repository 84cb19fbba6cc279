"""Names of trials and of their folders: `<label>.s<seed>`, of a repeat `<label>.s<seed>.r<repeat>`."""

import re
from dataclasses import dataclass
from functools import lru_cache

NULL = "null-"
"""Label prefix of a trial that repeats another one (null test)."""
_NAME = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]{0,63})\.s([0-9]{1,18})(?:\.r([2-9]|[1-9][0-9]{1,5}))?")


@dataclass(frozen=True, slots=True)
class TrialName:
    """A label, a seed and a repeat; `str()` gives the trial's name."""

    label: str
    seed: int
    repeat: int = 1
    """From 1, which the name does not mention."""

    @staticmethod
    @lru_cache(1024)
    def parse(name: str) -> "TrialName | None":
        """The label, seed and repeat of a name; None if it is not a trial's name."""
        match = _NAME.fullmatch(name)
        return TrialName(match[1], int(match[2]), int(match[3] or 1)) if match else None

    def __str__(self) -> str:
        return f"{self.label}.s{self.seed}" + (f".r{self.repeat}" if self.repeat > 1 else "")

    @property
    def block(self) -> tuple[int, int]:
        """Seed and repeat: trials with both in common are compared with each other, and race together."""
        return self.seed, self.repeat

    def of(self, label: str) -> "TrialName":
        """The trial of another label in the same block."""
        return TrialName(label, self.seed, self.repeat)

    @property
    def is_null(self) -> bool:
        """Whether the trial is a null test."""
        return self.label.startswith(NULL)

    @property
    def repeated(self) -> "TrialName":
        """The trial that a null test repeats; any other trial itself."""
        return self.of(self.label.removeprefix(NULL))
