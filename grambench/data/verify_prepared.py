"""`grambench data verify` for prepared folders: whether their files are intact."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from grambench.data.prepared.check import UNKNOWN, check_prepared
from grambench.data.prepared.manifest import MANIFEST_FILE
from grambench.errors import DataError


class PreparedFileCheck(BaseModel):
    """One file of a prepared folder."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    path: str
    bytes: int | None
    """None if it cannot be read."""
    sha256: str | None
    state: Literal["whole", "damaged", "not checked"]
    note: str
    """What is wrong, or why it was not checked."""


class PreparedVerification(BaseModel):
    """Result for a prepared folder."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    folder: str
    format: Literal["prepared"] = "prepared"
    is_whole: bool
    files: tuple[PreparedFileCheck, ...]


def prepared_folders(folder: Path) -> list[Path]:
    """The folder itself if it is a prepared one, else those in it or in its `prepared` folder (a cache)."""
    if _is_prepared(folder):
        return [folder]
    within = [*folder.glob(f"*/{MANIFEST_FILE}"), *folder.glob(f"prepared/*/{MANIFEST_FILE}")]
    folders = (path.parent for path in within if not path.parent.name.startswith("."))
    return sorted(path for path in folders if _is_prepared(path))


def verify_prepared(folder: Path) -> PreparedVerification:
    """Read every file of a prepared folder and compare it with its digest."""
    check = check_prepared(folder)
    files = [
        PreparedFileCheck(path=name, bytes=None, sha256=None, state="damaged", note=what)
        for name, what in check.damaged.items()
        if name not in check.files
    ]
    for name, file in check.files.items():
        note = check.damaged.get(name, "" if check.is_known else UNKNOWN)
        state: Literal["whole", "damaged", "not checked"] = "whole" if check.is_known else "not checked"
        files.append(
            PreparedFileCheck(
                path=name,
                bytes=file.state[0],
                sha256=file.sha256,
                state="damaged" if name in check.damaged else state,
                note=note,
            )
        )
    return PreparedVerification(folder=str(folder), is_whole=not check.damaged, files=tuple(files))


def damage(verified: list[PreparedVerification]) -> DataError | None:
    """The error that names the first damaged file; None if there is none."""
    bad = [(one.folder, file) for one in verified for file in one.files if file.state == "damaged"]
    if not bad:
        return None
    folder, file = bad[0]
    more = f" (damaged files: {len(bad)})" if len(bad) > 1 else ""
    return DataError(
        f"The prepared data is damaged: {Path(folder) / file.path} {file.note}{more}.",
        "Delete the folder, or run again: a run prepares damaged data again from its sources.",
    )


def _is_prepared(folder: Path) -> bool:
    """Whether a folder has a manifest, damaged or not, and arrays."""
    return (folder / MANIFEST_FILE).is_file() and next(folder.glob("*.npy"), None) is not None
