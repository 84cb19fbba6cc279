"""MIND: news.tsv and behaviors.tsv (https://github.com/msnews/msnews.github.io/blob/master/assets/doc/introduction.md).

Both are read in blocks of whole lines, vectorised; ids become indices into the file's distinct ids.
Legend of shapes: N news, B impressions, D distinct news ids of behaviors.tsv, H history clicks,
C candidates.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from grambench.data.tables import compressed, faults, headers, tsv
from grambench.data.tables.clock import MISSING_TIME
from grambench.data.tables.tsv import Bytes, Int64s, MalformedError
from grambench.domains.news.formats import mind_rows
from grambench.domains.news.formats.mind_folder import (
    Bodies,
    find_bodies,
    find_split,
    read_bodies,
    split_folder,
)
from grambench.domains.news.formats.mind_times import parse_times

__all__ = [
    "MISSING_TIME",
    "Behaviors",
    "Bodies",
    "News",
    "find_bodies",
    "find_split",
    "read_behaviors",
    "read_bodies",
    "read_news",
    "split_folder",
]

_BLANK = 32
_DASH, _ZERO, _ONE = 45, 48, 49


@dataclass(frozen=True, slots=True, eq=False)
class News:
    """Rows of a news.tsv; every field is a large_string array [N], non-null."""

    ids: pa.Array
    categories: pa.Array
    subcategories: pa.Array
    titles: pa.Array
    abstracts: pa.Array

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, slots=True, eq=False)
class Behaviors:
    """Rows of a behaviors.tsv in file order; histories and candidates are ragged, ids are indices."""

    impression_ids: pa.Array
    """large_string [B]."""
    user_ids: pa.Array
    """Distinct users, large_string, in order of first appearance."""
    users: npt.NDArray[np.int32]
    """[B] indices into `user_ids`."""
    time_s: Int64s
    """[B] POSIX seconds, taking the file's clock as UTC; `MISSING_TIME` where the field is empty."""
    news_ids: pa.Array
    """Distinct ids of histories and candidates, large_string [D], in order of first appearance."""
    history: npt.NDArray[np.int32]
    """[H] indices into `news_ids`, oldest click first."""
    history_offsets: Int64s
    """[B + 1]."""
    candidates: npt.NDArray[np.int32]
    """[C] indices into `news_ids`."""
    candidate_offsets: Int64s
    """[B + 1]."""
    labels: npt.NDArray[np.int8] | None
    """[C] 1 clicked, 0 not; None: the file is unlabelled."""

    def __len__(self) -> int:
        return len(self.users)


@dataclass(frozen=True, slots=True, eq=False)
class _Rows:
    """One block of behaviors.tsv."""

    impression_ids: pa.Array
    users: pa.Array
    time_s: Int64s
    tokens: pa.Array
    is_candidate: npt.NDArray[np.bool_]
    history_counts: Int64s
    candidate_counts: Int64s
    labels: npt.NDArray[np.int8] | None


def read_news(path: Path, block_bytes: int = tsv.BLOCK_BYTES) -> News:
    """Read a news.tsv: 8 fields per row, or fewer (`mind_rows.NEWS_FIELDS`); no header, no quoting.

    Raises:
        DataError: the file is missing or empty, or a row is malformed (`FILE:LINE: found X, expected
            Y`): not UTF-8, wrong number of fields, an id that is empty, repeated with another title or
            abstract, or has blanks or quotes, a header.
    """
    fields = _news_fields(path)
    wanted = mind_rows.NEWS_FIELDS[fields]
    try:
        parts = [tsv.columns_of(block, fields, wanted) for block in tsv.blocks(path, block_bytes)]
        read = [pa.concat_arrays(column) for column in zip(*parts, strict=True)]
        if len(read) == len(mind_rows.ID_TITLE_ABSTRACT):
            read[1:1] = [pa.repeat(pa.scalar("", pa.large_string()), len(read[0]))] * 2
        news = News(*read)
        tsv.check_unique(news.ids, news.titles, news.abstracts)
        tsv.check_ids(news.ids)
        if (
            headers.header_row((news.ids, news.categories, news.subcategories, news.titles, news.abstracts))
            is not None
        ):
            raise MalformedError
    except MalformedError:
        check = faults.check_ids("news", mind_rows.TEXTS[fields])
        faults.raise_first_fault(path, fields, check, mind_rows.NEWS)
    return news


def _news_fields(path: Path) -> int:
    """Fields of the first two rows of a news.tsv, if they agree and are known; else MIND's own number."""
    with contextlib.suppress(OSError), compressed.opened(path) as file:
        counts = {line.count(b"\t") + 1 for line in (file.readline(), file.readline()) if line}
        if len(counts) == 1 and counts <= mind_rows.NEWS_FIELDS.keys():
            return counts.pop()
    return mind_rows.NEWS_COLUMNS


def read_behaviors(path: Path, labelled: bool | None = None, block_bytes: int = tsv.BLOCK_BYTES) -> Behaviors:
    """Read a behaviors.tsv: 5 fields per row, no header, no quoting.

    Args:
        path: the file.
        labelled: True: every candidate must have a suffix `-0` or `-1` (train, dev); False: none has one;
            None: as the file's first candidate.
        block_bytes: bytes parsed at once; bounds the additional memory.

    Raises:
        DataError: the file is missing or empty, or a row is malformed (`FILE:LINE: found X, expected
            Y`): not UTF-8, wrong number of fields, a time that is malformed or outside 1990 to 2100, no
            candidates, a candidate unexpectedly with or without a label, or a header.
    """
    try:
        return _assemble(list(_parsed_blocks(path, labelled, block_bytes)))
    except MalformedError:
        check = mind_rows.check_behaviors(labelled)
        faults.raise_first_fault(path, mind_rows.BEHAVIORS_COLUMNS, check, mind_rows.BEHAVIORS)


def _parsed_blocks(path: Path, labelled: bool | None, block_bytes: int) -> Iterator[_Rows]:
    for block in tsv.blocks(path, block_bytes):
        rows = _parse_block(block, labelled)
        labelled = rows.labels is not None
        yield rows


def _parse_block(block: bytes, labelled: bool | None) -> _Rows:
    tsv.check_utf8(block)
    bytes_ = np.frombuffer(block, np.uint8)
    separators = np.flatnonzero(bytes_ <= _BLANK)
    kinds = bytes_[separators]
    is_field_end = (kinds == tsv.TAB) | (kinds == tsv.NEWLINE)
    is_separator = is_field_end | (kinds == _BLANK)
    if not is_separator.all():
        separators, is_field_end = separators[is_separator], is_field_end[is_separator]
    field_ends = np.flatnonzero(is_field_end)
    starts_RC, ends_RC = tsv.field_bounds(bytes_, separators[field_ends], mind_rows.BEHAVIORS_COLUMNS)
    time_s, malformed = parse_times(tsv.strings(block, starts_RC[:, 2], ends_RC[:, 2]))
    if malformed.any():
        raise MalformedError
    word_ends_RC = field_ends.reshape(ends_RC.shape)
    starts, ends, is_candidate, history_counts, candidate_counts = _words(
        separators, word_ends_RC, ends_RC[:, -1]
    )
    if not candidate_counts.all():
        raise MalformedError
    ends, labels = _labels(bytes_, starts, ends, is_candidate, labelled)
    return _Rows(
        impression_ids=tsv.strings(block, starts_RC[:, 0], ends_RC[:, 0]),
        users=tsv.strings(block, starts_RC[:, 1], ends_RC[:, 1]).dictionary_encode(),
        time_s=time_s,
        tokens=tsv.strings(block, starts, ends).dictionary_encode(),
        is_candidate=is_candidate,
        history_counts=history_counts,
        candidate_counts=candidate_counts,
        labels=labels,
    )


def _words(
    separators: Int64s, word_ends_RC: Int64s, line_ends_R: Int64s
) -> tuple[Int64s, Int64s, npt.NDArray[np.bool_], Int64s, Int64s]:
    """Bounds of the words of the history and impression fields, in file order.

    Args:
        separators: positions of blanks, tabs and newlines; word i ends at separators[i].
        word_ends_RC: index in `separators` of each field's end.
        line_ends_R: end of the last field, which may be followed by a carriage return.

    Returns:
        Starts and ends of the non-empty words, which of them are candidates, and the numbers of history
        words and of candidates per row.
    """
    ends = separators.copy()
    ends[word_ends_RC[:, 4]] = line_ends_R
    starts = np.concatenate(([0], separators[:-1] + 1))
    words_R2 = np.diff(word_ends_RC[:, 2:], axis=1)
    before_R = word_ends_RC[:, 2] - np.concatenate(([-1], word_ends_RC[:-1, 4]))
    lengths_R3 = np.column_stack((before_R, words_R2))
    kinds = np.repeat(np.tile(np.arange(3, dtype=np.int8), len(lengths_R3)), lengths_R3.ravel())
    wanted = (kinds > 0) & (starts < ends)
    filled = np.concatenate(([0], np.cumsum(wanted)))
    bounds_R3 = filled[word_ends_RC[:, 2:] + 1]
    counts_R2 = np.diff(bounds_R3, axis=1)
    return starts[wanted], ends[wanted], kinds[wanted] == 2, counts_R2[:, 0], counts_R2[:, 1]


def _labels(
    bytes_: Bytes,
    starts: Int64s,
    ends: Int64s,
    is_candidate: npt.NDArray[np.bool_],
    labelled: bool | None,
) -> tuple[Int64s, npt.NDArray[np.int8] | None]:
    """Strip `-0` and `-1` from the candidates; returns the new ends and the labels [C], if any."""
    candidate_starts, candidate_ends = starts[is_candidate], ends[is_candidate]
    last = bytes_[candidate_ends - 1]
    has_label = (
        (candidate_ends - candidate_starts > 2)
        & (bytes_[candidate_ends - 2] == _DASH)
        & ((last == _ZERO) | (last == _ONE))
    )
    if labelled is None:
        labelled = bool(has_label[0])
    if not (has_label if labelled else ~has_label).all():
        raise MalformedError
    if not labelled:
        return ends, None
    return ends - 2 * is_candidate, (last == _ONE).astype(np.int8)


def _assemble(blocks: list[_Rows]) -> Behaviors:
    users, user_ids = tsv.unified([block.users for block in blocks])
    tokens, news_ids = tsv.unified([block.tokens for block in blocks])
    is_candidate = np.concatenate([block.is_candidate for block in blocks])
    labels = [block.labels for block in blocks if block.labels is not None]
    return Behaviors(
        impression_ids=pa.concat_arrays([block.impression_ids for block in blocks]),
        user_ids=user_ids,
        users=users,
        time_s=np.concatenate([block.time_s for block in blocks]),
        news_ids=news_ids,
        history=tokens[~is_candidate],
        history_offsets=_offsets([block.history_counts for block in blocks]),
        candidates=tokens[is_candidate],
        candidate_offsets=_offsets([block.candidate_counts for block in blocks]),
        labels=np.concatenate(labels) if labels else None,
    )


def _offsets(counts: list[Int64s]) -> Int64s:
    return np.concatenate(([0], np.cumsum(np.concatenate(counts))))
