"""Locate MIND's files in a data folder, and read article bodies that users add to them."""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from grambench.data.tables import faults, headers, tsv
from grambench.data.tables.compressed import opened, stored
from grambench.data.tables.tsv import MalformedError, check_unique
from grambench.domains.news.formats import mind_rows
from grambench.errors import DataError

Split = Literal["train", "dev", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)
NEWS_FILE, BEHAVIORS_FILE = "news.tsv", "behaviors.tsv"
BODIES_FILES = ("bodies.tsv", "bodies.parquet")


@dataclass(frozen=True, slots=True, eq=False)
class Bodies:
    """Article bodies: two large_string arrays of equal length; ids are distinct, bodies non-empty."""

    ids: pa.Array
    bodies: pa.Array

    def __len__(self) -> int:
        return len(self.ids)


def find_split(data_dir: Path, split: Split) -> Path | None:
    """The folder with a split's news.tsv and behaviors.tsv; None if there is none.

    Accepts `train/` or `MINDsmall_train/` (any `MIND*_train/`), and an archive's folder within it.

    Raises:
        DataError: several folders could be meant, or one of the two files is missing.
    """
    named = [data_dir / split] if (data_dir / split).is_dir() else []
    outer = named or _subfolders(data_dir, f"MIND*_{split}")
    folders = [inner for folder in outer for inner in _with_files(folder, split)]
    if len(folders) > 1:
        names = " and ".join(str(folder) for folder in folders)
        raise DataError(f"{names} could both be the {split} split.", "Keep one of them.")
    if not folders:
        if outer:
            raise DataError(
                f"{outer[0]} holds neither {NEWS_FILE} nor {BEHAVIORS_FILE}.",
                f"Put the extracted {split} files of MIND there.",
            )
        return None
    for name in (NEWS_FILE, BEHAVIORS_FILE):
        if not stored(folders[0] / name).is_file():
            raise DataError(
                f"{folders[0]} holds no {name}.", f"Put the extracted {split} files of MIND there."
            )
    return folders[0]


def holds_mind(data_dir: Path) -> bool:
    """Whether a folder, or a split's folder in it, has a news.tsv or behaviors.tsv."""
    return any(
        _with_files(place, split)
        for split in SPLITS
        for place in (data_dir, data_dir / split, *_subfolders(data_dir, f"MIND*_{split}"))
    )


def is_one_split(data_dir: Path) -> bool:
    """Whether a folder directly holds news.tsv and behaviors.tsv, without train, dev or test folders."""
    there = all(stored(data_dir / name).is_file() for name in (NEWS_FILE, BEHAVIORS_FILE))
    return there and all(find_split(data_dir, split) is None for split in SPLITS)


def is_unlabelled(folder: Path) -> bool:
    """Whether the first candidate of a split's behaviors.tsv has neither -0 nor -1."""
    with contextlib.suppress(OSError, EOFError), opened(stored(folder / BEHAVIORS_FILE)) as file:
        words = file.readline().decode(errors="replace").split("\t")[-1].split()
        return bool(words) and not mind_rows.has_label(words[0])
    return False


def split_folder(data_dir: Path, split: Split) -> Path:
    """As `find_split`, for a required split.

    Raises:
        DataError: the split or one of its files is missing.
    """
    if not data_dir.is_dir():
        raise DataError(
            f"There is no data folder {data_dir}.",
            "Name one with --data-dir, or download the data with `grambench data prepare`.",
        )
    folder = find_split(data_dir, split)
    if folder is None:
        raise DataError(
            f"{data_dir} has no {split} split: neither {split}/ nor MIND*_{split}/ exists.",
            f"Put MIND's {NEWS_FILE} and {BEHAVIORS_FILE} into {data_dir / split}.",
        )
    return folder


def find_bodies(data_dir: Path, folders: Sequence[Path]) -> list[Path]:
    """The bodies files in the data folder and in the splits' folders."""
    places = dict.fromkeys((data_dir, *folders))
    found = (stored(place / name) for place in places for name in BODIES_FILES)
    return [path for path in found if path.is_file()]


def read_bodies(paths: Sequence[Path]) -> Bodies:
    """Read bodies.tsv (id, tab, body) and bodies.parquet (columns `id` or `news_id`, and `body`).

    If two files have a body for the same id, the first file's is kept.

    Raises:
        DataError: a file is missing, empty or malformed (`FILE:LINE: found X, expected Y`).
    """
    read = [_read_parquet(path) if path.suffix == ".parquet" else _read_tsv(path) for path in paths]
    ids = pa.concat_arrays([pa.array([], pa.large_string()), *(ids for ids, _ in read)])
    bodies = pa.concat_arrays([pa.array([], pa.large_string()), *(texts for _, texts in read)])
    filled = pc.fill_null(pc.not_equal(bodies, ""), False)
    ids, bodies = ids.filter(filled), bodies.filter(filled)
    first = pc.index_in(ids.unique(), ids)
    return Bodies(ids.take(first), bodies.take(first))


def _read_tsv(path: Path) -> tuple[pa.Array, pa.Array]:
    try:
        parts = [tsv.columns_of(block, mind_rows.BODIES_COLUMNS, (0, 1)) for block in tsv.blocks(path)]
        ids, bodies = (pa.concat_arrays(column) for column in zip(*parts, strict=True))
        check_unique(ids, bodies)
        tsv.check_ids(ids)
        if headers.header_row((ids, bodies)) is not None:
            raise MalformedError
    except MalformedError:
        check = faults.check_ids("news")
        faults.raise_first_fault(path, mind_rows.BODIES_COLUMNS, check, mind_rows.BODIES)
    return ids, bodies


def _read_parquet(path: Path) -> tuple[pa.Array, pa.Array]:
    try:
        file = pq.ParquetFile(path)
        names = file.schema_arrow.names
        id_name = next((name for name in ("id", "news_id") if name in names), None)
        if id_name is None or "body" not in names:
            found = ", ".join(names)
            raise DataError(f"{path}: found columns {found}, expected id (or news_id) and body.")
        table = file.read(columns=[id_name, "body"])
        ids, bodies = (table[name].cast(pa.large_string()).combine_chunks() for name in (id_name, "body"))
        ids, bodies = pc.fill_null(ids, ""), pc.fill_null(bodies, "")
        check_unique(ids, bodies)
    except MalformedError as error:
        found = "found an empty id, or one with two bodies"
        raise DataError(f"{path}: {found}, expected every id once.") from error
    except (OSError, ValueError, pa.ArrowException) as error:
        raise DataError(f"{path} cannot be read as parquet: {error}.") from error
    return ids, bodies


def _subfolders(folder: Path, pattern: str) -> list[Path]:
    return sorted(path for path in folder.glob(pattern) if path.is_dir())


def _with_files(folder: Path, split: Split) -> list[Path]:
    """`folder` or (in some archives) its `MIND*_<split>/`, whichever holds MIND's files."""
    inner = _subfolders(folder, f"MIND*_{split}")
    return [
        place
        for place in (folder, *inner)
        if any(stored(place / name).is_file() for name in (NEWS_FILE, BEHAVIORS_FILE))
    ][:1]
