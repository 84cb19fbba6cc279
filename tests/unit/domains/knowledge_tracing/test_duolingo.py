"""The reader of Duolingo SLAM: every field of the format, and each fault by its file and line."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from grambench.data.tables.splits import TEST, TRAIN, VALIDATION
from grambench.domains.knowledge_tracing.answers import Answers
from grambench.domains.knowledge_tracing.formats.duolingo import duolingo_files, read_duolingo
from grambench.errors import DataError

MARK = "\ufeff"
TRAIN_TEXT = """\
# prompt:I cook fish.
# user:+H9QWAV4  countries:CA  days:0.026  client:ios  session:lesson  format:reverse_translate  time:11
fPMzRNKJ0201  Yo        PRON    Case=Nom|Number=Sing|Person=1|fPOS=PRON++          nsubj        2  0
fPMzRNKJ0202  cocino    VERB    Mood=Ind|Number=Sing|Person=1|fPOS=VERB++          ROOT         0  0
fPMzRNKJ0203  pescado   NOUN    Gender=Masc|Number=Sing|fPOS=NOUN++                dobj         2  1

# user:YjS/mQOx  countries:US|MX  days:20.133  client:web  session:practice  format:listen  time:null
/A/dQZMu0101  Él        PRON    Person=3|fPOS=PRON++                               nsubj        2  0
/A/dQZMu0102  come      VERB    Mood=Ind|fPOS=VERB++                               ROOT         0  0

# prompt:I cook fish.
# user:+H9QWAV4  countries:CA  days:0.030  client:ios  session:lesson  format:reverse_tap  time:
Qt+uzqbZ0101  Cocino    VERB    Mood=Ind|fPOS=VERB++                               ROOT         0  0
"""
DEV_TEXT = """\
# user:YjS/mQOx  countries:US|MX  days:21.5  client:web  session:test  format:listen  time:4
devAAAAA0101  Él        PRON    Person=3|fPOS=PRON++                               nsubj        2
devAAAAA0102  come      VERB    Mood=Ind|fPOS=VERB++                               ROOT         0

# user:newcomer  countries:GB  days:0  client:android  session:lesson  format:listen  time:4
devBBBBB0101  Hola      INTJ    fPOS=INTJ++                                        ROOT         0
"""
TEST_TEXT = """\
# prompt:I cook fish.
# user:+H9QWAV4  countries:CA  days:9.000  client:ios  session:lesson  format:reverse_translate  time:2
tesAAAAA0101  Cocino    VERB    Mood=Ind|fPOS=VERB++                               ROOT         0
"""
TEXTS = {
    "train": TRAIN_TEXT,
    "dev": DEV_TEXT,
    "dev.key": "devAAAAA0101 0\ndevAAAAA0102 1\ndevBBBBB0101 0\n",
    "test": TEST_TEXT,
    "test.key": "tesAAAAA0101 1\n",
}
HEADER = "# user:u  countries:CA  days:1.5  client:ios  session:lesson  format:listen  time:3"
TOKEN = "AAAAAAAA0101  a  X  f=Y  ROOT  0"
fresh_files = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


def file(folder: Path, name: str, track: str = "es_en") -> Path:
    return folder / f"{track}.slam.20190204.{name}"


def write(folder: Path, texts: dict[str, str | bytes], track: str = "es_en") -> Path:
    """The hand-written files, some of them replaced."""
    for name, text in {**TEXTS, **texts}.items():
        file(folder, name, track).write_bytes(text.encode() if isinstance(text, str) else text)
    return folder


def as_rows(answers: Answers) -> list[tuple[str, str, int, int, int]]:
    """User, item, correct, time and split of every answer, user by user."""
    assert answers.split is not None
    users = np.repeat(answers.user_ids.to_pylist(), np.diff(answers.offsets))
    items = [answers.item_ids[item].as_py() for item in answers.items]
    columns = (users.tolist(), items, *(c.tolist() for c in (answers.correct, answers.time_s, answers.split)))
    return list(zip(*columns, strict=True))


def refused(folder: Path, texts: dict[str, str | bytes]) -> str:
    with pytest.raises(DataError) as caught:
        read_duolingo(write(folder, texts), "es_en")
    return caught.value.message


def test_every_field_is_read(tmp_path: Path) -> None:
    answers = read_duolingo(write(tmp_path, {}), "es_en")
    assert as_rows(answers) == [
        ("+H9QWAV4", "I cook fish.", 0, 2_246, TRAIN),
        ("+H9QWAV4", "I cook fish.", 1, 2_592, TRAIN),
        ("+H9QWAV4", "I cook fish.", 0, 777_600, TEST),
        ("YjS/mQOx", "Él come", 1, 1_739_491, TRAIN),
        ("YjS/mQOx", "Él come", 0, 1_857_600, VALIDATION),
        ("newcomer", "Hola", 1, 0, VALIDATION),
    ]
    assert answers.user_ids.to_pylist() == ["+H9QWAV4", "YjS/mQOx", "newcomer"]
    assert answers.offsets.tolist() == [0, 3, 5, 6]
    assert answers.texts.to_pylist() == answers.item_ids.to_pylist() == ["I cook fish.", "Él come", "Hola"]
    assert answers.left_out == {}


def test_arrays_have_the_stated_types(tmp_path: Path) -> None:
    answers = read_duolingo(write(tmp_path, {}), "es_en")
    arrays = (answers.offsets, answers.items, answers.correct, answers.time_s, answers.split)
    assert [array.dtype.name for array in arrays if array is not None] == [
        "int64", "int32", "int8", "int64", "int8",
    ]  # fmt: skip
    assert {str(array.type) for array in (answers.item_ids, answers.texts, answers.user_ids)} == {
        "large_string"
    }


def test_the_track_chooses_among_the_files_of_both(tmp_path: Path) -> None:
    write(tmp_path, {})
    write(tmp_path, {"train": TRAIN_TEXT.replace("I cook fish.", "Je cuisine.")}, "fr_en")
    assert "Je cuisine." in read_duolingo(tmp_path, "fr_en").item_ids.to_pylist()
    assert "Je cuisine." not in read_duolingo(tmp_path, "es_en").item_ids.to_pylist()


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("\n", "\r\n"),
        lambda text: MARK + text,
        lambda text: MARK + text.replace("\n", "\r\n"),
        lambda text: text + "\n\n \n\n",
        lambda text: "\n\n" + text.replace("\n\n", "\n\n \t\n\n"),
        lambda text: text.rstrip("\n"),
        lambda text: re.sub("  +", " ", text),
        lambda text: re.sub("  +", "     ", text),
        lambda text: re.sub("(?m)$", "  ", text),
        lambda text: re.sub(r"(# prompt:.*\n)(# user:.*\n)", r"\2\1", text),
        lambda text: re.sub(r"(countries:\S+)  (days:\S+)", r"\2  \1", text),
    ],
    ids=[
        "crlf", "bom", "bom-and-crlf", "blank-lines-at-the-end", "more-blank-lines", "no-newline-at-the-end",
        "single-blanks", "five-blanks", "trailing-blanks", "user-before-prompt", "days-before-countries",
    ],
)  # fmt: skip
def test_layout_changes_nothing(tmp_path: Path, change: Callable[[str], str]) -> None:
    plain = as_rows(read_duolingo(write(tmp_path, {}), "es_en"))
    changed = {name: change(text) for name, text in TEXTS.items()}
    assert as_rows(read_duolingo(write(tmp_path, changed), "es_en")) == plain


@pytest.mark.parametrize("value", ["null", "", "7", "-3"])
def test_the_time_field_is_not_used(tmp_path: Path, value: str) -> None:
    changed = {name: re.sub(r"time:\w*", f"time:{value}", text) for name, text in TEXTS.items()}
    plain = as_rows(read_duolingo(write(tmp_path, {}), "es_en"))
    assert as_rows(read_duolingo(write(tmp_path, changed), "es_en")) == plain


def test_an_empty_prompt_is_none(tmp_path: Path) -> None:
    text = f"# prompt:  \n{HEADER}\n{TOKEN}  0\n"
    assert read_duolingo(write(tmp_path, {"train": text}), "es_en").item_ids[0].as_py() == "a"


def test_blanks_around_a_prompt_are_not_part_of_it(tmp_path: Path) -> None:
    text = f"# prompt:  a  b  \n{HEADER}\n{TOKEN}  0\n"
    assert read_duolingo(write(tmp_path, {"train": text}), "es_en").item_ids[0].as_py() == "a  b"


def test_a_prompt_and_tokens_of_one_text_are_one_item(tmp_path: Path) -> None:
    text = f"# prompt:a\n{HEADER}\n{TOKEN}  0\n\n{HEADER}\n{TOKEN}  0\n"
    answers = read_duolingo(write(tmp_path, {"train": text}), "es_en")
    assert answers.items[:2].tolist() == [0, 0]


def test_only_a_newline_ends_a_line_and_only_ascii_blanks_part_fields(tmp_path: Path) -> None:
    first = f"# prompt:a\u2028b\u0085c\n{HEADER}\n{TOKEN}  0\n"
    second = f"{HEADER}\n{TOKEN}  0\n".replace("  a  ", "  a\u00a0b  ")
    text = f"{first}\n{second}"
    answers = read_duolingo(write(tmp_path, {"train": text}), "es_en")
    assert answers.item_ids[:2].to_pylist() == ["a\u2028b\u0085c", "a\u00a0b"]


def test_answers_out_of_order_are_sorted_by_days_and_ties_keep_the_order_of_the_files(tmp_path: Path) -> None:
    def exercise(text: str, days: str, label: str = "  0") -> str:
        return f"# prompt:{text}\n{HEADER.replace('1.5', days)}\n{TOKEN}{label}\n\n"

    texts: dict[str, str | bytes] = {
        "train": exercise("c", "10.5") + exercise("a", "2.0") + exercise("d", "10.5"),
        "dev": exercise("b", "9.25", ""),
        "dev.key": "AAAAAAAA0101 0\n",
        "test": exercise("e", "10.5", ""),
        "test.key": "AAAAAAAA0101 0\n",
    }
    rows = as_rows(read_duolingo(write(tmp_path, texts), "es_en"))
    assert [(item, split) for _, item, _, _, split in rows] == [
        ("a", TRAIN), ("b", VALIDATION), ("c", TRAIN), ("d", TRAIN), ("e", TEST),
    ]  # fmt: skip
    assert [row[3] for row in rows] == [172_800, 799_200, 907_200, 907_200, 907_200]


words = st.text(
    st.characters(codec="utf-8", exclude_characters="#", exclude_categories=["Zs", "Cc"]), min_size=1
)
exercises = st.lists(
    st.tuples(
        st.sampled_from(["ann", "bob", "cy+/9"]),
        st.integers(0, 30_000),
        st.none() | words,
        st.lists(st.tuples(words, st.integers(0, 1)), min_size=1, max_size=4),
    ),
    min_size=1,
    max_size=8,
)


@given(parts=st.tuples(exercises, exercises, exercises))
@fresh_files
def test_any_exercises_come_back_as_they_were_written(
    tmp_path: Path, parts: tuple[list[tuple[str, int, str | None, list[tuple[str, int]]]], ...]
) -> None:
    texts: dict[str, str | bytes] = {}
    expected: dict[str, list[tuple[str, str, int, int, int]]] = {}
    for split, (name, part) in enumerate(zip(("train", "dev", "test"), parts, strict=True)):
        blocks, key = [], []
        for exercise, (user, milli_days, prompt, tokens) in enumerate(part):
            lines = [] if prompt is None else [f"# prompt:{prompt}"]
            lines.append(f"# user:{user}  days:{milli_days / 1000:.3f}  time:null")
            for position, (word, label) in enumerate(tokens):
                token_id = f"{exercise:08}{position:04}"
                lines.append(f"{token_id} {word}  X  Y  Z  0" + (f"  {label}" if name == "train" else ""))
                key.append(f"{token_id} {label}\n")
            blocks.append("\n".join(lines))
            text = " ".join(word for word, _ in tokens) if prompt is None else prompt
            correct = int(not any(label for _, label in tokens))
            seconds = round(milli_days * 86.4)
            expected.setdefault(user, []).append((user, text, correct, seconds, split))
        texts[name] = "\n\n".join(blocks)
        texts[f"{name}.key"] = "".join(key)
    in_time = [sorted(answers, key=lambda answer: answer[3]) for answers in expected.values()]
    assert as_rows(read_duolingo(write(tmp_path, texts), "es_en")) == [
        row for rows in in_time for row in rows
    ]


@pytest.mark.parametrize(
    ("lines", "line", "message"),
    [
        ([HEADER, TOKEN], 4, "found 6 fields, expected 7"),
        ([HEADER, TOKEN + "  0  0"], 4, "found 8 fields, expected 7"),
        ([HEADER, "AAAAAAAA0101"], 4, "found 1 field, expected 7"),
        ([HEADER, TOKEN + "  2"], 4, "found label '2', expected 0 or 1"),
        ([HEADER, TOKEN + "  0", TOKEN + "  \x1b"], 5, "found label '\\x1b', expected 0 or 1"),
        ([HEADER, TOKEN[1:] + "  0"], 4, "found token id 'AAAAAAA0101' of length 11, expected 12 characters"),
        ([HEADER, "A" + TOKEN + "  0"], 4, "found token id 'AAAAAAAAA0101' of length 13, expected 12"),
        ([TOKEN + "  0"], 3, "found an exercise without a '# user:' line, expected one"),
        (["# prompt:Hi.", TOKEN + "  0"], 3, "found an exercise without a '# user:' line, expected one"),
        ([HEADER], 3, "found the end of an exercise, expected a token line first"),
        (["# prompt:Hi.", HEADER], 4, "found the end of an exercise, expected a token line first"),
        ([HEADER, HEADER, TOKEN + "  0"], 4, "found '# user:u  countries:CA  days:1.5"),
        (
            ["# prompt:Hi.", "# prompt:Ho.", HEADER],
            4,
            "found '# prompt:Ho.', expected one '# user:' line and",
        ),
        (["# note", HEADER, TOKEN + "  0"], 3, "found '# note', expected one '# user:' line and at most one"),
        ([HEADER, TOKEN + "  0", HEADER], 5, "found '# user:u countries:CA days:1.5"),
        (
            [HEADER, TOKEN + "  0", "# prompt:Hi."],
            5,
            "found '# prompt:Hi.' after a token line, expected a blank",
        ),
        ([HEADER.replace("user:u", "user:"), TOKEN + "  0"], 3, "found no user id, expected one such as"),
        ([HEADER.replace("days:1.5", ""), TOKEN + "  0"], 3, "found no days, expected days since"),
        *(
            ([HEADER.replace("1.5", days), TOKEN + "  0"], 3, f"found days '{days}', expected days since")
            for days in ("", "x", "nan", "inf", "-1", "1e3", "1_0", "1.", ".5", "1,5", "1234567", "٣")
        ),
    ],
)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_malformed_exercise_is_named(
    tmp_path: Path, lines: list[str], line: int, message: str, end: str
) -> None:
    text = MARK + end.join(["", "", *lines, "", HEADER, TOKEN + "  0", ""])
    found = refused(tmp_path, {"train": text})
    assert found.startswith(f"{file(tmp_path, 'train')}:{line}: {message}")
    assert ", expected " in found


def test_a_labelled_token_is_refused_where_a_key_file_has_the_labels(tmp_path: Path) -> None:
    found = refused(tmp_path, {"dev": f"{HEADER}\n{TOKEN}  0\n"})
    assert found == f"{file(tmp_path, 'dev')}:2: found 7 fields, expected 6."


@pytest.mark.parametrize(
    ("key", "line", "message"),
    [
        ("devAAAAA0101", 2, "found 1 field, expected 2: token id and label"),
        ("devAAAAA0101 0 1", 2, "found 3 fields, expected 2: token id and label"),
        ("devAAAAA0101 2", 2, "found label '2', expected 0 or 1"),
        ("devAAAAA010 0", 2, "found token id 'devAAAAA010' of length 11, expected 12 characters"),
        (
            "\ndevBBBBB0101 1",
            3,
            "found token id 'devBBBBB0101' again (first on line 1), expected every id once",
        ),
        ("\ndevCCCCC0101 1", 3, "found token id 'devCCCCC0101', which no exercise has, expected those of "),
    ],
)
def test_a_malformed_key_file_is_named(tmp_path: Path, key: str, line: int, message: str) -> None:
    text = f"devBBBBB0101 0\n{key}\ndevAAAAA0101 0\ndevAAAAA0102 0\n"
    assert refused(tmp_path, {"dev.key": text}).startswith(f"{file(tmp_path, 'dev.key')}:{line}: {message}")


def test_a_token_that_the_key_file_misses_is_named(tmp_path: Path) -> None:
    found = refused(tmp_path, {"dev.key": "devAAAAA0101 0\ndevBBBBB0101 0\n"})
    key = file(tmp_path, "dev.key")
    where = f"{file(tmp_path, 'dev')}:3"
    assert found == f"{where}: found token id 'devAAAAA0102', expected one of {key}, each once."


def test_a_token_id_that_repeats_in_dev_is_named(tmp_path: Path) -> None:
    found = refused(tmp_path, {"dev": DEV_TEXT + "\n" + DEV_TEXT})
    assert found.startswith(f"{file(tmp_path, 'dev')}:9: found token id 'devAAAAA0101', expected one of ")


def test_the_labels_of_dev_are_not_those_of_test(tmp_path: Path) -> None:
    found = refused(tmp_path, {"test.key": TEXTS["dev.key"]})
    assert found.startswith(f"{file(tmp_path, 'test')}:3: found token id 'tesAAAAA0101', expected one of ")


@pytest.mark.parametrize("name", list(TEXTS))
@pytest.mark.parametrize("content", ["", MARK, "\n", "\r\n \n"])
def test_an_empty_file_is_refused(tmp_path: Path, name: str, content: str) -> None:
    found = refused(tmp_path, {name: content})
    assert found.startswith(f"{file(tmp_path, name)}:1: found an empty file, expected ")


@pytest.mark.parametrize("name", list(TEXTS))
def test_bytes_that_are_not_utf8_are_named(tmp_path: Path, name: str) -> None:
    first, rest = TEXTS[name].encode().split(b"\n", 1)
    found = refused(tmp_path, {name: first + b"\nab\xff\n" + rest})
    assert found == f"{file(tmp_path, name)}:2: found byte 0xff at byte 3, expected valid UTF-8."


def test_a_file_that_cannot_be_read_is_a_data_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def closed(path: Path, mode: str) -> None:
        raise PermissionError(13, "Permission denied")

    write(tmp_path, {})
    monkeypatch.setattr(Path, "open", closed)
    with pytest.raises(DataError, match=r"slam\.20190204\.train cannot be read: Permission denied\."):
        read_duolingo(tmp_path, "es_en")


def test_every_missing_file_is_named_and_where_the_data_is_to_be_had(tmp_path: Path) -> None:
    write(tmp_path, {})
    for name in ("dev.key", "test"):
        file(tmp_path, name).unlink()
    with pytest.raises(DataError) as caught:
        read_duolingo(tmp_path, "es_en")
    assert caught.value.message == (
        f"{tmp_path} lacks es_en.slam.20190204.dev.key, es_en.slam.20190204.test."
    )
    for part in ("https://doi.org/10.7910/DVN/8SWHNO", "guestbook", "CC BY-NC 4.0", str(tmp_path)):
        assert part in caught.value.fix


def test_files_are_listed_by_what_they_hold(tmp_path: Path) -> None:
    files = duolingo_files(write(tmp_path, {}, "fr_en"), "fr_en")
    assert files == {name: file(tmp_path, name, "fr_en") for name in TEXTS}


def test_a_folder_that_is_not_there_lacks_all_five_files(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        duolingo_files(tmp_path / "nowhere", "fr_en")
    assert all(file(tmp_path, name, "fr_en").name in caught.value.message for name in TEXTS)
