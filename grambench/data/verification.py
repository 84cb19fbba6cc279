"""Results shared by the verifications of all data formats."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

Origin = Literal["official", "differs", "unknown"]

EXAMPLES = 5
"""Maximum number of examples kept per problem."""


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Problem(Strict):
    """A problem that a run will encounter. `examples` are raw data: print them through `safe_text`."""

    occurrences: int
    """Number of occurrences."""
    distinct: int
    """Distinct ids (impressions: the same number as occurrences)."""
    examples: tuple[str, ...]
    """Up to five ids in order of first appearance."""


class FileCheck(Strict):
    """A file compared with the published one."""

    path: str
    bytes: int
    origin: Origin


class CheckedFolder(Strict):
    """Common fields of all verifications."""

    data_dir: str
    dataset: str | None
    cautions: tuple[str, ...] = ()
    """Warnings about the data, in sentences."""
