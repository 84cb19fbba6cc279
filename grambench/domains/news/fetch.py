"""Download MIND: zips from the Hugging Face hub or its mirror, verified, then moved into place.

The licence (Microsoft Research, non-commercial) does not permit redistribution, so users download the files
to their own machine. Zips differ between sources; the extracted files are compared with the published ones
(`grambench.domains.news.checksums`).
"""

import errno
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args
from urllib.parse import urlsplit

from grambench.data.download import Patience, Progress, download, download_from_hub
from grambench.domains.news.checksums import KNOWN_FILES, Published
from grambench.domains.news.unzip import extract_tables
from grambench.errors import ConfigError, DataError, GrambenchError, MachineError
from grambench.fs import fresh_folder, locked, sha256_file, sync_folder
from grambench.hub import HUB

Dataset = Literal["mind-small", "mind-large", "mind-demo"]
Report = Callable[[str, int, int | None], None]
"""Called with the zip's name, the bytes on disk, and its total size if known."""

LICENCE = (
    "MIND is Microsoft's, under the Microsoft Research License Terms: for non-commercial research,"
    " not to be redistributed. See https://msnews.github.io."
)

TABLES = ("news.tsv", "behaviors.tsv")
SPLITS = ("train", "dev")
_REPO = "yjw1029/MIND"
_MIRROR = "https://recodatasets.z20.web.core.windows.net/newsrec"


@dataclass(frozen=True)
class Source:
    """A data set on a hub, or a folder of zips on the web."""

    url: str
    """URL of the hub or of the folder, without a trailing slash."""
    repo: str = ""
    """`<owner>/<data set>` on the hub; empty: `url` is a plain folder."""
    token: str | None = None
    """Hub token."""

    @property
    def host(self) -> str:
        """Host name, for messages."""
        return urlsplit(self.url).netloc

    def bring(self, path: Path, progress: Progress, patience: Patience) -> None:
        """Download the file named as `path`.

        Raises:
            MachineError: it cannot be downloaded. OSError: `path` cannot be written.
        """
        if self.repo:
            download_from_hub(self.repo, path, progress, endpoint=self.url, token=self.token)
        else:
            download(f"{self.url}/{path.name}", path, progress, patience=patience)


def default_sources(dataset: Dataset, environ: Mapping[str, str] = os.environ) -> tuple[Source, ...]:
    """The hub (`HF_ENDPOINT` and `HF_TOKEN`, if set), then the mirror; mind-demo is only on the mirror.

    Raises:
        ConfigError: HF_TOKEN contains invalid characters.
    """
    if dataset == "mind-demo":
        return (Source(_MIRROR),)
    token = environ.get("HF_TOKEN", "").strip()
    if not (token.isascii() and token.isprintable()) or " " in token:
        raise ConfigError("HF_TOKEN contains blanks or control characters.", "Copy the token again.")
    hub = environ.get("HF_ENDPOINT", "").rstrip("/") or HUB
    return (Source(hub, _REPO, token or None), Source(_MIRROR))


def fetch(
    dataset: Dataset,
    target: Path,
    report: Report,
    *,
    sources: Sequence[Source] | None = None,
    patience: Patience | None = None,
    known: Mapping[str, Mapping[str, Published]] = KNOWN_FILES,
) -> Path:
    """Download the published files of `dataset` to `target/{train,dev}/{news,behaviors}.tsv`.

    Correct files are left alone; an interrupted download is resumed. Show `LICENCE` to the user first. If two
    processes fetch into one target, one waits.

    Args:
        dataset: variant of MIND; `mind-small` and `mind-demo` are verified by sha256, `mind-large` by size.
        target: created if missing.
        report: progress of the zips.
        sources: tried in order for each zip; None: `default_sources(dataset)`.
        patience: timeouts and retries of plain HTTP.
        known: the published sizes and digests.

    Returns:
        `target`.

    Raises:
        ConfigError: an unknown data set, or an unusable HF_TOKEN.
        MachineError: no source can be reached, or the disk cannot be written.
        DataError: a file in `target` is not the published one, or no source provides it.
    """
    if dataset not in get_args(Dataset):
        raise ConfigError(f"{dataset!r} cannot be downloaded.", f"Choose {', '.join(get_args(Dataset))}.")
    sources = default_sources(dataset) if sources is None else sources
    try:
        target.mkdir(parents=True, exist_ok=True)
        with locked(target / ".fetch.lock"):
            for split in SPLITS:
                published = {name: known[dataset][f"{split}/{name}"] for name in TABLES}
                if not _is_there(target / split, published):
                    _fetch_split(dataset, split, target, published, sources, report, patience or Patience())
            shutil.rmtree(target / ".download", ignore_errors=True)
    except OSError as error:
        fix = "Free some space" if error.errno in {errno.ENOSPC, errno.EDQUOT} else "Check its permissions"
        raise MachineError(
            f"{target} could not be written: {error.strerror or error}.",
            f"{fix}, or name another folder with --data-dir.",
        ) from error
    return target


def _fetch_split(
    dataset: Dataset,
    split: str,
    target: Path,
    published: Mapping[str, Published],
    sources: Sequence[Source],
    report: Report,
    patience: Patience,
) -> None:
    """Try the sources in order until one provides the published files of a split."""
    name = f"MIND{dataset.removeprefix('mind-')}_{split}.zip"
    failures: list[tuple[Source, GrambenchError]] = []
    for place, source in enumerate(sources):
        folder = target / ".download" / str(place)
        folder.mkdir(parents=True, exist_ok=True)
        try:
            source.bring(folder / name, lambda done, total: report(name, done, total), patience)
            _unpack(folder / name, target / split, published)
            return
        except GrambenchError as error:
            failures.append((source, error))
    reasons = "; ".join(f"{source.host}: {error.message.rstrip('.')}" for source, error in failures)
    all_delivered = bool(failures) and all(isinstance(error, DataError) for _, error in failures)
    raise (DataError if all_delivered else MachineError)(
        f"{name} could not be downloaded: {reasons or 'there is no source'}.",
        f"Unzip a copy of it to {' and '.join(str(target / split / table) for table in TABLES)},"
        " or name a folder with train/ and dev/ with --data-dir.",
    )


def _is_there(folder: Path, published: Mapping[str, Published]) -> bool:
    """Whether a split is complete; existing files must be the published ones."""
    present = {name: folder / name for name in published if (folder / name).exists()}
    for name, path in present.items():
        fault = _fault(path, published[name])
        if fault:
            raise DataError(
                f"{path} is not the published file: {fault}.",
                "Move it away to fetch it again, or name this folder with --data-dir to use it as it is.",
            )
    return len(present) == len(published)


def _fault(path: Path, published: Published) -> str:
    """What is wrong with a file; empty if it is correct."""
    size = path.stat().st_size
    if size != published.bytes:
        return f"{size:,} bytes, not {published.bytes:,}"
    if published.sha256 is not None and sha256_file(path) != published.sha256:
        return "its sha256 differs"
    return ""


def _unpack(archive: Path, folder: Path, published: Mapping[str, Published]) -> None:
    """Extract beside the archive, verify, and move into place; the archive is deleted in any case."""
    temporary = fresh_folder(archive)
    try:
        extract_tables(archive, temporary, tuple(published))
        for name, expected in published.items():
            fault = _fault(temporary / name, expected)
            if fault:
                raise DataError(f"its {name} is not the published one: {fault}.")
        if folder.exists():
            for name in published:
                (temporary / name).replace(folder / name)
        else:
            temporary.replace(folder)
        sync_folder(folder.parent)
    finally:
        archive.unlink(missing_ok=True)
        shutil.rmtree(temporary, ignore_errors=True)
