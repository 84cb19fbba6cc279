"""POJ: submissions to the Peking University online judge (poj_log.csv), one answer per row.

A submission is right if its verdict is "Accepted". Problem texts are supplied by the user (`contents`).
Legend of shapes: R rows of the log, A usable answers.
"""

import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from grambench.data.tables import clock, csv_file, faults
from grambench.data.tables.compressed import stored
from grambench.domains.knowledge_tracing.answers import REPEATED_ITEMS, Answers
from grambench.domains.knowledge_tracing.formats import contents
from grambench.errors import DataError

__all__ = ["LOG_FILE", "poj_files", "read_poj"]

LOG_FILE = "poj_log.csv"
ACCEPTED = "Accepted"

_USER, _TIME, _PROBLEM, _RESULT = COLUMNS = ("User", "Submit Time", "Problem", "Result")
_TIME_PATTERN = "^[0-9]{4}-[0-9]{2}-[0-9]{2}[ T][0-9]{2}:[0-9]{2}:[0-9]{2}$"


def poj_files(folder: Path) -> dict[str, Path]:
    """The log and the texts, by content.

    Raises:
        DataError: one of them is missing.
    """
    log = stored(folder / LOG_FILE)
    if not log.is_file():
        raise DataError(f"{folder} has no {LOG_FILE}.", "Put the log of submissions there.")
    return {"log": log, "contents": contents.find_contents(folder)}


def read_poj(folder: Path) -> Answers:
    """Read poj_log.csv and the texts.

    All items with texts are kept, in order. Answers of one user in the same second keep the log's order;
    users are in order of their first usable answer. Times have no zone and are taken as UTC.

    Raises:
        DataError: a file is missing or malformed (`FILE:ROW: found X, expected Y`; the header is row 1), or
            no answered problem has a text.
    """
    texts_path = contents.find_contents(folder)
    texts = contents.read_contents(texts_path)
    log_path = stored(folder / LOG_FILE)
    log = contents.read_columns(log_path, COLUMNS)
    log = log.set_column(1, _TIME, _seconds(log_path, log[_TIME]))
    items_R = pc.index_in(log[_PROBLEM], value_set=texts.ids)
    used = log.append_column("item", items_R).filter(pc.is_valid(items_R))
    if not len(used):
        raise DataError(
            f"{log_path}: found no answer to a problem of {texts_path}, expected at least one.",
            "Use the same ids in both files.",
        )
    users = used[_USER].combine_chunks().dictionary_encode()
    users_A, time_A = users.indices.to_numpy(), used[_TIME].to_numpy()
    by_user_and_time = np.lexsort((time_A, users_A))
    is_accepted_A = pc.equal(used[_RESULT], ACCEPTED).to_numpy()
    left_out = {
        "answers to a problem without a text": len(log) - len(used),
        "users without a usable answer": pc.count_distinct(log[_USER]).as_py() - len(users.dictionary),
        REPEATED_ITEMS: texts.repeated,
    }
    return Answers(
        item_ids=texts.ids,
        texts=texts.texts,
        user_ids=users.dictionary,
        offsets=np.concatenate(([0], np.cumsum(np.bincount(users_A)))),
        items=used["item"].to_numpy()[by_user_and_time],
        correct=is_accepted_A[by_user_and_time].astype(np.int8),
        time_s=time_A[by_user_and_time],
        left_out={reason: count for reason, count in left_out.items() if count},
    )


def _seconds(path: Path, times: pa.ChunkedArray) -> pa.ChunkedArray:
    """Texts [R] -> POSIX seconds, int64 [R].

    Raises:
        DataError: names the first time that is malformed or outside 1990 to 2100.
    """
    is_time_R = pc.match_substring_regex(times, _TIME_PATTERN)
    if pc.all(is_time_R).as_py():
        try:
            seconds_R = times.cast(pa.timestamp("s")).cast(pa.int64())
        except pa.ArrowInvalid:
            is_time_R = pa.array([_is_time(time) for time in times.to_pylist()])
        else:
            late_R = pc.less(seconds_R, clock.LATEST_S)
            is_time_R = pc.and_(pc.greater_equal(seconds_R, clock.EARLIEST_S), late_R)
            if pc.all(is_time_R).as_py():
                return seconds_R
    row = pc.index(is_time_R, False).as_py()
    hint = clock.guess(times[row].as_py())
    raise DataError(
        f"{path}:{row + csv_file.FIRST_ROW}: found {_TIME} {faults.shown(times[row].as_py())},"
        f" expected a time such as 2019-11-30 09:05:58, of {clock.SPAN}{': ' if hint else ''}{hint}."
    )


def _is_time(text: str) -> bool:
    try:
        datetime.datetime.fromisoformat(text)
    except ValueError:
        return False
    return True
