"""The interface of a domain. All other code gets domains from `domains.registry` and names none.

A domain is a folder: `domain.py` does not import torch, `training.py` provides what `domains.training` uses.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from grambench.config.data import Data
from grambench.config.table import Table
from grambench.data.prepared.build import Interactions
from grambench.data.prepared.manifest import Manifest, SourceFile
from grambench.data.prepared.sources import Report
from grambench.data.verification import CheckedFolder


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A value of `data.source`: where its files are, and how they are read."""

    files: Callable[[Path, Data], dict[str, Path]]
    """The files of a folder that determine the arrays, by names independent of the folder.

    Raises:
        DataError: a file is missing.
        ConfigError: settings do not match the source.
    """
    read: Callable[[Path, Data, Report], Any]
    """The content of these files, as the domain's `read` takes it.

    Raises:
        DataError: a file is malformed.
    """
    holds: str = ""
    """Description of its folder's content."""
    settings: Callable[[Data], Table] | None = None
    """Settings of generated data; None: the data is in a folder."""
    generate: Callable[[Any, Path], None] | None = None
    """Generates data from these settings into a new folder."""
    recognised: Callable[[Path], Sequence[str]] = lambda _: ()
    """Data of this source in a folder, by names and headers of files: for each such data the `--set` that
    selects it beside `data.source`; empty where nothing more has to be set."""
    is_there: Callable[[Path], bool] = Path.is_dir
    """Whether a folder may hold data of this source."""
    fix: Callable[[Data, str], str] = lambda _data, holds: (
        f"Give the folder that holds {holds} with --data-dir."
    )
    """What to do if the data is missing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToPredict:
    """A part whose predictions are written; its ids come from the files of the data folder."""

    name: str
    """`test`, or `unlabelled-` and the name of a split."""
    file: str
    """Name of the file of predictions."""
    part: Any
    """As the domain's evaluator reads it; labels that the files lack are 0."""
    labelled: bool
    rows: int | None = None
    """Impressions; None: each score has its row."""
    unknown: int = 0
    """Candidates without a row in the items' files, which are ranked last."""
    render: Callable[[Any, Any], bytes]
    """The file's content: from scores [A], and where the part has what each is of."""


class Domain(Protocol):
    """A domain, such as news or knowledge tracing."""

    part: type[Any]
    """Dataclass of the arrays of a part."""
    sources: Mapping[str, Source]
    """By `data.source`."""
    preset: str = ""
    """Preset for users' own data; empty: there is none."""

    def read(self, folder: Path, data: Data, report: Report) -> Interactions:
        """Read the files of a folder and split the data into parts.

        Raises:
            DataError: the data is malformed, or a part is empty.
            ConfigError: settings do not match the data.
        """

    def determinants(self, data: Data, described: Mapping[str, SourceFile]) -> dict[str, object]:
        """Domain-specific values that determine the arrays: JSON values."""

    def verify(self, folder: Path, data: Data) -> CheckedFolder:
        """Read every file of a folder in the format of `data.source`, and count.

        Raises:
            DataError: a file is missing or malformed.
        """

    def to_predict(self, folder: Path, data: Data, report: Report) -> Sequence[ToPredict]:
        """The parts whose predictions are written; none, unless a domain has some.

        Raises:
            DataError: the data is malformed, or a part is empty.
        """
        return ()

    def check(self, manifest: Manifest, data: Data) -> None:
        """Check prepared data against the settings; nothing, unless a domain has something to check.

        Raises:
            DataError: the prepared data contains something `data` does not allow.
        """
        return

    def lacks_counts(self, manifest: Manifest) -> bool:
        """Whether an earlier version prepared the data without counts that `completed` adds."""
        return False

    def completed(self, manifest: Manifest, folder: Path, data: Data, report: Report) -> Manifest:
        """The manifest with these counts, made from the files of the data folder."""
        return manifest
