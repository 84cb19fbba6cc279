"""The POJ reader and the texts that users supply: fields, orders, what is left out, each fault by row."""

import calendar
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from grambench.data.tables import csv_file
from grambench.domains.knowledge_tracing.answers import Answers
from grambench.domains.knowledge_tracing.formats.contents import find_contents, read_contents
from grambench.domains.knowledge_tracing.formats.poj import read_poj
from grambench.errors import DataError

HEADER = "User,Submit Time,Problem,Result"
ROWS = [
    "ann,2019-03-01 10:00:02,1001,Wrong Answer",
    "bob,2019-03-01T10:00:00,1000,Accepted",
    "ann,2019-03-01 10:00:01,1000,Accepted",
    "ann,2019-03-01 10:00:02,1000,Runtime Error",
]
TEXTS = '1002\tNever tried\n1000\tA+B Problem\n1001\tSay "hi"\n'
TEN_S = calendar.timegm((2019, 3, 1, 10, 0, 0))

NOT_UTF8 = pa.array([b"\xff"]).cast(pa.string(), safe=False)


def poj(folder: Path, log: str | bytes | None = None, texts: str | bytes = TEXTS) -> Path:
    log = "\n".join([HEADER, *ROWS, ""]) if log is None else log
    for name, content in (("poj_log.csv", log), ("contents.tsv", texts)):
        (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
    return folder


def as_rows(answers: Answers) -> dict[str, list[tuple[str, int, int]]]:
    ids = answers.item_ids.to_pylist()
    triples = list(
        zip(
            [ids[item] for item in answers.items],
            answers.correct.tolist(),
            answers.time_s.tolist(),
            strict=True,
        )
    )
    bounds = zip(answers.offsets[:-1], answers.offsets[1:], strict=True)
    users = answers.user_ids.to_pylist()
    return {user: triples[start:end] for user, (start, end) in zip(users, bounds, strict=True)}


GOOD = {
    "ann": [("1000", 1, TEN_S + 1), ("1001", 0, TEN_S + 2), ("1000", 0, TEN_S + 2)],
    "bob": [("1000", 1, TEN_S)],
}


def test_every_field_is_read_and_answers_of_one_second_keep_the_logs_order(tmp_path: Path) -> None:
    answers = read_poj(poj(tmp_path))
    assert as_rows(answers) == GOOD
    assert answers.item_ids.to_pylist() == ["1002", "1000", "1001"]
    assert answers.texts.to_pylist() == ["Never tried", "A+B Problem", 'Say "hi"']
    assert answers.left_out == {}
    assert answers.split is None
    types = [array.dtype.name for array in (answers.offsets, answers.items, answers.correct, answers.time_s)]
    assert types == ["int64", "int32", "int8", "int64"]


def test_crlf_and_bom_and_a_missing_last_newline_change_nothing(tmp_path: Path) -> None:
    log = "\ufeff" + "\r\n".join([HEADER, *ROWS])
    answers = read_poj(poj(tmp_path, log, "\ufeff" + TEXTS.replace("\n", "\r\n").removesuffix("\r\n")))
    assert as_rows(answers) == GOOD
    assert answers.texts.to_pylist()[0] == "Never tried"


def test_columns_are_found_by_name_and_others_are_ignored(tmp_path: Path) -> None:
    lines = ['Run ID,Result,Problem,Memory,Submit Time,"User"']
    for row in ROWS:
        user, time, problem, result = row.split(",")
        lines.append(f'7,"{result}",{problem},,{time},{user}')
    assert as_rows(read_poj(poj(tmp_path, "\n".join(lines) + "\n"))) == GOOD


def test_a_quoted_field_may_hold_commas_quotes_and_newlines(tmp_path: Path) -> None:
    log = f'{HEADER}\n"a, ""b""\nc",2019-03-01 10:00:00,1000,Accepted\nNA,2019-03-01 10:00:00,1000,null\n'
    assert as_rows(read_poj(poj(tmp_path, log))) == {
        'a, "b"\nc': [("1000", 1, TEN_S)],
        "NA": [("1000", 0, TEN_S)],
    }


def test_quoted_newlines_may_lie_at_a_blocks_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_file, "_BLOCK_BYTES", 100)
    users = [f"a{number}\n\nb" for number in range(50)]
    lines = [f'"{user}",2019-03-01 10:00:00,1000,Accepted' for user in users]
    answers = read_poj(poj(tmp_path, "\n".join([HEADER, *lines])))
    assert as_rows(answers) == {user: [("1000", 1, TEN_S)] for user in users}


def test_problems_without_a_text_and_users_left_without_answers_are_counted(tmp_path: Path) -> None:
    extra = ["cid,2019-03-01 10:00:00,9,Accepted", "bob,2019-03-01 10:00:00,9,Accepted"]
    answers = read_poj(poj(tmp_path, "\n".join([HEADER, extra[0], *ROWS, extra[1]])))
    assert as_rows(answers) == GOOD
    assert answers.left_out == {
        "answers to a problem without a text": 2,
        "users without a usable answer": 1,
    }


@pytest.mark.parametrize(
    "time", ["", "2019-02-30 10:00:00", "2019-03-01", "01/03/2019 10:00:00", "24:00", "\x1b[2J"]
)
def test_a_bad_or_empty_time_is_named(tmp_path: Path, time: str) -> None:
    folder = poj(tmp_path, "\n".join([HEADER, *ROWS, f"ann,{time},1000,Accepted", f"ann,{time},1000,x"]))
    found = f"Submit Time {time!r}" if time else "an empty Submit Time"
    with pytest.raises(DataError, match=re.escape(f"{folder / 'poj_log.csv'}:6: found {found}, expected")):
        read_poj(folder)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("ann,2019-03-01 10:00:00,1000", "found 3 comma-separated fields in 'ann,2019-03-01 10:00:00,1000'"),
        ("ann,2019-03-01 10:00:00,1000,Accepted,x", "found 5 comma-separated fields"),
        (",2019-03-01 10:00:00,1000,Accepted", "found an empty User, expected one"),
        ("ann,2019-03-01 10:00:00,,Accepted", "found an empty Problem, expected one"),
        ("ann,2019-03-01 10:00:00,1000,", "found an empty Result, expected one"),
        ("", "found an empty User, expected one"),
        (b"ann\xff,2019-03-01 10:00:00,1000,Accepted", "found byte 0xff, expected valid UTF-8"),
    ],
)
def test_a_malformed_row_is_named(tmp_path: Path, row: str | bytes, message: str) -> None:
    row = row if isinstance(row, bytes) else row.encode()
    folder = poj(tmp_path, "\n".join([HEADER, *ROWS, ""]).encode() + row + b"\n" + ROWS[0].encode())
    with pytest.raises(DataError, match=re.escape(f"{folder / 'poj_log.csv'}:6: {message}")):
        read_poj(folder)


@pytest.mark.parametrize(
    ("log", "message"),
    [
        ("", ":1: found an empty file, expected a header"),
        (HEADER, ": found only a header, expected rows"),
        (HEADER + "\r\n", ": found only a header, expected rows"),
        ("User,Problem,Result\n", ":1: found the columns 'User,Problem,Result', expected User, Submit Time,"),
        (HEADER + ",User\n", ":1: found the columns"),
        (HEADER + '\nann,2019-03-01 10:00:00,1000,"Accepted\n', ":2: found a quote that is never closed"),
        (HEADER + "\nann,2019-03-01 10:00:00,9,Accepted\n", ": found no answer to a problem of"),
    ],
)
def test_a_log_without_answers_is_refused(tmp_path: Path, log: str, message: str) -> None:
    folder = poj(tmp_path, log)
    with pytest.raises(DataError, match=re.escape(f"{folder / 'poj_log.csv'}{message}")):
        read_poj(folder)


def test_a_missing_log_is_named(tmp_path: Path) -> None:
    (poj(tmp_path) / "poj_log.csv").unlink()
    with pytest.raises(DataError, match=r"poj_log\.csv cannot be read: No such file"):
        read_poj(tmp_path)


def test_missing_texts_are_explained(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"texts of this data set are private.*id, tab, text.*contents\.parquet"
    ):
        find_contents(tmp_path)


def test_two_files_of_texts_are_refused(tmp_path: Path) -> None:
    for name in ("contents.tsv", "contents.parquet"):
        (tmp_path / name).touch()
    with pytest.raises(DataError, match="could both hold the texts"):
        find_contents(tmp_path)


@pytest.mark.parametrize("header", ["", "id\ttext\n", "\ufeffid\ttext\r\n"])
def test_the_header_of_contents_is_optional(tmp_path: Path, header: str) -> None:
    path = tmp_path / "contents.tsv"
    path.write_text(header + "q2\tid\nq1\t\n", encoding="utf-8", newline="")
    read = read_contents(path)
    assert (read.ids.to_pylist(), read.texts.to_pylist()) == (["q2", "q1"], ["id", ""])
    assert (read.ids.type, read.texts.type) == (pa.large_string(), pa.large_string())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", ":1: found an empty file"),
        (b"id\ttext\n", ": found no item"),
        (b"q1\ta\nq2\tb\tc\n", ":2: found 3 tab-separated fields, expected 2"),
        (b"id\ttext\nq1\ta\n\n", ":3: found 1 tab-separated field, expected 2"),
        (
            b"id\ttext\nq1\ta\nq2\tb\nq1\tb\n",
            ":4: found id 'q1' again (first on line 2) with another text, expected every id once",
        ),
        (b"q1\ta\n\tb\n", ":2: found an empty id"),
        (b"q1\ta\nq2\t\xff\n", ":2: found byte 0xff at byte 4, expected valid UTF-8"),
    ],
)
def test_malformed_contents_are_named_by_line(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "contents.tsv"
    path.write_bytes(content)
    with pytest.raises(DataError, match=re.escape(f"{path}{message}")):
        read_contents(path)


def test_contents_may_be_parquet_with_numbers_as_ids(tmp_path: Path) -> None:
    table = {"text": ["A+B Problem", None], "id": [1000, 1001], "more": [1, 2]}
    pq.write_table(pa.table(table), tmp_path / "contents.parquet")
    read = read_contents(find_contents(tmp_path))
    assert (read.ids.to_pylist(), read.texts.to_pylist()) == (["1000", "1001"], ["A+B Problem", ""])
    assert (read.ids.type, read.texts.type) == (pa.large_string(), pa.large_string())


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"id": ["q1", "q2", "q1"], "text": ["a", "b", "c"]}, ":3: found id 'q1' again (first on row 1)"),
        ({"id": ["q1", None], "text": ["a", "b"]}, ":2: found an empty id"),
        ({"id": ["q1"], "body": ["a"]}, ": found columns 'id, body', expected id and text"),
        ({"id": ["q1"], "text": NOT_UTF8}, " cannot be read as parquet: Invalid UTF8"),
        ({"id": ["q1"], "text": [[1]]}, " cannot be read as parquet"),
    ],
)
def test_malformed_parquet_contents_are_named(
    tmp_path: Path, columns: dict[str, object], message: str
) -> None:
    path = tmp_path / "contents.parquet"
    pq.write_table(pa.table(columns), path)
    with pytest.raises(DataError, match=re.escape(f"{path}{message}")):
        read_contents(path)


def test_a_damaged_parquet_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "contents.parquet"
    path.write_bytes(b"PAR1")
    with pytest.raises(DataError, match=re.escape(f"{path} cannot be read as parquet")):
        read_contents(path)
