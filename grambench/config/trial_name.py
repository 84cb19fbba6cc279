"""Names of trials and of their folders: `<label>.s<seed>`."""

import re
from dataclasses import dataclass
from functools import lru_cache

NULL = "null-"
"""Label prefix of a trial that repeats another one (null test)."""
_NAME = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]{0,63})\.s([0-9]{1,18})")


@dataclass(frozen=True, slots=True)
class TrialName:
    """A label and a seed; `str()` gives the trial's name."""

    label: str
    seed: int

    @staticmethod
    @lru_cache(1024)
    def parse(name: str) -> "TrialName | None":
        """The label and the seed of a name; None if it is not a trial's name."""
        match = _NAME.fullmatch(name)
        return TrialName(match[1], int(match[2])) if match else None

    def __str__(self) -> str:
        return f"{self.label}.s{self.seed}"

    @property
    def is_null(self) -> bool:
        """Whether the trial is a null test."""
        return self.label.startswith(NULL)

    @property
    def repeated(self) -> "TrialName":
        """The trial that a null test repeats; any other trial itself."""
        return TrialName(self.label.removeprefix(NULL), self.seed)
