"""The EdNet reader against a literal csv loop; what is left out, and each fault by its file and line."""

import csv
import random
import re
from pathlib import Path

import pytest

from grambench.domains.knowledge_tracing.answers import Answers
from grambench.domains.knowledge_tracing.formats.ednet import read_ednet
from grambench.errors import DataError

HEADER = "timestamp,solving_id,question_id,user_answer,elapsed_time"
QUESTIONS = (
    "question_id,bundle_id,explanation_id,correct_answer,part,tags,deployed_at\n"
    "q3,b3,e3,d,2,9,-1\n"
    "q2,b2,e2,a,5,15,1558093219720\n"
    "q1,b1,e1,b,1,1;2;179,1558093217098\n"
)
TEXTS = "q9\tNever asked\nq2\tSecond\nq1\tFirst\n"
FILES = {
    "u2": "1565096190868,1,q1,b,38000\n1565096221062,2,q2,b,24000\n1565096190868,3,q2,a,\n",
    "u10": "1565096000999,1,q1,z,0\n",
}
GOOD = {
    "u2": [("q1", 1, 1565096190), ("q2", 1, 1565096190), ("q2", 0, 1565096221)],
    "u10": [("q1", 0, 1565096000)],
}


def ednet(
    folder: Path,
    files: dict[str, str | bytes] | None = None,
    questions: str = QUESTIONS,
    texts: str = TEXTS,
    users_folder: str = "KT1",
) -> Path:
    """A data folder; a file given as text gets the header, bytes stand for themselves."""
    (folder / users_folder).mkdir(parents=True, exist_ok=True)
    for user, rows in (FILES if files is None else files).items():
        content = rows if isinstance(rows, bytes) else f"{HEADER}\n{rows}".encode()
        (folder / users_folder / f"{user}.csv").write_bytes(content)
    (folder / "questions.csv").write_bytes(questions.encode())
    (folder / "contents.tsv").write_bytes(texts.encode())
    return folder


def as_rows(answers: Answers) -> dict[str, list[tuple[str, int, int]]]:
    ids = answers.item_ids.to_pylist()
    columns = ([ids[item] for item in answers.items], answers.correct.tolist(), answers.time_s.tolist())
    triples = list(zip(*columns, strict=True))
    bounds = zip(answers.offsets[:-1], answers.offsets[1:], strict=True)
    users = answers.user_ids.to_pylist()
    return {user: triples[start:end] for user, (start, end) in zip(users, bounds, strict=True)}


def literal_answers(folder: Path) -> tuple[dict[str, list[tuple[str, int, int]]], dict[str, int]]:
    """By the letter of the format, with the csv module, one row at a time."""
    with (folder / "questions.csv").open(newline="") as file:
        right = {row["question_id"]: row["correct_answer"] for row in csv.DictReader(file)}
    texts = dict(line.split("\t") for line in (folder / "contents.tsv").read_text().splitlines())
    answers, counts = {}, {"lacks": 0, "text": 0, "choice": 0, "users": 0}
    for path in sorted((folder / "KT1").iterdir(), key=lambda path: int(path.stem[1:])):
        rows = []
        with path.open(newline="", encoding="utf-8-sig") as file:
            for row in csv.DictReader(file):
                question, choice = row["question_id"], row["user_answer"]
                if question not in right:
                    counts["lacks"] += 1
                elif question not in texts:
                    counts["text"] += 1
                elif not choice:
                    counts["choice"] += 1
                else:
                    rows.append((int(row["timestamp"]), question, int(choice == right[question])))
        rows.sort(key=lambda row: row[0])
        if rows:
            answers[path.stem] = [(question, correct, ms // 1000) for ms, question, correct in rows]
        else:
            counts["users"] += 1
    return answers, counts


@pytest.mark.parametrize("files_per_batch", [1, 7, 299, 300, 4096])
def test_300_users_agree_with_a_literal_reader(tmp_path: Path, files_per_batch: int) -> None:
    draw = random.Random(5)
    files: dict[str, str | bytes] = {}
    for user in range(300):
        end = draw.choice(["\n", "\r\n"])
        lines = [
            f"156509619{draw.randrange(4000):04},{row},q{draw.randrange(5)},{draw.choice('abcd ').strip()},9"
            for row in range(draw.randrange(9))
        ]
        content = end.join([HEADER, *lines]) + draw.choice(["", end])
        files[f"u{user * 7}"] = draw.choice(["", "\ufeff"]).encode() + content.encode()
    folder = ednet(tmp_path, files)
    expected, counts = literal_answers(folder)
    assert min(counts.values()) > 0
    answers = read_ednet(folder, files_per_batch=files_per_batch)
    assert list(as_rows(answers).items()) == list(expected.items())
    assert answers.left_out == {
        "answers to a question that questions.csv lacks": counts["lacks"],
        "answers to a question without a text": counts["text"],
        "answers without a choice": counts["choice"],
        "users without a usable answer": counts["users"],
    }


def test_every_field_is_read_and_answers_of_one_millisecond_keep_the_files_order(tmp_path: Path) -> None:
    answers = read_ednet(ednet(tmp_path))
    assert as_rows(answers) == GOOD
    assert answers.item_ids.to_pylist() == ["q9", "q2", "q1"]
    assert answers.texts.to_pylist() == ["Never asked", "Second", "First"]
    assert answers.left_out == {}
    assert answers.split is None
    types = [array.dtype.name for array in (answers.offsets, answers.items, answers.correct, answers.time_s)]
    assert types == ["int64", "int32", "int8", "int64"]


def test_answers_within_one_second_are_ordered_by_millisecond(tmp_path: Path) -> None:
    answers = read_ednet(ednet(tmp_path, {"u1": "1565096001900,1,q1,b,0\n1565096001100,2,q2,a,0\n"}))
    assert as_rows(answers) == {"u1": [("q2", 1, 1565096001), ("q1", 1, 1565096001)]}


def test_the_files_may_lie_in_the_folder_itself_and_questions_in_contents(tmp_path: Path) -> None:
    folder = ednet(tmp_path, users_folder=".")
    (folder / "contents").mkdir()
    (folder / "questions.csv").rename(folder / "contents" / "questions.csv")
    (folder / "u2.csv.part").write_text("no file of a user")
    assert as_rows(read_ednet(folder)) == GOOD


def test_crlf_and_bom_in_questions_and_texts_change_nothing(tmp_path: Path) -> None:
    questions, texts = ("\ufeff" + text.replace("\n", "\r\n") for text in (QUESTIONS, TEXTS))
    assert as_rows(read_ednet(ednet(tmp_path, questions=questions, texts=texts))) == GOOD


def test_a_user_with_a_header_only_is_left_out_and_counted(tmp_path: Path) -> None:
    answers = read_ednet(ednet(tmp_path, {**FILES, "u1": "", "u3": HEADER.encode()}), files_per_batch=1)
    assert as_rows(answers) == GOOD
    assert answers.left_out == {"users without a usable answer": 2}


def test_a_quote_is_data(tmp_path: Path) -> None:
    rows = '1565096001000,1,"q1",b,0\n1565096001000,2,",b,0\n1565096001000,3,q1,b,0\n'
    answers = read_ednet(ednet(tmp_path, {"u1": rows}))
    assert as_rows(answers) == {"u1": [("q1", 1, 1565096001)]}
    assert answers.left_out == {"answers to a question that questions.csv lacks": 2}


def test_progress_counts_files(tmp_path: Path) -> None:
    calls = []
    files = {f"u{user}": "1565096001000,1,q1,b,0\n" for user in range(5)}
    read_ednet(ednet(tmp_path, files), lambda *call: calls.append(call), files_per_batch=2)
    assert calls == [("read", 2, 5), ("read", 4, 5), ("read", 5, 5)]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (b"5,1,q1,b", "found 4 comma-separated fields, expected 5"),
        (b"5,1,q1,b,0,0", "found 6 comma-separated fields, expected 5"),
        (b"", "found 1 comma-separated field, expected 5"),
        (b",1,q1,b,0", "found timestamp '', expected milliseconds since 1970"),
        (b"1.5,1,q1,b,0", "found timestamp '1.5', expected milliseconds"),
        (
            b"1565096190,1,q1,b,0",
            "found timestamp '1565096190', expected milliseconds since 1970, of 1990 to",
        ),
        (HEADER.encode(), f"found the header again ({HEADER}), expected a row of data; delete the line"),
        (b"5,1,q\xff,b,0", "found byte 0xff at byte 6, expected valid UTF-8"),
        (b"5,1,q1,b\r,0", "found a carriage return inside '5,1,q1,b\\r,0'"),
        (b"5,1,q1,b,0\r5,1,q1,b,0", "found 9 comma-separated fields, expected 5"),
    ],
)
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
@pytest.mark.parametrize("files_per_batch", [1, 100])
def test_a_malformed_row_is_named(
    tmp_path: Path, row: bytes, message: str, end: bytes, files_per_batch: int
) -> None:
    bad = end.join([HEADER.encode(), b"1565096000004,1,q1,b,0", row, b"1565096000006,1,q1,b,0", b""])
    folder = ednet(tmp_path, {**FILES, "u7": bad})
    with pytest.raises(DataError, match=re.escape(f"{folder / 'KT1' / 'u7.csv'}:3: {message}")):
        read_ednet(folder, files_per_batch=files_per_batch)


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"", "an empty file"),
        (b"timestamp,question_id,user_answer\n5,q1,b\n", "'timestamp,question_id,user_answer'"),
        (b"5,1,q1,b,0\n", "'5,1,q1,b,0'"),
    ],
)
def test_a_file_without_the_header_is_named(tmp_path: Path, content: bytes, found: str) -> None:
    folder = ednet(tmp_path, {**FILES, "u7": content})
    message = f"{folder / 'KT1' / 'u7.csv'}:1: found {found}, expected the columns {HEADER}."
    with pytest.raises(DataError, match=re.escape(message)):
        read_ednet(folder)


@pytest.mark.parametrize(
    ("questions", "message"),
    [
        ("", ":1: found an empty file"),
        (QUESTIONS.splitlines()[0], ": found only a header"),
        (
            "question_id,part\nq1,1\n",
            ":1: found the columns 'question_id,part', expected question_id, correct_",
        ),
        (
            QUESTIONS + "q2,b,e,d,1,1,1\n",
            ":5: found id 'q2' again (first on row 3) with another text, expected every id once",
        ),
        (QUESTIONS + "q4,b,e,,1,1,1\n", ":5: found an empty correct_answer"),
        (QUESTIONS + "q4,b,e\n", ":5: found 3 comma-separated fields in 'q4,b,e', expected 7"),
    ],
)
def test_malformed_questions_are_named(tmp_path: Path, questions: str, message: str) -> None:
    folder = ednet(tmp_path, questions=questions)
    with pytest.raises(DataError, match=re.escape(f"{folder / 'questions.csv'}{message}")):
        read_ednet(folder)


def test_a_missing_questions_file_is_named(tmp_path: Path) -> None:
    (ednet(tmp_path) / "questions.csv").unlink()
    with pytest.raises(DataError, match=r"has no questions\.csv or contents/questions\.csv"):
        read_ednet(tmp_path)


def test_a_folder_without_user_files_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"KT1 has no u\*\.csv\. Put the extracted files of EdNet-KT1"):
        read_ednet(ednet(tmp_path, {}))


def test_no_usable_answer_at_all_is_an_error_that_says_why(tmp_path: Path) -> None:
    folder = ednet(tmp_path, {"u1": "1565096000001,1,Q1,b,0\n1565096000002,1,q3,d,0\n", "u2": ""})
    reasons = "1 answers to a question that questions.csv lacks, 1 answers to a question without a text"
    with pytest.raises(DataError, match=re.escape(f"found no usable answer ({reasons}, 2 users")):
        read_ednet(folder)


def test_rows_that_repeat_a_question_or_a_text_count_once(tmp_path: Path) -> None:
    repeated = "q2" + QUESTIONS.partition("\nq2")[2].partition("\n")[0] + "\n"
    answers = read_ednet(ednet(tmp_path, questions=QUESTIONS + repeated, texts=f"{TEXTS}q2\tSecond\n" * 2))
    assert as_rows(answers) == GOOD
    assert answers.item_ids.to_pylist() == ["q9", "q2", "q1"]
    assert answers.left_out["repeated rows of items"] == 5
