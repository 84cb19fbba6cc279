"""What every verification of a data folder says, whatever its format."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

Origin = Literal["official", "differs", "unknown"]

EXAMPLES = 5
"""Most examples kept of each problem."""


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Problem(Strict):
    """Something a run will meet. `examples` are raw data: pass them through `safe_text` to print."""

    occurrences: int
    """How often it occurs."""
    distinct: int
    """Distinct ids (impressions: the same number as occurrences)."""
    examples: tuple[str, ...]
    """Up to five ids in order of first appearance."""


class FileCheck(Strict):
    """One file against the published one."""

    path: str
    bytes: int
    origin: Origin


class CheckedFolder(Strict):
    """What every verification says of its folder."""

    data_dir: str
    dataset: str | None
    cautions: tuple[str, ...] = ()
    """What to beware of before a run, in sentences."""
