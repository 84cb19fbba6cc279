"""News from two plain tables with named columns, each a TSV, CSV or parquet file.

`items` (id, title; optional: abstract, category) and `impressions` (user, history, candidates; optional:
time, split). `data.tables.files` says how the files are read, and what a time may be.
Legend of shapes: R rows of a chunk, W words of a chunk.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from grambench.data.tables import files as table_files
from grambench.data.tables import tsv
from grambench.data.tables.faults import shown
from grambench.data.tables.files import (
    Chunk,
    Columns,
    TimeReader,
    place_of,
    read_items,
    table_sources,
    whole_seconds,
)
from grambench.data.tables.splits import read_split
from grambench.domains.news.formats.mind import Behaviors, News
from grambench.errors import DataError

Int64s = npt.NDArray[np.int64]
Int8s = npt.NDArray[np.int8]

NEWS_ITEMS = Columns(("id", "title"), ("abstract", "category"))
IMPRESSIONS = Columns(("user", "history", "candidates"), ("time", "split"))


def news_tables_files(folder: Path, exact: bool = False) -> dict[str, Path]:
    """The two tables of news data: `items` and `impressions`.

    Raises:
        DataError: a table is missing or exists in two formats, or lacks a column; the message names them.
    """
    tables = {"items": NEWS_ITEMS, "impressions": IMPRESSIONS}
    return table_sources(folder, {name: replace(columns, exact=exact) for name, columns in tables.items()})


def read_news_tables(
    folder: Path, block_bytes: int = tsv.BLOCK_BYTES, exact: bool = False
) -> tuple[News, Behaviors, Int8s | None]:
    """Read a folder's items and impressions as MIND's types, and each impression's part if given.

    Impressions are numbered from 1 by row.

    Histories are ids separated by blanks, oldest click first, or empty; candidates are ids followed by `-1`
    (clicked) or `-0`, separated by blanks. Subcategories are empty.

    Args:
        folder: holds the two tables.
        block_bytes: bytes of a TSV parsed at once; bounds the additional memory.
        exact: see `Columns`.

    Returns:
        the items, with ids in several rows where all rows have the same texts; the impressions; their parts.

    Raises:
        DataError: a table is missing, cannot be read or holds no rows; an id is empty, contains a blank or is
            repeated with another text; a row has no candidates, or a candidate no label; `split` is not
            train, validation or test; a time is malformed, or missing in only some rows. Messages name
            FILE:LINE or FILE, row N.
    """
    items_path, path = news_tables_files(folder, exact).values()
    columns = replace(NEWS_ITEMS, exact=exact)
    ids, (titles, abstracts, categories) = read_items(
        items_path, columns, ("title", "abstract"), block_bytes, ("category",)
    )
    _check_no_blanks(items_path, ids)
    subcategories = pa.repeat(pa.scalar("", pa.large_string()), len(ids))
    news = News(ids, categories, subcategories, titles, abstracts)
    return news, *_read_impressions(path, replace(IMPRESSIONS, exact=exact), block_bytes)


def _check_no_blanks(path: Path, ids: pa.Array) -> None:
    row = pc.index(pc.match_substring(ids, " "), True).as_py()
    if row >= 0:
        id_ = shown(ids[row].as_py())
        raise DataError(f"{place_of(path, row)}: found item id {id_}, expected an id without blanks.")


def _read_impressions(path: Path, columns: Columns, block_bytes: int) -> tuple[Behaviors, Int8s | None]:
    reader = TimeReader()
    parts = [
        (
            table_files.ids(chunk, "user").dictionary_encode(),
            reader.seconds(chunk),
            read_split(chunk),
            *_clicks(chunk),
        )
        for chunk in table_files.chunks(path, columns, block_bytes)
    ]
    users, seconds, splits, words, is_candidate, counts, labels = zip(*parts, strict=True)
    users_B, user_ids = tsv.unified(users)
    words_W, news_ids = tsv.unified(words)
    is_candidate_W = np.concatenate(is_candidate)
    history_offsets, candidate_offsets = (
        np.concatenate(([0], np.cumsum(counts_B))) for counts_B in np.concatenate(counts).T
    )
    behaviors = Behaviors(
        impression_ids=pa.array(np.arange(1, len(users_B) + 1)).cast(pa.large_string()),
        user_ids=user_ids,
        users=users_B,
        time_s=whole_seconds(np.concatenate(seconds)),
        news_ids=news_ids,
        history=words_W[~is_candidate_W],
        history_offsets=history_offsets,
        candidates=words_W[is_candidate_W],
        candidate_offsets=candidate_offsets,
        labels=np.concatenate(labels),
    )
    return behaviors, None if splits[0] is None else np.concatenate(splits)


def _clicks(chunk: Chunk) -> tuple[pa.Array, npt.NDArray[np.bool_], Int64s, Int8s]:
    """Ids of histories and candidates in file order, dictionary-encoded [W]; which are candidates [W];
    numbers of both per row [R, 2]; labels of the candidates.
    """
    clicked, clicked_rows = _words(chunk, "history")
    candidates, candidate_rows = _words(chunk, "candidates")
    counts_R2 = np.column_stack(
        [np.bincount(rows, minlength=len(chunk)) for rows in (clicked_rows, candidate_rows)]
    )
    chunk.check("candidates", counts_R2[:, 1] > 0, "at least one, such as N123-1")
    valid = pc.match_substring_regex(candidates, "(?s)^.+-[01]$").to_numpy(zero_copy_only=False)
    if not valid.all():
        first = int(np.argmin(valid))
        place = place_of(chunk.path, chunk.first_row + int(candidate_rows[first]))
        candidate = shown(candidates[first].as_py())
        raise DataError(f"{place}: found candidate {candidate}, expected N123-0 or N123-1.")
    labels = pc.ends_with(candidates, "1").to_numpy(zero_copy_only=False).astype(np.int8)
    words = pa.concat_arrays([clicked, pc.utf8_slice_codeunits(candidates, 0, -2)])
    fields = np.concatenate((2 * clicked_rows, 2 * candidate_rows + 1))
    order = np.argsort(fields, kind="stable")
    return words.take(pa.array(order)).dictionary_encode(), fields[order] % 2 == 1, counts_R2, labels


def _words(chunk: Chunk, name: str) -> tuple[pa.Array, Int64s]:
    """The blank-separated words of a column, and each one's row within the chunk."""
    lists = pc.split_pattern(table_files.texts(chunk, name), " ")
    words, rows = lists.flatten(), pc.list_parent_indices(lists)
    filled = pc.not_equal(words, "")
    return words.filter(filled), rows.filter(filled).to_numpy().astype(np.int64)
