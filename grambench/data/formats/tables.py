"""The plain form for anyone's own data: two tables with named columns, each a TSV, CSV or parquet file.

Knowledge tracing: `items` (id, text) and `interactions` (user, item, correct; optional: time, split).
News: `items` (id, title; optional: abstract, category) and `impressions` (user, history, candidates;
optional: time, split). `table_files` says how the files are read, and what a time may be.
Legend of shapes: I items, U users, A answers, R rows of a chunk, W words of a chunk.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from grambench.data.formats import mind_bytes, table_files
from grambench.data.formats.answers import MISSING_TIME, TEST, TRAIN, VALIDATION, Answers
from grambench.data.formats.mind import Behaviors, News
from grambench.data.formats.mind_lines import shown
from grambench.data.formats.table_files import Chunk, Columns, Floats, TimeReader, find_table, place_of
from grambench.errors import DataError

Int64s = npt.NDArray[np.int64]
Int8s = npt.NDArray[np.int8]

ITEMS = Columns(("id", "text"))
INTERACTIONS = Columns(("user", "item", "correct"), ("time", "split"))
NEWS_ITEMS = Columns(("id", "title"), ("abstract", "category"))
IMPRESSIONS = Columns(("user", "history", "candidates"), ("time", "split"))

_SPLITS = {"train": TRAIN, "validation": VALIDATION, "test": TEST}
_CORRECT = ("0", "1", "false", "true")


def tables_files(folder: Path) -> dict[str, Path]:
    """The two tables of knowledge-tracing data: `items` and `interactions`.

    Raises:
        DataError: a table is missing or there in two formats; the message names its columns.
    """
    return {
        "items": find_table(folder, "items", ITEMS),
        "interactions": find_table(folder, "interactions", INTERACTIONS),
    }


def news_tables_files(folder: Path) -> dict[str, Path]:
    """The two tables of news data: `items` and `impressions`.

    Raises:
        DataError: a table is missing or there in two formats; the message names its columns.
    """
    return {
        "items": find_table(folder, "items", NEWS_ITEMS),
        "impressions": find_table(folder, "impressions", IMPRESSIONS),
    }


def holds_news_tables(folder: Path) -> bool:
    """Whether a folder has a table of impressions, in any format."""
    return bool(table_files.tables_named(folder, "impressions"))


def read_tables(folder: Path, block_bytes: int = mind_bytes.BLOCK_BYTES) -> Answers:
    """Read a folder's items and interactions.

    Users come in order of first appearance; each one's answers by time, in row order where times are
    equal or missing. A fraction of a second orders answers and is then dropped. Answers to unknown items
    are left out and counted.

    Args:
        folder: holds the two tables.
        block_bytes: bytes of a TSV parsed at once; bounds the memory beside the result.

    Raises:
        DataError: a table is missing, cannot be read or holds no row; an id is empty or an item's id
            repeated; `correct` is not 0, 1, true or false (in parquet also 0.0 or 1.0); `split` is not
            train, validation or test; a time is malformed or missing in some rows only; a parquet value
            is null; no answer is to a known item. Messages name FILE:LINE or FILE, row N.
    """
    files = tables_files(folder)
    item_ids, item_texts = _read_items(files["items"], ITEMS, ("text",), block_bytes)
    parts = _interactions(files["interactions"], block_bytes)
    users, items, correct, seconds, splits = zip(*parts, strict=True)
    users_A, user_ids = mind_bytes.unified(users)
    codes_A, named = mind_bytes.unified(items)
    known = pc.fill_null(pc.index_in(named, value_set=item_ids), -1).to_numpy(zero_copy_only=False)
    items_A = known[codes_A]
    seconds_A = np.concatenate(seconds)
    order = _by_user_and_time(users_A, seconds_A)
    order = order[items_A[order] >= 0]
    left_out = len(items_A) - len(order)
    reason = f"answers to an item that {files['items'].name} does not list"
    if not len(order):
        raise DataError(f"{files['interactions']}: found only {reason}, expected at least one that it lists.")
    counts_U = np.bincount(users_A[order], minlength=len(user_ids))
    return Answers(
        item_ids=item_ids,
        texts=item_texts[0],
        user_ids=user_ids.filter(pa.array(counts_U > 0)),
        offsets=np.concatenate(([0], np.cumsum(counts_U[counts_U > 0]))),
        items=items_A[order],
        correct=np.concatenate(correct)[order],
        time_s=_whole(seconds_A[order]),
        split=None if splits[0] is None else np.concatenate(splits)[order],
        left_out={reason: left_out} if left_out else {},
    )


def read_news_tables(
    folder: Path, block_bytes: int = mind_bytes.BLOCK_BYTES
) -> tuple[News, Behaviors, Int8s | None]:
    """Read a folder's items and impressions as MIND's types, and the part of each impression if it is given.

    Impressions are numbered from 1 by row.

    Histories hold ids separated by blanks, oldest click first, or nothing; candidates are ids with `-1`
    (clicked) or `-0` behind them, separated by blanks. Subcategories are empty.

    Args:
        folder: holds the two tables.
        block_bytes: bytes of a TSV parsed at once; bounds the memory beside the result.

    Raises:
        DataError: as `read_tables`; also, an item's id holds a blank, a row has no candidates, or a
            candidate has no label.
    """
    files = news_tables_files(folder)
    names = ("title", "abstract", "category")
    ids, (titles, abstracts, categories) = _read_items(files["items"], NEWS_ITEMS, names, block_bytes)
    _check_no_blanks(files["items"], ids)
    subcategories = pa.repeat(pa.scalar("", pa.large_string()), len(ids))
    news = News(ids, categories, subcategories, titles, abstracts)
    return news, *_read_impressions(files["impressions"], block_bytes)


def _read_items(
    path: Path, columns: Columns, names: tuple[str, ...], block_bytes: int
) -> tuple[pa.Array, list[pa.Array]]:
    """Ids, distinct and non-empty, and the named columns of texts."""
    parts = [
        (table_files.ids(chunk, "id"), *(table_files.texts(chunk, name) for name in names))
        for chunk in table_files.chunks(path, columns, block_bytes)
    ]
    ids, *texts = (pa.concat_arrays(column) for column in zip(*parts, strict=True))
    codes = ids.dictionary_encode().indices.to_numpy()
    is_first = codes == np.arange(len(codes))
    if not is_first.all():
        row = int(np.argmin(is_first))
        raise DataError(
            f"{place_of(path, row)}: found item id {shown(ids[row].as_py())} again"
            f" (first: {place_of(path, int(codes[row]))}), expected every id once."
        )
    return ids, texts


def _interactions(
    path: Path, block_bytes: int
) -> Iterator[tuple[pa.Array, pa.Array, Int8s, Floats, Int8s | None]]:
    """Users and items, dictionary-encoded, correctness, seconds and split of each chunk."""
    reader = TimeReader(may_count=True)
    for chunk in table_files.chunks(path, INTERACTIONS, block_bytes):
        users, items = (table_files.ids(chunk, name).dictionary_encode() for name in ("user", "item"))
        yield users, items, _correct(chunk), reader.seconds(chunk), _split(chunk)


def _check_no_blanks(path: Path, ids: pa.Array) -> None:
    row = pc.index(pc.match_substring(ids, " "), True).as_py()
    if row >= 0:
        found = shown(ids[row].as_py())
        raise DataError(f"{place_of(path, row)}: found item id {found}, expected an id without blanks.")


def _by_user_and_time(users_A: npt.NDArray[np.int32], seconds_A: Floats) -> Int64s:
    """Rows sorted by user, then time, then row; times are all given or all NaN."""
    if np.isnan(seconds_A[0]):
        return np.argsort(users_A, kind="stable")
    return np.lexsort((seconds_A, users_A))


def _correct(chunk: Chunk) -> Int8s:
    array = chunk.columns["correct"]
    expected = "0 or 1 (or false or true)"
    if pa.types.is_large_string(array.type):
        places = pc.index_in(pc.ascii_lower(array), value_set=pa.array(_CORRECT, pa.large_string()))
        codes = pc.fill_null(places, -1).to_numpy(zero_copy_only=False)
        chunk.check("correct", codes >= 0, expected)
        return _as_int8(codes & 1)
    if not (table_files.is_number(array.type) or pa.types.is_boolean(array.type)):
        chunk.refuse_type("correct", "numbers, booleans or strings")
    numbers = array.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    chunk.check("correct", (numbers == 0) | (numbers == 1), expected)
    return _as_int8(numbers)


def _split(chunk: Chunk) -> Int8s | None:
    if "split" not in chunk.columns:
        return None
    places = pc.index_in(
        table_files.texts(chunk, "split"), value_set=pa.array(list(_SPLITS), pa.large_string())
    )
    codes = pc.fill_null(places, -1).to_numpy(zero_copy_only=False)
    chunk.check("split", codes >= 0, "train, validation or test")
    return _as_int8(np.array(list(_SPLITS.values()))[codes])


def _as_int8(codes: npt.NDArray[np.generic]) -> Int8s:
    return codes.astype(np.int8)


def _read_impressions(path: Path, block_bytes: int) -> tuple[Behaviors, Int8s | None]:
    reader = TimeReader()
    parts = [
        (
            table_files.ids(chunk, "user").dictionary_encode(),
            reader.seconds(chunk),
            _split(chunk),
            *_clicks(chunk),
        )
        for chunk in table_files.chunks(path, IMPRESSIONS, block_bytes)
    ]
    users, seconds, splits, words, is_candidate, counts, labels = zip(*parts, strict=True)
    users_B, user_ids = mind_bytes.unified(users)
    words_W, news_ids = mind_bytes.unified(words)
    is_candidate_W = np.concatenate(is_candidate)
    history_offsets, candidate_offsets = (
        np.concatenate(([0], np.cumsum(counts_B))) for counts_B in np.concatenate(counts).T
    )
    behaviors = Behaviors(
        impression_ids=pa.array(np.arange(1, len(users_B) + 1)).cast(pa.large_string()),
        user_ids=user_ids,
        users=users_B,
        time_s=_whole(np.concatenate(seconds)),
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
        found = shown(candidates[first].as_py())
        raise DataError(f"{place}: found candidate {found}, expected N123-0 or N123-1.")
    labels = _as_int8(pc.ends_with(candidates, "1").to_numpy(zero_copy_only=False))
    words = pa.concat_arrays([clicked, pc.utf8_slice_codeunits(candidates, 0, -2)])
    fields = np.concatenate((2 * clicked_rows, 2 * candidate_rows + 1))
    order = np.argsort(fields, kind="stable")
    return words.take(pa.array(order)).dictionary_encode(), fields[order] % 2 == 1, counts_R2, labels


def _words(chunk: Chunk, name: str) -> tuple[pa.Array, Int64s]:
    """The words of a column between its blanks, and the row within the chunk of each."""
    lists = pc.split_pattern(table_files.texts(chunk, name), " ")
    words, rows = lists.flatten(), pc.list_parent_indices(lists)
    filled = pc.not_equal(words, "")
    return words.filter(filled), rows.filter(filled).to_numpy().astype(np.int64)


def _whole(seconds: Floats) -> Int64s:
    """Whole seconds, rounded down; `MISSING_TIME` for NaN."""
    given = ~np.isnan(seconds)
    time_s = np.full(len(seconds), MISSING_TIME)
    time_s[given] = np.floor(seconds[given]).astype(np.int64)
    return time_s
