"""Files that can be read and are not what they seem: headers, other encodings, times of another unit."""

import re
from pathlib import Path

import pytest

from grambench.data.tables import clock, headers
from grambench.domains.knowledge_tracing.formats import contents, tables
from grambench.domains.knowledge_tracing.formats.ednet import read_ednet
from grambench.domains.knowledge_tracing.formats.poj import read_poj
from grambench.domains.news.formats import mind
from grambench.domains.news.formats import tables as news_tables
from grambench.errors import DataError

NEWS = "N1\tnews\tworld\tTitle\tAbstract\thttps://x\t[]\t[]\n"
NEWS_HEADER = "news_id\tcategory\tsubcategory\ttitle\tabstract\turl\ttitle_entities\tabstract_entities\n"
BEHAVIORS = "1\tU1\t11/11/2019 9:05:58 AM\tN1\tN2-1 N3-0\n"
BEHAVIORS_HEADER = "impression_id\tuser_id\ttime\thistory\timpressions\n"
SECONDS = 1_573_463_158


def refused(path: Path, content: str | bytes, message: str) -> None:
    """MIND's file of this name is refused with this message."""
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DataError, match=re.escape(f"{path}:") + message):
        mind.read_behaviors(path) if path.name.startswith("behaviors") else (
            mind.read_bodies([path]) if path.name.startswith("bodies") else mind.read_news(path)
        )


@pytest.mark.parametrize(
    ("name", "header", "rows"),
    [
        ("news.tsv", NEWS_HEADER, NEWS),
        ("news.tsv", NEWS_HEADER.replace("news_id", "key"), NEWS),
        ("news.tsv", NEWS_HEADER.upper().replace("_", " "), NEWS),
        ("news.tsv", '"id"\tcategory\tsubCategory\tTitle\tAbstract\tURL\t\t\n', NEWS),
        ("news.tsv", "\ufeff" + NEWS_HEADER, NEWS),
        ("news.tsv", NEWS_HEADER.replace("\n", "\r\n"), NEWS.replace("\n", "\r\n")),
        ("behaviors.tsv", BEHAVIORS_HEADER, BEHAVIORS),
        ("bodies.tsv", "id\tbody\n", "N1\tLong text\n"),
    ],
)
def test_a_header_of_mind_is_named_by_its_line(tmp_path: Path, name: str, header: str, rows: str) -> None:
    refused(tmp_path / name, header + rows, r"1: line 1 looks like a header \(.*; delete the line\.$")
    header = header.lstrip("\ufeff").replace("key", "id")
    refused(tmp_path / name, rows + header, "2: line 2 looks like a header, as in concatenated files")


def test_titles_of_column_names_are_no_header(tmp_path: Path) -> None:
    path = tmp_path / "news.tsv"
    path.write_text(NEWS.replace("Title", "title") + "id\tbody\tworld\tOn titles\tAn id\t\t\t\n")
    assert mind.read_news(path).titles.to_pylist() == ["title", "On titles"]
    assert not headers.is_header(["N1", "news", "body", "The title", "abstract", "https://x", "[]", "[]"])
    assert not headers.is_header(["id", "the id of a story"])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            NEWS.replace("N1\tnews\tworld\tTitle", "A long title\tnews\tworld\tN1"),
            "1: .*'A long title', .*order",
        ),
        (NEWS + NEWS.replace("N1", '"N2"'), "2: found news id '\"N2\"', expected one without quotes"),
        (
            NEWS + NEWS.replace("N1", "\ufeffN2"),
            "2: found news id .*, expected one without a byte order mark",
        ),
        (NEWS.encode("utf-16"), r"1: found text in UTF-16, expected UTF-8\. Convert it: `iconv -f UTF-16"),
        (NEWS.encode("utf-16-be"), "1: found text in UTF-16"),
        (NEWS.encode("utf-32"), "1: found text in UTF-32"),
    ],
)
def test_other_orders_quotes_and_encodings_are_named(
    tmp_path: Path, content: str | bytes, message: str
) -> None:
    refused(tmp_path / "news.tsv", content, message)


def test_texts_may_begin_with_a_header_of_the_known_names_alone(tmp_path: Path) -> None:
    path = tmp_path / "contents.tsv"
    path.write_text("id\ttext\nq1\tFirst\n")
    assert contents.read_contents(path).ids.to_pylist() == ["q1"]
    for content, line in (("Question_ID\tText\nq1\tFirst\n", 1), ("id\ttext\nq1\tFirst\nid\ttext\n", 3)):
        path.write_text(content)
        with pytest.raises(DataError, match=f"contents.tsv:{line}: line {line} looks like a header"):
            contents.read_contents(path)


def tables_of(folder: Path, interactions: str, items: str = "id\ttext\nq1\tone\nq2\ttwo\n") -> Path:
    (folder / "items.tsv").write_text(items)
    (folder / "interactions.tsv").write_text(interactions)
    return folder


@pytest.mark.parametrize(
    ("interactions", "items", "message"),
    [
        (
            "user\titem\tcorrect\nu1\tq1\t1\nuser\titem\tcorrect\n",
            "id\ttext\nq1\tone\n",
            "ctions.tsv:3: found the",
        ),
        (
            "user\titem\tcorrect\nu1\tq1\t1\n",
            "id\ttext\nq1\tone\nid\ttext\n",
            "items.tsv:3: found the header ag",
        ),
        ("u1\tq1\t1\n", "id\ttext\nq1\tone\n", "The first line looks like data: put a header line"),
        (
            "User\tuser_id\titem\tcorrect\nu1\tu1\tq1\t1\n",
            "id\ttext\nq1\tone\n",
            "found the columns 'User' and 'user_id', which both mean user. Rename or remove",
        ),
        ("uid\tclick_history\ttitle\nu1\tq1\t1\n", "id\ttext\nq1\tone\n", "expected user, item and correct"),
        (
            "user;item;correct\nu1;q1;1\n",
            "id\ttext\nq1\tone\n",
            "Separate the fields by tabs (.tsv) or commas",
        ),
        (
            "user\titem\tcorrect\nu1\tq1\t1\n",
            'id\ttext\n"q1"\tone\n',
            "items.tsv:2: found id '\"q1\"', expected an id",
        ),
    ],
)
def test_headers_of_tables_are_named(tmp_path: Path, interactions: str, items: str, message: str) -> None:
    with pytest.raises(DataError, match=re.escape(message)):
        tables.read_tables(tables_of(tmp_path, interactions, items))


@pytest.mark.parametrize(
    ("time", "hint"),
    [
        (f"{SECONDS}000", "it looks like milliseconds; divide by 1000"),
        (f"{SECONDS}000000", "it looks like microseconds"),
        (f"{SECONDS}000000000", "it looks like nanoseconds"),
        (str(SECONDS // 60), "it looks like minutes since 1970"),
        (str(SECONDS // 3600), "it looks like hours since 1970"),
        (str(SECONDS // 86_400), "it looks like days since 1970"),
        ("43780.37", "it looks like an Excel date; subtract 25569 and multiply by 86400"),
        ("20191111", "it looks like a date without separators"),
        ("20191111090558", "it looks like a date without separators"),
        ("0", "it looks like the start of 1970"),
        ("1970-01-01T00:00:00Z", ""),
        ("1019-11-11", ""),
        ("-1", ""),
    ],
)
def test_a_time_of_another_unit_is_refused_with_a_guess(tmp_path: Path, time: str, hint: str) -> None:
    (tmp_path / "items.tsv").write_text("id\ttitle\nN1\tone\nN2\ttwo\n")
    rows = f"U1\tN1\tN1-1 N2-0\t{time}\n"
    (tmp_path / "impressions.tsv").write_text("user\thistory\tcandidates\ttime\n" + rows)
    message = f"impressions.tsv:2: found time '{time}', expected seconds since 1970, of 1990 to 2100"
    with pytest.raises(DataError, match=f"{re.escape(message)}{': ' if hint else ''}{re.escape(hint)}"):
        news_tables.read_news_tables(tmp_path)


def test_times_of_answers_may_count_from_anywhere_but_not_both_ways(tmp_path: Path) -> None:
    head = "user\titem\tcorrect\ttime\n"
    answers = tables.read_tables(tables_of(tmp_path, f"{head}u1\tq1\t1\t7\nu1\tq2\t0\t0\n"))
    assert answers.time_s.tolist() == [0, 7]
    for first, second, message in (
        (
            SECONDS,
            0,
            "expected seconds since 1970, of 1990 to 2100, as in the rows before: it looks like the start",
        ),
        (7, SECONDS, "expected a count from an arbitrary origin, as in the rows before"),
        (f"{SECONDS}000", f"{SECONDS}001", ": it looks like milliseconds; divide by 1000"),
    ):
        folder = tables_of(tmp_path, f"{head}u1\tq1\t1\t{first}\nu1\tq2\t0\t{second}\n")
        with pytest.raises(DataError, match=re.escape(message)):
            tables.read_tables(folder)


def test_every_reader_of_times_refuses_another_unit(tmp_path: Path) -> None:
    path = tmp_path / "behaviors.tsv"
    refused(path, BEHAVIORS.replace("11/11/2019 9:05:58 AM", f"{SECONDS}000"), "1: .*looks like milliseconds")
    refused(path, BEHAVIORS.replace("2019", "1019"), "1: .*, of 1990 to 2100, or nothing")
    (tmp_path / "contents.tsv").write_text("q1\tFirst\n")
    (tmp_path / "poj_log.csv").write_text(
        "User,Submit Time,Problem,Result\na,1970-01-01 00:00:00,q1,Accepted\n"
    )
    with pytest.raises(DataError, match=r"poj_log\.csv:2: .*'1970-01-01 00:00:00', .*, of 1990 to 2100"):
        read_poj(tmp_path)
    (tmp_path / "questions.csv").write_text("question_id,correct_answer\nq1,a\n")
    head = "timestamp,solving_id,question_id,user_answer,elapsed_time\n"
    for time, hint in (
        (SECONDS, "seconds; multiply by 1000"),
        (f"{SECONDS}000000", "microseconds; divide by 1000"),
    ):
        (tmp_path / "u1.csv").write_text(f"{head}{time},1,q1,a,0\n")
        with pytest.raises(DataError, match=rf"u1\.csv:2: found timestamp '{time}', .* it looks like {hint}"):
            read_ednet(tmp_path)


def test_the_span_ends_where_2100_begins() -> None:
    assert [clock.is_believed(s) for s in (631_151_999, 631_152_000, 4_102_444_799, 4_102_444_800)] == [
        False,
        True,
        True,
        False,
    ]
