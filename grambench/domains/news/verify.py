"""`grambench data verify` for a MIND folder: counts and problems, without a model."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from grambench.data.cautions import ONE_SPLIT, part_caution, why_unscored
from grambench.data.tables.clock import MISSING_TIME
from grambench.data.tables.compressed import stored
from grambench.data.tables.tsv import first_rows
from grambench.data.verification import (
    EXAMPLES,
    CheckedFolder,
    FileCheck,
    Problem,
    Size,
    Strict,
    contents_line,
    mean_characters,
)
from grambench.domains.news.checksums import origin
from grambench.domains.news.formats.catalogue import Catalogue, merge_news
from grambench.domains.news.formats.mind import Behaviors, News, read_news
from grambench.domains.news.formats.mind_folder import (
    BEHAVIORS_FILE,
    NEWS_FILE,
    SPLITS,
    Split,
    find_bodies,
    find_split,
    is_one_split,
    read_bodies,
    split_folder,
)
from grambench.domains.news.sources import read_impressions


class Counts(Strict):
    """Counts of items and impressions; examples of impressions are impression ids."""

    files: tuple[FileCheck, ...]
    news: int
    impressions: int
    users: int
    labelled: bool
    history_clicks: int
    candidates: int
    clicks: int | None
    """Candidates labelled 1; None if the split is unlabelled."""
    empty_histories: Problem
    no_click_impressions: Problem | None
    all_click_impressions: Problem | None
    one_class_impressions: int | None
    """Sum of the two above: AUC is undefined on them."""
    missing_times: Problem
    unknown_history: Problem
    """Ids in histories without a row in any news.tsv of the folder, or in the table of items."""
    unknown_candidates: Problem
    """Ids of candidates without such a row."""


class SplitCheck(Counts):
    """Counts of one split."""

    folder: str
    foreign_history: Problem
    """Ids in histories that only another split's news.tsv lists."""
    foreign_candidates: Problem
    """Ids of candidates that only another split's news.tsv lists."""
    repeated_rows: Problem
    """Rows of its news.tsv that repeat an id with the same text; they count once."""


class Verification(CheckedFolder):
    """The whole folder."""

    splits: dict[Split, SplitCheck]
    news: int
    """Distinct news ids across the splits."""
    unknown_ids: Problem
    """Ids in histories and candidates of all splits that no news.tsv lists."""
    repeated_news_same_text: Problem
    """News ids in several rows, mostly of several splits, with the same text."""
    repeated_news_other_text: Problem
    """News ids in several splits with different titles or abstracts."""
    news_without_body: int | None
    """News without a body in bodies.tsv or bodies.parquet; None if there is no such file."""


def verify(data_dir: Path, dataset: str | None = None, predictions: bool = False) -> Verification:
    """Read every split of a folder and count.

    Args:
        data_dir: folder with `train/`, `dev/` or `test/` (or MIND's own folder names).
        dataset: name of a data set in `KNOWN_FILES`, to compare the files with the published ones.
        predictions: dev may be unlabelled.

    Raises:
        DataError: there is no split, a split lacks a file, or a row is malformed (file and line).
    """
    splits = {split: find_split(data_dir, split) for split in SPLITS} if data_dir.is_dir() else {}
    folders = {split: folder for split, folder in splits.items() if folder is not None}
    is_one = data_dir.is_dir() and is_one_split(data_dir)
    if is_one:
        folders["train"] = data_dir
    if not folders:
        split_folder(data_dir, "train")
    news = {split: read_news(stored(folder / NEWS_FILE)) for split, folder in folders.items()}
    catalogue = merge_news(list(news.values()))
    checks: dict[Split, SplitCheck] = {}
    unknown: list[tuple[pa.Array, int]] = []
    read: list[Behaviors] = []
    for split, folder in folders.items():
        behaviors = read_impressions(folder, split, predictions)
        checks[split] = _check(split, folder, dataset, news[split], behaviors, catalogue.ids)
        unknown.append(_unknown(behaviors, catalogue.ids))
        read.append(behaviors)
    bodies = find_bodies(data_dir, list(folders.values()))
    return Verification(
        data_dir=str(data_dir),
        dataset=dataset,
        splits=checks,
        news=len(catalogue),
        unknown_ids=_problem(
            pa.concat_arrays([ids for ids, _ in unknown]).unique(), sum(count for _, count in unknown)
        ),
        repeated_news_same_text=_problem(catalogue.repeated_same),
        repeated_news_other_text=_problem(catalogue.repeated_other),
        contents=news_line(catalogue, read),
        size=news_size(catalogue, checks["train"]) if "train" in checks else None,
        news_without_body=_without_body(catalogue.ids, bodies) if bodies else None,
        cautions=(
            *([ONE_SPLIT] if is_one else []),
            *(
                words
                for split, check in checks.items()
                for words in split_cautions(split, check, f"{split} split")
            ),
        ),
    )


def news_line(catalogue: Catalogue, read: Sequence[Behaviors]) -> str:
    """Items and impressions in one line."""
    users, named = (
        pa.concat_arrays([getattr(behaviors, name) for behaviors in read]).unique()
        for name in ("user_ids", "news_ids")
    )
    counts = {
        "items": len(catalogue),
        "impressions": sum(map(len, read)),
        "users": len(users),
        "empty titles": pc.sum(pc.equal(catalogue.titles, "")).as_py(),
        "repeated ids": len(catalogue.repeated_same) if len(read) == 1 else 0,  # usual between splits
        "unknown ids": len(named) - pc.sum(pc.is_in(named, catalogue.ids)).as_py(),
    }
    return contents_line(counts, np.concatenate([behaviors.time_s for behaviors in read]))


def news_size(catalogue: Catalogue, trained: Counts) -> Size:
    """The size of the data, of which `trained` is divided into parts."""
    return Size(
        items=len(catalogue),
        samples=trained.clicks or 0,
        history=trained.history_clicks / max(1, trained.impressions),
        characters=mean_characters(title=catalogue.titles, abstract=catalogue.abstracts),
    )


def split_cautions(name: str, check: Counts, label: str) -> list[str]:
    """Warnings about labelled impressions."""
    if check.one_class_impressions is None:
        return []
    scored = check.impressions - check.one_class_impressions
    caution = part_caution(
        name, scored, "impression", why_unscored(check.impressions, check.clicks or 0), label
    )
    return [caution[1]] if caution is not None else []


def _check(
    split: Split, folder: Path, dataset: str | None, news: News, behaviors: Behaviors, known: pa.Array
) -> SplitCheck:
    in_split = pc.is_in(behaviors.news_ids, news.ids).to_numpy(zero_copy_only=False)
    in_folder = pc.is_in(behaviors.news_ids, known).to_numpy(zero_copy_only=False)
    ids = behaviors.news_ids
    return SplitCheck(
        folder=str(folder),
        files=tuple(_file(stored(folder / name), split, dataset) for name in (NEWS_FILE, BEHAVIORS_FILE)),
        **counts(len(news), behaviors, known),
        foreign_history=_items(ids, behaviors.history, in_folder & ~in_split),
        foreign_candidates=_items(ids, behaviors.candidates, in_folder & ~in_split),
        repeated_rows=_repeated(news.ids),
    )


def counts(news: int, behaviors: Behaviors, known: pa.Array) -> dict[str, Any]:
    """The fields of `Counts` except the files.

    Args:
        news: number of item rows.
        behaviors: the impressions.
        known: ids with a row.
    """
    is_unknown = ~pc.is_in(behaviors.news_ids, known).to_numpy(zero_copy_only=False)
    no_click, all_click = _one_class(behaviors)
    return {
        "news": news,
        "impressions": len(behaviors),
        "users": len(behaviors.user_ids),
        "labelled": behaviors.labels is not None,
        "history_clicks": len(behaviors.history),
        "candidates": len(behaviors.candidates),
        "clicks": None if behaviors.labels is None else int(behaviors.labels.sum()),
        "empty_histories": _impressions(behaviors, np.diff(behaviors.history_offsets) == 0),
        "no_click_impressions": no_click,
        "all_click_impressions": all_click,
        "one_class_impressions": (
            None if no_click is None or all_click is None else no_click.occurrences + all_click.occurrences
        ),
        "missing_times": _impressions(behaviors, behaviors.time_s == MISSING_TIME),
        "unknown_history": _items(behaviors.news_ids, behaviors.history, is_unknown),
        "unknown_candidates": _items(behaviors.news_ids, behaviors.candidates, is_unknown),
    }


def _repeated(ids: pa.Array) -> Problem:
    rows = np.flatnonzero(first_rows(ids) != np.arange(len(ids)))
    repeated = ids.take(pa.array(rows))
    return _problem(repeated.unique(), len(repeated))


def _file(path: Path, split: Split, dataset: str | None) -> FileCheck:
    named = f"{split}/{path.name}"
    return FileCheck(path=str(path), bytes=path.stat().st_size, origin=origin(dataset, named, path))


def _one_class(behaviors: Behaviors) -> tuple[Problem, Problem] | tuple[None, None]:
    if behaviors.labels is None:
        return None, None
    clicks = np.add.reduceat(behaviors.labels, behaviors.candidate_offsets[:-1], dtype=np.int64)
    counts = np.diff(behaviors.candidate_offsets)
    return _impressions(behaviors, clicks == 0), _impressions(behaviors, clicks == counts)


def _impressions(behaviors: Behaviors, affected: npt.NDArray[np.bool_]) -> Problem:
    return _problem(behaviors.impression_ids.filter(pa.array(affected)))


def _items(ids: pa.Array, positions: npt.NDArray[np.int32], affected: npt.NDArray[np.bool_]) -> Problem:
    """Occurrences of the affected ids in `positions`; ids in order of first appearance."""
    hits = positions[affected[positions]]
    distinct, first = np.unique(hits, return_index=True)
    return _problem(ids.take(pa.array(distinct[np.argsort(first)])), len(hits))


def _unknown(behaviors: Behaviors, known: pa.Array) -> tuple[pa.Array, int]:
    """Distinct ids that no news.tsv lists, and their occurrences in histories and candidates."""
    unknown = ~pc.is_in(behaviors.news_ids, known).to_numpy(zero_copy_only=False)
    occurrences = sum(int(unknown[items].sum()) for items in (behaviors.history, behaviors.candidates))
    return behaviors.news_ids.filter(pa.array(unknown)), occurrences


def _problem(distinct: pa.Array, occurrences: int | None = None) -> Problem:
    return Problem(
        occurrences=len(distinct) if occurrences is None else occurrences,
        distinct=len(distinct),
        examples=tuple(distinct[:EXAMPLES].to_pylist()),
    )


def _without_body(ids: pa.Array, paths: Iterable[Path]) -> int:
    known = pc.is_in(ids, read_bodies(list(paths)).ids)
    return len(ids) - int(pc.sum(known).as_py() or 0)
