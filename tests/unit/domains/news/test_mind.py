"""The MIND readers against a literal plain-Python reader, and each malformed row by its line."""

import datetime
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from grambench.data.tables.clock import MISSING_TIME
from grambench.domains.news.formats import mind
from grambench.domains.news.formats.mind_folder import SPLITS
from grambench.domains.news.formats.mind_times import parse_time, parse_times
from grambench.errors import DataError

NEWS = "N1\tnews\tworld\tTitle\tText\thttps://x\t[]\t[]"
ROW = "1\tU1\t11/11/2019 9:05:58 AM\tN1 N2\tN3-1 N4-0"
fresh_files = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=150
)


def news_row(id_: str) -> str:
    return NEWS.replace("N1", id_, 1)


def write(folder: Path, content: str | bytes) -> Path:
    path = folder / "file.tsv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def literal_rows(content: bytes) -> list[list[str]]:
    """Fields of every line, by the letter of the format."""
    lines = content.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    if lines[-1] == b"":
        del lines[-1]
    return [line.removesuffix(b"\r").decode().split("\t") for line in lines]


def literal_behaviors(content: bytes) -> list[tuple[str, str, int, list[str], list[tuple[str, int]]]]:
    rows = []
    for impression, user, time, history, candidates in literal_rows(content):
        moment = MISSING_TIME
        if time:
            parsed = datetime.datetime.strptime(time, "%m/%d/%Y %I:%M:%S %p")
            moment = int(parsed.replace(tzinfo=datetime.UTC).timestamp())
        clicks = [word for word in history.split(" ") if word]
        pairs = [(word[:-2], int(word[-1])) for word in candidates.split(" ") if word]
        rows.append((impression, user, moment, clicks, pairs))
    return rows


def as_rows(behaviors: mind.Behaviors) -> list[tuple[str, str, int, list[str], list[tuple[str, int]]]]:
    ids, users = behaviors.news_ids.to_pylist(), behaviors.user_ids.to_pylist()
    assert behaviors.labels is not None
    rows = []
    for row in range(len(behaviors)):
        clicked = slice(*behaviors.history_offsets[row : row + 2])
        shown = slice(*behaviors.candidate_offsets[row : row + 2])
        pairs = zip(behaviors.candidates[shown], behaviors.labels[shown], strict=True)
        rows.append(
            (
                behaviors.impression_ids[row].as_py(),
                users[behaviors.users[row]],
                int(behaviors.time_s[row]),
                [ids[item] for item in behaviors.history[clicked]],
                [(ids[item], int(label)) for item, label in pairs],
            )
        )
    return rows


words = st.text(st.characters(codec="utf-8", exclude_characters="\t\n\r "), min_size=1, max_size=6)
texts = st.text(st.characters(codec="utf-8", exclude_characters="\t\n\r"), max_size=12) | st.sampled_from(
    ['"', 'a "quoted" title', "\u2028", "ü\u0085\x0b\x0c\x1c\x00", "null", "'", "\\N", "été \U0001f600"]
)
line_ends = st.sampled_from(["\n", "\r\n"])
marks = st.sampled_from(["", "\ufeff"])
times = st.datetimes(datetime.datetime(1990, 1, 1), datetime.datetime(2099, 12, 31)).map(
    lambda moment: f"{moment.month}/{moment.day}/{moment.year} {moment:%I:%M:%S %p}"
) | st.just("")


@st.composite
def behaviors_files(draw: st.DrawFn) -> bytes:
    rows = draw(
        st.lists(st.tuples(words, words, times, st.lists(words), st.lists(words, min_size=1)), min_size=1)
    )
    lines = [
        "\t".join((number, user, time, " ".join(history), " ".join(f"{id_}-{len(id_) % 2}" for id_ in shown)))
        for number, user, time, history, shown in rows
    ]
    end = draw(line_ends)
    return (draw(marks) + end.join(lines) + draw(st.sampled_from(["", end]))).encode()


@given(content=behaviors_files(), block_bytes=st.integers(4, 200))
@fresh_files
def test_behaviors_agree_with_a_literal_reader(tmp_path: Path, content: bytes, block_bytes: int) -> None:
    read = mind.read_behaviors(write(tmp_path, content), labelled=True, block_bytes=block_bytes)
    assert as_rows(read) == literal_behaviors(content)


@given(rows=st.lists(st.lists(texts, min_size=7, max_size=7), min_size=1), mark=marks, end=line_ends)
@fresh_files
def test_news_agree_with_a_literal_reader(tmp_path: Path, rows: list[list[str]], mark: str, end: str) -> None:
    lines = ["\t".join((f"N{number}", *row)) for number, row in enumerate(rows)]
    content = (mark + end.join(lines) + end).encode()
    news = mind.read_news(write(tmp_path, content), block_bytes=64)
    columns = (news.ids, news.categories, news.subcategories, news.titles, news.abstracts)
    assert [list(row) for row in zip(*(column.to_pylist() for column in columns), strict=True)] == [
        fields[:5] for fields in literal_rows(content)
    ]


pieces = st.sampled_from(
    [
        b"N1",
        b"N2-0",
        b"N3-1",
        b"-2",
        b" ",
        b"\t",
        b"\n",
        b"\r",
        b"\xff",
        b"1\tU1\t\tN1\tN2-1\n",
        b"\t\tN1\tN2-0",
    ]
)


def literal_fault(content: bytes) -> int | None:
    """Number of the first line that is no labelled row."""
    lines = content.split(b"\n")
    if lines[-1] == b"":
        del lines[-1]
    row = re.compile(r"[^\t]*\t[^\t]*\t\t[^\t]*\t *[^\t ]+-[01]( +[^\t ]+-[01])* *", re.DOTALL)
    for number, line in enumerate(lines, start=1):
        try:
            text = line.removesuffix(b"\r").decode()
        except UnicodeDecodeError:
            return number
        if not row.fullmatch(text):
            return number
    return None


@given(content=st.lists(pieces, min_size=1, max_size=14).map(b"".join), block_bytes=st.integers(4, 60))
@settings(fresh_files, max_examples=400)
def test_a_random_file_is_read_or_refused_at_its_first_bad_line(
    tmp_path: Path, content: bytes, block_bytes: int
) -> None:
    path = write(tmp_path, content)
    fault = literal_fault(content)
    if fault is None:
        assert len(mind.read_behaviors(path, True, block_bytes)) == len(literal_rows(content))
    else:
        with pytest.raises(DataError, match=f"^{re.escape(str(path))}:{fault}: found "):
            mind.read_behaviors(path, True, block_bytes)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ("N9\ta\tb", "found 3 tab-separated fields, expected 8"),
        (NEWS.replace("N1", "N9") + "\tx", "found 9 tab-separated fields, expected 8"),
        ("", "found 1 tab-separated field, expected 8"),
        (
            news_row("N3").replace("Title", "Other"),
            "found news id 'N3' again (first on line 3) with another text, expected every id once",
        ),
        (news_row(""), "found an empty news id"),
        (b"N9\ta\tb\t\xff\tx\t\t\t", "found byte 0xff at byte 8, expected valid UTF-8"),
    ],
)
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
@pytest.mark.parametrize("block_bytes", [50, 1 << 20])
def test_a_malformed_news_row_is_named(
    tmp_path: Path, bad: str | bytes, message: str, end: bytes, block_bytes: int
) -> None:
    good = [news_row(f"N{number}").encode() for number in range(1, 7)]
    good[4] = bad.encode() if isinstance(bad, str) else bad
    path = write(tmp_path, end.join(good) + end)
    with pytest.raises(DataError, match=re.escape(f"{path}:5: {message}")):
        mind.read_news(path, block_bytes)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ("1\tU1\t\tN1", "found 4 tab-separated fields, expected 5"),
        (ROW + "\t", "found 6 tab-separated fields, expected 5"),
        (ROW.replace("N4-0", "N4-2"), "found candidate 'N4-2', expected N123-0 or N123-1"),
        (ROW.replace("N4-0", "N4"), "found candidate 'N4', expected N123-0 or N123-1"),
        (ROW.replace("N4-0", "-0"), "found candidate '-0', expected"),
        (ROW.replace("N4-0", "N4-01"), "found candidate 'N4-01', expected"),
        (ROW.replace("N4-0", "\x1b[2J"), "found candidate '\\x1b[2J', expected"),
        (ROW.replace("N3-1 N4-0", " "), "found no candidates in the fifth field"),
        (ROW.replace("9:05", "13:05"), "found time '11/11/2019 13:05:58 AM', expected a time such as"),
        (ROW.replace("11/11", "2/30"), "found time '2/30/2019 9:05:58 AM'"),
        (ROW.replace("11/11", "2019-11-11"), "found time "),
        (ROW.replace(" AM", ""), "found time '11/11/2019 9:05:58', expected"),
        (ROW.encode().replace(b"U1", b"U\xc3"), "found byte 0xc3 at byte 4, expected valid UTF-8"),
        ("", "found 1 tab-separated field, expected 5"),
    ],
)
@pytest.mark.parametrize("labelled", [True, None])
@pytest.mark.parametrize("block_bytes", [50, 1 << 20])
def test_a_malformed_behavior_is_named(
    tmp_path: Path, bad: str | bytes, message: str, labelled: bool | None, block_bytes: int
) -> None:
    lines = [ROW.encode()] * 6
    lines[3] = bad.encode() if isinstance(bad, str) else bad
    path = write(tmp_path, b"\xef\xbb\xbf" + b"\n".join(lines))
    with pytest.raises(DataError, match=re.escape(f"{path}:4: {message}")):
        mind.read_behaviors(path, labelled, block_bytes)


def test_a_file_without_labels_is_read_only_where_labels_are_not_required(tmp_path: Path) -> None:
    path = write(tmp_path, "1\tU1\t\t\tN3 N4\n2\tU1\t\tN3\tA-1-x\n")
    read = mind.read_behaviors(path)
    assert read.labels is None
    assert read.news_ids.take(pa.array(read.candidates)).to_pylist() == ["N3", "N4", "A-1-x"]
    with pytest.raises(DataError, match=r":1: found candidate 'N3', expected N123-0 or N123-1"):
        mind.read_behaviors(path, labelled=True)


def test_labels_that_appear_in_an_unlabelled_file_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path, "1\tU1\t\t\tN3 N4\n2\tU1\t\tN3\tN4-1\n")
    with pytest.raises(DataError, match=r":2: found candidate 'N4-1', expected N123, unlabelled"):
        mind.read_behaviors(path)


@pytest.mark.parametrize("content", [b"", b"\xef\xbb\xbf"])
def test_an_empty_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = write(tmp_path, content)
    for read in (mind.read_news, mind.read_behaviors):
        with pytest.raises(DataError, match=r":1: found an empty file"):
            read(path)


def test_a_missing_file_is_a_data_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        mind.read_news(tmp_path / "absent.tsv")


def test_empty_trailing_fields_and_empty_histories_are_kept(tmp_path: Path) -> None:
    news = mind.read_news(write(tmp_path, "N1\t\t\t\t\t\t\t\r\nN2\ta\tb\tc\t\t\t\t"))
    assert news.titles.to_pylist() == ["", "c"]
    assert news.abstracts.to_pylist() == ["", ""]
    read = mind.read_behaviors(write(tmp_path, "1\tU1\t\t\tN3-1\r\n2\tU1\t\t\tN3-0"))
    assert read.history_offsets.tolist() == [0, 0, 0]
    assert read.time_s.tolist() == [MISSING_TIME] * 2


def test_repeated_blanks_make_no_ids(tmp_path: Path) -> None:
    read = mind.read_behaviors(write(tmp_path, "1\tU1\t\t N1  N2 \t N3-1  N4-0 \r\n"))
    assert as_rows(read)[0][3:] == (["N1", "N2"], [("N3", 1), ("N4", 0)])


def test_noon_and_midnight() -> None:
    texts = ["1/1/2000 12:00:00 AM", "1/1/2000 12:00:00 PM", "01/02/2000 01:00:01 PM", "", "x"]
    seconds, malformed = parse_times(pa.array(texts))
    start = 946_684_800
    wanted = [start, start + 43_200, start + 86_400 + 46_801, MISSING_TIME, MISSING_TIME]
    assert seconds.tolist() == wanted
    assert malformed.tolist() == [False] * 4 + [True]


@given(
    st.from_regex(
        r"\A[0-9]{1,2}/[0-9]{1,2}/[0-9]{4} [0-9]{1,2}:[0-9]{2}:[0-9]{2} [AP]M\Z",
        alphabet=st.characters(codec="ascii"),
    )
)
@settings(deadline=None)
def test_times_agree_with_the_calendar(text: str) -> None:
    seconds, malformed = parse_times(pa.array([text]))
    assert (None if malformed[0] else int(seconds[0])) == parse_time(text)


@pytest.mark.parametrize("name", ["train", "MINDsmall_train", "MINDlarge_train", "train/MINDdemo_train"])
def test_split_folders_of_every_name_are_found(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    folder.mkdir(parents=True)
    (folder / "news.tsv").touch()
    with pytest.raises(DataError, match=r"holds no behaviors\.tsv"):
        mind.split_folder(tmp_path, "train")
    (folder / "behaviors.tsv").touch()
    assert mind.split_folder(tmp_path, "train") == folder


def test_a_missing_or_ambiguous_split_is_explained(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"has no dev split.*Put MIND's news\.tsv and behaviors\.tsv into"):
        mind.split_folder(tmp_path, "dev")
    with pytest.raises(DataError, match="There is no data folder"):
        mind.split_folder(tmp_path / "absent", "dev")
    (tmp_path / "dev").mkdir()
    with pytest.raises(DataError, match="holds neither"):
        mind.find_split(tmp_path, "dev")
    for name in ("MINDsmall_train", "MINDlarge_train"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "news.tsv").touch()
    with pytest.raises(DataError, match="could both be the train split"):
        mind.find_split(tmp_path, "train")


def test_bodies_of_both_formats_are_joined_and_empty_ones_left_out(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    (tmp_path / "bodies.tsv").write_text('N1\tfirst "body"\nN2\t\n')
    pq.write_table(
        pa.table({"news_id": ["N1", "N3", "N4"], "body": ["late", "third", None]}),
        tmp_path / "train" / "bodies.parquet",
    )
    bodies = mind.read_bodies(mind.find_bodies(tmp_path, [tmp_path / "train"]))
    assert dict(zip(bodies.ids.to_pylist(), bodies.bodies.to_pylist(), strict=True)) == {
        "N1": 'first "body"',
        "N3": "third",
    }


def test_malformed_bodies_are_named(tmp_path: Path) -> None:
    path = tmp_path / "bodies.tsv"
    path.write_text("N1\ta\nN2\tb\nN1\ta\n")
    assert mind.read_bodies([path]).ids.to_pylist() == ["N1", "N2"]
    path.write_text("N1\ta\nN2\tb\nN1\tc\n")
    with pytest.raises(DataError, match=r"bodies\.tsv:3: found news id 'N1' again"):
        mind.read_bodies([path])
    table = tmp_path / "bodies.parquet"
    pq.write_table(pa.table({"name": ["N1"], "body": ["late"]}), table)
    with pytest.raises(DataError, match=r"found columns name, body, expected id"):
        mind.read_bodies([table])
    table.write_bytes(b"PAR1 no parquet")
    with pytest.raises(DataError, match="cannot be read as parquet"):
        mind.read_bodies([table])


def test_real_rows_agree_with_a_literal_reader(shared_data: Path) -> None:
    for folder in (shared_data / "mind-sample", *(shared_data / "mind-rows" / split for split in SPLITS[:2])):
        content = (folder / "behaviors.tsv").read_bytes()
        read = mind.read_behaviors(folder / "behaviors.tsv", labelled=True, block_bytes=100_000)
        assert as_rows(read) == literal_behaviors(content)
        titles = mind.read_news(folder / "news.tsv").titles.to_pylist()
        assert titles == [fields[3] for fields in literal_rows((folder / "news.tsv").read_bytes())]


def test_blocks_do_not_change_the_numbering(shared_data: Path) -> None:
    path = shared_data / "mind-rows" / "train" / "behaviors.tsv"
    whole, blocks = mind.read_behaviors(path), mind.read_behaviors(path, block_bytes=3000)
    assert whole.news_ids.equals(blocks.news_ids)
    assert np.array_equal(whole.candidates, blocks.candidates)
