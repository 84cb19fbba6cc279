"""The plain tables: every field and fault, and TSV against parquet and against MIND's own reader."""

import datetime
import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from grambench.data.tables.clock import MISSING_TIME
from grambench.data.tables.splits import TEST, TRAIN, VALIDATION
from grambench.domains.knowledge_tracing.answers import Answers
from grambench.domains.knowledge_tracing.formats import tables
from grambench.domains.news.formats import mind
from grambench.domains.news.formats import tables as news_tables
from grambench.errors import DataError

ITEMS = 'id\ttext\nq1\tone plus one\nq2\t\nq3\tsay "three"\n'
INTERACTIONS = """user	item	correct	time	split
u2	q1	1	30	train
u1	q3	0	20	train
u2	q2	0	10	validation
u1	q3	1	20	test
"""
Y2K = 946_684_800
NEWS = "id\ttitle\tabstract\tcategory\nN1\tfirst\tlong\tnews\nN2\tsecond\t\tsport\n"
IMPRESSIONS = (
    "user\ttime\thistory\tcandidates\n"
    "U1\t1573463160\tN1 N2\tN3-1 N1-0\nU2\t1573463161\t\tN2-0\nU1\t1573463162\tN3\tN1-1\n"
)


def put(folder: Path, content: dict[str, str | bytes]) -> Path:
    for name, text in content.items():
        (folder / f"{name}.tsv").write_bytes(text if isinstance(text, bytes) else text.encode())
    return folder


def put_parquet(folder: Path, **content: dict[str, Any]) -> Path:
    for name, columns in content.items():
        pq.write_table(pa.table(columns), folder / f"{name}.parquet")
    return folder


def read(folder: Path, interactions: str, items: str = ITEMS, block_bytes: int = 1 << 20) -> Answers:
    return tables.read_tables(put(folder, {"items": items, "interactions": interactions}), block_bytes)


def as_rows(answers: Answers) -> list[tuple[Any, ...]]:
    """(user, item, correct, time or None, split or None) in order."""
    users, ids = answers.user_ids.to_pylist(), answers.item_ids.to_pylist()
    split = [None] * len(answers) if answers.split is None else answers.split.tolist()
    return [
        (
            user,
            ids[answers.items[place]],
            int(answers.correct[place]),
            None if answers.time_s[place] == MISSING_TIME else int(answers.time_s[place]),
            split[place],
        )
        for number, user in enumerate(users)
        for place in range(answers.offsets[number], answers.offsets[number + 1])
    ]


SORTED = [
    ("u2", "q2", 0, 10, VALIDATION),
    ("u2", "q1", 1, 30, TRAIN),
    ("u1", "q3", 0, 20, TRAIN),
    ("u1", "q3", 1, 20, TEST),
]


@pytest.mark.parametrize("block_bytes", [5, 60, 1 << 20])
def test_answers_come_by_user_and_time_and_equal_times_keep_row_order(
    tmp_path: Path, block_bytes: int
) -> None:
    answers = read(tmp_path, INTERACTIONS, block_bytes=block_bytes)
    assert as_rows(answers) == SORTED
    assert answers.texts.to_pylist() == ["one plus one", "", 'say "three"']
    assert answers.left_out == {}
    dtypes = (answers.items.dtype, answers.correct.dtype, answers.time_s.dtype, answers.offsets.dtype)
    assert dtypes == (np.int32, np.int8, np.int64, np.int64)
    assert answers.item_ids.type == answers.texts.type == answers.user_ids.type == pa.large_string()


def test_crlf_and_bom_change_nothing(tmp_path: Path) -> None:
    def windows(text: str) -> str:
        return "\ufeff" + text.replace("\n", "\r\n")

    assert as_rows(read(tmp_path, windows(INTERACTIONS), windows(ITEMS))) == SORTED


def test_columns_are_found_by_name_and_others_ignored(tmp_path: Path) -> None:
    lines = [line.split("\t") for line in INTERACTIONS.splitlines()]
    turned = "".join("\t".join((split, "x", *row[::-1])) + "\n" for *row, split in lines)
    assert as_rows(read(tmp_path, turned)) == SORTED


def test_without_times_and_split_row_order_is_time_order(tmp_path: Path) -> None:
    for header, end in (("user\titem\tcorrect", ""), ("user\titem\tcorrect\ttime", "\t")):
        rows = f"{header}\nb\tq1\t0{end}\na\tq2\ttrue{end}\nb\tq3\tFalse{end}"
        answers = read(tmp_path, rows)
        assert as_rows(answers) == [
            ("b", "q1", 0, None, None),
            ("b", "q3", 0, None, None),
            ("a", "q2", 1, None, None),
        ]
        assert answers.split is None


def test_answers_to_unknown_items_are_left_out_and_counted(tmp_path: Path) -> None:
    answers = read(tmp_path, "user\titem\tcorrect\nu1\tq9\t1\nu2\tq8\t1\nu1\tq1\t0\n")
    assert as_rows(answers) == [("u1", "q1", 0, None, None)]
    assert answers.left_out == {"answers to an item that items.tsv does not list": 2}


def test_no_answer_to_a_known_item_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"interactions\.tsv: found only answers to an item that items\.tsv"):
        read(tmp_path, "user\titem\tcorrect\nu1\tq9\t1\n")


@pytest.mark.parametrize(
    ("times", "seconds"),
    [
        (["2", "-7", "1e1"], [-7, 2, 10]),
        (["1.75", "1.5", "-0.5"], [-1, 1, 1]),
        (["1700000001", "1700000000.5"], [1_700_000_000, 1_700_000_001]),
        (["2000-01-01T00:01:00", "2000-01-01 00:00:01.5", "2000-01-02"], [Y2K + 1, Y2K + 60, Y2K + 86_400]),
        (["2000-01-01T01:00:00+01:00", "2000-01-01T00:00:00.1Z", "2000-01-01T00:00Z"], [Y2K] * 3),
    ],
)
def test_times_are_seconds_or_iso_date_times(tmp_path: Path, times: list[str], seconds: list[int]) -> None:
    rows = "".join(f"u1\tq{number}\t1\t{time}\n" for number, time in enumerate(times, start=1))
    assert [row[3] for row in as_rows(read(tmp_path, "user\titem\tcorrect\ttime\n" + rows))] == seconds


def test_a_fraction_of_a_second_orders_answers(tmp_path: Path) -> None:
    rows = "u1\tq1\t1\t5.75\nu1\tq2\t1\t5.25\n"
    assert [row[1] for row in as_rows(read(tmp_path, "user\titem\tcorrect\ttime\n" + rows))] == ["q2", "q1"]


@pytest.mark.parametrize(
    ("first", "bad"),
    [
        ("5", ""),
        ("", "5"),
        ("5", "2024-05-01"),
        ("2024-05-01", "5"),
        ("2024-05-01", "2024-05-01T10:00:00Z"),
        ("2024-05-01T10:00:00Z", "2024-05-01T10:00:00"),
        ("2024-02-29", "2023-02-29"),
        ("2024-02-29", "2024-02-29T24:00:00"),
        ("5", "nan"),
        ("5", "inf"),
        ("5", "0x10"),
        ("5", " 6"),
        ("5", "1e999"),
    ],
)
@pytest.mark.parametrize("block_bytes", [5, 1 << 20])
def test_a_malformed_time_or_one_of_another_kind_is_named(
    tmp_path: Path, first: str, bad: str, block_bytes: int
) -> None:
    rows = "".join(f"u1\tq1\t1\t{time}\n" for time in (first, first, bad, first))
    message = f"interactions.tsv:4: found time {bad!r}, expected seconds such as 12.5 or a date-time such as"
    with pytest.raises(DataError, match=f"{re.escape(message)}.*; the first row has "):
        read(tmp_path, "user\titem\tcorrect\ttime\n" + rows, block_bytes=block_bytes)


def test_a_malformed_first_time_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"\.tsv:2: found time 'noon', expected seconds .*05Z\.$"):
        read(tmp_path, "user\titem\tcorrect\ttime\nu1\tq1\t1\tnoon\n")


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ("u1\tq1\t2\t5\ttest", "found correct '2', expected 0 or 1"),
        ("u1\tq1\t2.0\t5\ttest", "found correct '2.0', expected 0 or 1"),
        ("u1\tq1\t\t5\ttest", "found correct '', expected 0 or 1"),
        ("\tq1\t1\t5\ttest", "found user '', expected an id"),
        ("u1\t\t1\t5\ttest", "found item '', expected an id"),
        ("u1\tq1\t1\t5\tdev", "found split 'dev', expected train, validation or test"),
        ("u1\tq1\t1\t5", "found 4 tab-separated fields, expected 5"),
        ("u1\tq1\t1\t5\ttest\t", "found 6 tab-separated fields, expected 5"),
        ("", "found 1 tab-separated field, expected 5"),
        (b"u1\tq\xff\t1\t5\ttest", "found byte 0xff at byte 5, expected valid UTF-8"),
    ],
)
@pytest.mark.parametrize("block_bytes", [5, 1 << 20])
def test_a_malformed_interaction_is_named(
    tmp_path: Path, bad: str | bytes, message: str, block_bytes: int
) -> None:
    lines = INTERACTIONS.encode().split(b"\n")
    lines[3] = bad.encode() if isinstance(bad, str) else bad
    put(tmp_path, {"items": ITEMS, "interactions": b"\n".join(lines)})
    with pytest.raises(DataError, match=re.escape(f"{tmp_path}/interactions.tsv:4: {message}")):
        tables.read_tables(tmp_path, block_bytes)


@pytest.mark.parametrize(
    ("items", "message"),
    [
        (ITEMS + "q2\tagain\n", ":5: found item id 'q2' again (first: "),
        (ITEMS + "\tnameless\n", ":5: found id '', expected an id"),
        ("id\tbody\nq1\tx\n", ":1: found the columns 'id', 'body', expected id and text, each once"),
        ("id\ttext\tid\nq1\tx\tq1\n", ":1: found the columns 'id', 'text', 'id', expected id and text"),
        ("id\ttext\n", ": found no rows, expected at least one"),
        ("id\ttext", ": found no rows, expected at least one"),
        ("", ":1: found an empty file"),
        (b"id\t\xff\n", ":1: found byte 0xff at byte 4, expected valid UTF-8. Save it as UTF-8, or convert"),
    ],
)
def test_malformed_items_are_named(tmp_path: Path, items: str | bytes, message: str) -> None:
    put(tmp_path, {"items": items, "interactions": INTERACTIONS})
    with pytest.raises(DataError, match=re.escape(f"{tmp_path}/items.tsv{message}")):
        tables.read_tables(tmp_path)


def test_a_missing_or_doubled_table_says_which_columns_are_expected(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no items\.tsv, \.csv or \.parquet\..*columns id and text\."):
        tables.tables_files(tmp_path)
    put(tmp_path, {"items": ITEMS})
    with pytest.raises(DataError, match=r"columns user, item and correct \(optional: time and split\)\."):
        tables.tables_files(tmp_path)
    put(tmp_path, {"interactions": INTERACTIONS})
    files = {name: tmp_path / f"{name}.tsv" for name in ("items", "interactions")}
    assert tables.tables_files(tmp_path) == files
    put_parquet(tmp_path, items={"id": ["q1"], "text": ["x"]})
    with pytest.raises(DataError, match=r"holds items\.tsv and items\.parquet\..*columns id and text\."):
        tables.tables_files(tmp_path)


CORRECT = [1, 0, 0, 1]
PARQUET_ITEMS = {"id": ["q1", "q2", "q3"], "text": ["one plus one", "", 'say "three"']}


def parquet_interactions(**changed: Any) -> dict[str, Any]:
    return {
        "more": [[1]] * 4,
        "split": pa.array(["train", "train", "validation", "test"]).dictionary_encode(),
        "time": [30, 20, 10, 20],
        "correct": CORRECT,
        "item": ["q1", "q3", "q2", "q3"],
        "user": ["u2", "u1", "u2", "u1"],
    } | changed


def moments(type_: pa.DataType) -> pa.Array:
    start = datetime.datetime(2000, 1, 1)
    return pa.array(
        [start + datetime.timedelta(seconds=s) for s in (30, 20, 10, 20)], pa.timestamp("us")
    ).cast(type_)


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"correct": [True, False, False, True]},
        {"correct": [1.0, 0.0, 0.0, 1.0]},
        {"correct": ["1", "false", "0", "true"]},
        {"time": [30.5, 20.0, 10.9, 20.0]},
        {"time": ["30", "20", "10", "20"]},
        {"user": pa.array(["u2", "u1", "u2", "u1"], pa.large_string())},
        {"item": pa.array(["q1", "q3", "q2", "q3"]).dictionary_encode()},
    ],
)
def test_parquet_and_tsv_give_the_same_answers(
    tmp_path: Path, changed: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("grambench.data.tables.files.CHUNK_ROWS", 3)
    put_parquet(tmp_path, items=PARQUET_ITEMS, interactions=parquet_interactions(**changed))
    parquet = tables.read_tables(tmp_path)
    for path in tmp_path.iterdir():
        path.unlink()
    tsv = read(tmp_path, INTERACTIONS)
    assert as_rows(parquet) == as_rows(tsv) == SORTED
    assert parquet.texts.equals(tsv.texts)
    assert parquet.user_ids.equals(tsv.user_ids)


@pytest.mark.parametrize("type_", [pa.timestamp("ns"), pa.timestamp("ms", "Europe/Berlin")])
def test_timestamps_of_parquet_are_seconds_since_1970(tmp_path: Path, type_: pa.DataType) -> None:
    interactions = parquet_interactions(time=moments(type_))
    put_parquet(tmp_path, items=PARQUET_ITEMS, interactions=interactions)
    wanted = [(*row[:3], Y2K + row[3], row[4]) for row in SORTED]
    assert as_rows(tables.read_tables(tmp_path)) == wanted


def as_csv(text: str) -> str:
    """The same rows, every field quoted."""
    lines = [line.split("\t") for line in text.splitlines()]
    return "".join(
        ",".join('"' + field.replace('"', '""') + '"' for field in line) + "\r\n" for line in lines
    )


def put_csv(folder: Path, **content: str) -> Path:
    for name, text in content.items():
        (folder / f"{name}.csv").write_text(text, newline="")
    return folder


def test_csv_and_tsv_give_the_same_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("grambench.data.tables.files.CHUNK_ROWS", 3)
    put_csv(tmp_path, items="\ufeff" + as_csv(ITEMS), interactions=as_csv(INTERACTIONS))
    answers = tables.read_tables(tmp_path)
    assert as_rows(answers) == SORTED
    assert answers.texts.to_pylist() == ["one plus one", "", 'say "three"']


def test_a_field_of_a_csv_may_hold_anything_once_it_is_quoted(tmp_path: Path) -> None:
    put_csv(
        tmp_path,
        items='"text","more, or less",id\n"a, ""b""\nc\td",x,q1\nNULL,,q2\n',
        interactions="user,item,correct\nNA,q1,1\nNA,q2,0\n",
    )
    answers = tables.read_tables(tmp_path)
    assert answers.texts.to_pylist() == ['a, "b"\nc\td', "NULL"]
    assert as_rows(answers) == [("NA", "q1", 1, None, None), ("NA", "q2", 0, None, None)]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("id,title\nN1,a,b\n", ":2: found 3 comma-separated fields in 'N1,a,b', expected 2"),
        ("id,title\nN1,a\n\n", ":3: found id '', expected an id"),
        ("id,title\nN1,a\nN2,b\nN1,c\n", ":4: found item id 'N1' again"),
        ('id,title\nN1,a\nN2,"b\nN3,c\n', ":3: found a quote that is never closed"),
        ("id,title\n", ": found no rows, expected at least one"),
        ("id\ttitle\nN1\ta\n", ":1: found the columns 'id\\ttitle', expected id and title"),
        ("id,title,id\nN1,a,b\n", ":1: found the columns 'id', 'title', 'id', expected id and title"),
        (f'"id,title\n{"a" * 200_000}', ":1 cannot be read as CSV"),
        ("", ":1: found an empty file"),
        (
            "id,title\nN1,\udcff\n",
            ":2: found byte 0xff, expected valid UTF-8. Save it as UTF-8, or convert it: `iconv",
        ),
    ],
)
def test_a_malformed_csv_is_named(tmp_path: Path, rows: str, message: str) -> None:
    put_csv(tmp_path, impressions=as_csv(IMPRESSIONS))
    (tmp_path / "items.csv").write_bytes(rows.encode(errors="surrogateescape"))
    with pytest.raises(DataError, match=re.escape(f"{tmp_path}/items.csv{message}")):
        news_tables.read_news_tables(tmp_path)


def test_whole_number_ids_of_a_parquet_file_match_digits(tmp_path: Path) -> None:
    put(tmp_path, {"items": "id\ttext\n7\tseven\n"})
    put_parquet(tmp_path, interactions={"user": [3, 3], "item": [7, 8], "correct": [1, 1]})
    answers = tables.read_tables(tmp_path)
    assert as_rows(answers) == [("3", "7", 1, None, None)]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"user": ["u2", "u1", "u2", None]}, ", row 4: found null in column user, expected a value"),
        ({"correct": [1, None, 0, 1]}, ", row 2: found null in column correct, expected a value"),
        ({"time": [1, None, 0, 1]}, ", row 2: found null in column time, expected a value"),
        ({"correct": [1, 0, 0, 2]}, ", row 4: found correct '2', expected 0 or 1"),
        ({"correct": [1, 0, 0, 0.5]}, ", row 4: found correct '0.5', expected 0 or 1"),
        ({"correct": [1, 0, 0, float("nan")]}, ", row 4: found correct 'nan', expected 0 or 1"),
        ({"time": [1.0, 0, 0, float("nan")]}, ", row 4: found time 'nan', expected seconds such as"),
        (
            {"time": [[1]] * 4},
            ": found column time of type list<element: int64>, expected numbers, timestamps",
        ),
        (
            {"correct": [[1]] * 4},
            ": found column correct of type list<element: int64>, expected numbers, bool",
        ),
        ({"item": [1.0, 2, 3, 4]}, ": found column item of type double, expected strings or whole numbers"),
        ({"split": [1, 2, 3, 4]}, ": found column split of type int64, expected strings"),
    ],
)
def test_a_malformed_parquet_value_is_named(
    tmp_path: Path, changed: dict[str, Any], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("grambench.data.tables.files.CHUNK_ROWS", 3)
    put_parquet(tmp_path, items=PARQUET_ITEMS, interactions=parquet_interactions(**changed))
    with pytest.raises(DataError, match=re.escape(f"{tmp_path}/interactions.parquet{message}")):
        tables.read_tables(tmp_path)


def test_a_parquet_file_that_is_none_or_lacks_rows_or_columns_is_refused(tmp_path: Path) -> None:
    put_parquet(tmp_path, items=PARQUET_ITEMS, interactions=parquet_interactions())
    path = tmp_path / "items.parquet"
    path.write_bytes(b"PAR1 no parquet")
    with pytest.raises(DataError, match="cannot be read as parquet"):
        tables.read_tables(tmp_path)
    pq.write_table(pa.table({"id": pa.array([], pa.string()), "text": pa.array([], pa.string())}), path)
    with pytest.raises(DataError, match="found no rows"):
        tables.read_tables(tmp_path)
    pq.write_table(pa.table({"id": ["q1"]}), path)
    with pytest.raises(DataError, match="found the columns 'id', expected id and text, each once"):
        tables.read_tables(tmp_path)


@pytest.mark.parametrize("block_bytes", [5, 1 << 20])
def test_news_tables_agree_with_mind(tmp_path: Path, block_bytes: int) -> None:
    news, behaviors, _ = news_tables.read_news_tables(
        put(tmp_path, {"items": NEWS, "impressions": IMPRESSIONS}), block_bytes
    )
    assert news.ids.to_pylist() == ["N1", "N2"]
    assert news.titles.to_pylist() == ["first", "second"]
    assert news.abstracts.to_pylist() == ["long", ""]
    assert news.categories.to_pylist() == ["news", "sport"]
    assert news.subcategories.to_pylist() == ["", ""]
    path = tmp_path / "behaviors.tsv"
    path.write_text(
        "1\tU1\t11/11/2019 9:06:00 AM\tN1 N2\tN3-1 N1-0\n"
        "2\tU2\t11/11/2019 9:06:01 AM\t\tN2-0\n"
        "3\tU1\t11/11/2019 9:06:02 AM\tN3\tN1-1\n"
    )
    expected = mind.read_behaviors(path)
    for name in mind.Behaviors.__dataclass_fields__:
        found, wanted = getattr(behaviors, name), getattr(expected, name)
        if isinstance(wanted, pa.Array):
            assert found.equals(wanted), name
        else:
            assert found.dtype == wanted.dtype, name
            np.testing.assert_array_equal(found, wanted, err_msg=name)


def test_news_tables_may_be_of_two_formats(tmp_path: Path) -> None:
    put(tmp_path, {"items": NEWS, "impressions": IMPRESSIONS})
    wanted_news, wanted, _ = news_tables.read_news_tables(tmp_path)
    (tmp_path / "impressions.tsv").unlink()
    news, behaviors, _ = news_tables.read_news_tables(put_csv(tmp_path, impressions=as_csv(IMPRESSIONS)))
    assert news.titles.equals(wanted_news.titles)
    assert behaviors.news_ids.equals(wanted.news_ids)
    for name in ("users", "time_s", "history", "candidates", "candidate_offsets", "labels"):
        np.testing.assert_array_equal(getattr(behaviors, name), getattr(wanted, name), err_msg=name)


def test_news_tables_of_parquet_agree_with_tsv(tmp_path: Path) -> None:
    put_parquet(
        tmp_path,
        items={"title": ["first", "second"], "id": ["N1", "N2"]},
        impressions={
            "candidates": ["N3-1 N1-0", "N2-0"],
            "history": [" N1  N2 ", ""],
            "user": ["U1", "U2"],
        },
    )
    news, behaviors, _ = news_tables.read_news_tables(tmp_path)
    assert news.abstracts.to_pylist() == news.categories.to_pylist() == ["", ""]
    ids = behaviors.news_ids.to_pylist()
    assert [ids[place] for place in behaviors.history] == ["N1", "N2"]
    assert [ids[place] for place in behaviors.candidates] == ["N3", "N1", "N2"]
    assert behaviors.history_offsets.tolist() == [0, 2, 2]
    assert behaviors.time_s.tolist() == [MISSING_TIME] * 2


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ("U2\t1573463161\tN1\tN2-0 N3", "found candidate 'N3', expected N123-0 or N123-1"),
        ("U2\t1573463161\tN1\tN2-0 N3-2", "found candidate 'N3-2', expected N123-0 or N123-1"),
        ("U2\t1573463161\tN1\tN2-0 -1", "found candidate '-1', expected N123-0 or N123-1"),
        ("U2\t1573463161\tN1\t ", "found candidates ' ', expected at least one"),
        ("\t1573463161\tN1\tN2-0", "found user '', expected an id"),
        ("U2\t\tN1\tN2-0", "found time '', expected seconds"),
        ("U2\t1573463161\tN2-0", "found 3 tab-separated fields, expected 4"),
    ],
)
@pytest.mark.parametrize("block_bytes", [5, 1 << 20])
def test_a_malformed_impression_is_named(tmp_path: Path, bad: str, message: str, block_bytes: int) -> None:
    lines = IMPRESSIONS.split("\n")
    lines[2] = bad
    put(tmp_path, {"items": NEWS, "impressions": "\n".join(lines)})
    with pytest.raises(DataError, match=re.escape(f"{tmp_path}/impressions.tsv:3: {message}")):
        news_tables.read_news_tables(tmp_path, block_bytes)


def test_a_news_id_with_a_blank_is_refused(tmp_path: Path) -> None:
    put(tmp_path, {"items": NEWS + "N 3\tthird\t\t\n", "impressions": IMPRESSIONS})
    with pytest.raises(DataError, match=r"items\.tsv:4: found item id 'N 3', expected an id without blanks"):
        news_tables.read_news_tables(tmp_path)


def test_a_missing_news_table_says_which_columns_are_expected(tmp_path: Path) -> None:
    put(tmp_path, {"items": NEWS})
    with pytest.raises(DataError, match=r"user, history and candidates \(optional: time and split\)\."):
        news_tables.news_tables_files(tmp_path)
