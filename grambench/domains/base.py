"""What a domain offers. Everything else asks `domains.registry` for it and names no domain.

A domain is a folder: `domain.py` loads no torch, `training.py` holds what `domains.training` asks for.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from grambench.config.data import Data
from grambench.config.table import Table
from grambench.data.prepared.build import Interactions
from grambench.data.prepared.manifest import Manifest, SourceFile
from grambench.data.prepared.sources import Report
from grambench.data.verification import CheckedFolder


class Files(Protocol):
    """The files that one preparation reads."""

    def files(self) -> dict[str, Path]:
        """Every file that determines the arrays, by a name that does not depend on the folder.

        Raises:
            DataError: one is missing.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A value of `data.source`."""

    holds: str = ""
    """What a folder of it holds, in words."""
    laws: Callable[[Data], Table] | None = None
    """Of generated data; None: the data lie in a folder."""
    generate: Callable[[Any, Path], None] | None = None
    """Writes generated data of these laws into a new folder."""
    is_there: Callable[[Path], bool] = Path.is_dir
    """Whether a folder may hold it."""
    fix: Callable[[Data, str], str] = lambda _data, holds: (
        f"Give the folder that holds {holds} with --data-dir."
    )
    """What to do where it is not there."""


class Domain(Protocol):
    """News, knowledge tracing, and what may follow."""

    part: type[Any]
    """A dataclass of the arrays of a part."""
    sources: Mapping[str, Source]
    """By `data.source`."""

    def files(self, data: Data, folder: Path) -> Files:
        """The files of a data folder.

        Raises:
            DataError: a file is missing.
            ConfigError: settings do not fit the source.
        """

    def read(self, files: Any, data: Data, report: Report) -> Interactions:
        """Read them, and cut them into parts.

        Raises:
            DataError: the data is malformed, or leaves a part empty.
            ConfigError: settings do not fit the data.
        """

    def determinants(self, data: Data, described: Mapping[str, SourceFile]) -> dict[str, object]:
        """What determines the arrays, beside what is common to all domains: JSON values."""

    def check(self, manifest: Manifest, data: Data) -> None:
        """Refuse what `data` does not allow.

        Raises:
            DataError: the prepared data has it.
        """

    def completed(self, manifest: Manifest, files: Any, report: Report) -> Manifest | None:
        """With counts that the version which prepared it did not make; None: it lacks nothing."""

    def verify(self, folder: Path, data: Data) -> CheckedFolder:
        """Read every file of a folder in the format of `data.source`, and count.

        Raises:
            DataError: a file is missing or malformed.
        """

    def lacks_counts(self, manifest: Manifest) -> bool:
        """Whether `completed` has something to add."""
