"""ASSISTments 2009 into the plain form: one answer for the rows of a multi-skill problem."""

import gzip
import re
from pathlib import Path

import pytest

from grambench.domains.knowledge_tracing.convert import Assist2009Items, ConvertCounts, convert_assist2009
from grambench.domains.knowledge_tracing.formats.tables import read_tables
from grambench.domains.knowledge_tracing.repeats import find_repeats
from grambench.errors import DataError

HEADER = "student\tpos\tproblem\tskill\tskill_name\tcorrect"
ROWS = [
    "s1\t0\tp1\t9\tMean\t1",
    "s1\t1\tp1\t7\tTable\t1",
    "s1\t2\tp1\t7\tTable\t1",
    "s1\t3\tp1\t9\tMean\t1",
    "s1\t4\tp2\t7\tTable\t0",
    "s1\t5\tp2\t7\tTable\t1",
    "s2\t0\tp2\t7\tTable\t1",
]


def source_of(folder: Path, lines: list[str]) -> Path:
    path = folder / "source.tsv.gz"
    path.write_bytes(gzip.compress("".join(f"{line}\n" for line in lines).encode()))
    return path


def test_rows_of_one_answer_become_one_answer_to_the_joint_skill(tmp_path: Path) -> None:
    counts = convert_assist2009(source_of(tmp_path, [HEADER, *ROWS]), tmp_path / "out", "joint-skills")
    assert counts == ConvertCounts(
        rows=7, merged_rows=2, students=2, problems=2, skills=2, items=2, answers=5
    )
    assert (tmp_path / "out" / "items.tsv").read_text() == "id\ttext\n7_9\tTable; Mean\n7\tTable\n"
    assert (tmp_path / "out" / "interactions.tsv").read_text() == (
        "user\titem\tcorrect\ttime\ns1\t7_9\t1\t0\ns1\t7_9\t1\t2\ns1\t7\t0\t4\ns1\t7\t1\t5\ns2\t7\t1\t0\n"
    )


def test_every_row_is_an_answer_to_its_skill(tmp_path: Path) -> None:
    counts = convert_assist2009(source_of(tmp_path, [HEADER, *ROWS]), tmp_path / "out", "skills")
    assert counts == ConvertCounts(
        rows=7, merged_rows=0, students=2, problems=2, skills=2, items=2, answers=7
    )
    assert (tmp_path / "out" / "items.tsv").read_text() == "id\ttext\n9\tMean\n7\tTable\n"
    rows = (tmp_path / "out" / "interactions.tsv").read_text().splitlines()[1:]
    fields = [row.split("\t") for row in ROWS]
    times = "0022450"  # rows of one answer share the first one's, so that a run can tell
    assert rows == ["\t".join((f[0], f[3], f[5], time)) for f, time in zip(fields, times, strict=True)]


def test_problems_carry_the_names_of_their_skills(tmp_path: Path) -> None:
    counts = convert_assist2009(source_of(tmp_path, [HEADER, *ROWS]), tmp_path / "out", "problems")
    assert (counts.items, counts.answers) == (2, 5)
    assert (tmp_path / "out" / "items.tsv").read_text() == "id\ttext\np1\tTable; Mean\np2\tTable\n"
    answers = read_tables(tmp_path / "out")
    assert answers.offsets.tolist() == [0, 4, 5]
    assert answers.items.tolist() == [0, 0, 1, 1, 1]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("s1\t2\tp1\t7\tTable", "found 5 tab-separated fields, expected 6"),
        ("", "found 1 tab-separated field, expected 6"),
        ("s1\t2\tp1\t\tTable\t1", "found an empty skill, expected a value"),
        ("s1\tx\tp1\t7\tTable\t1", "found pos 'x', expected a whole number"),
        ("s1\t1\tp1\t7\tTable\t1", "found pos 1 of student 's1' after 1, expected a student's rows by"),
        ("s1\t2\tp1\t7\tTable\t2", "found correct '2', expected 0 or 1"),
        ("s1\t2\tp1\t7\tMean\t1", "found the name 'Mean' of skill '7', expected 'Table' as before"),
    ],
)
def test_a_malformed_row_is_named_and_nothing_is_written(tmp_path: Path, line: str, message: str) -> None:
    source = source_of(tmp_path, [HEADER, *ROWS[:2], line, *ROWS[3:]])
    with pytest.raises(DataError, match=re.escape(f"{source}:4: {message}")):
        convert_assist2009(source, tmp_path / "out", "skills")
    assert list(tmp_path.iterdir()) == [source]


def test_another_header_and_no_rows_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r":1: found the header 's1"):
        convert_assist2009(source_of(tmp_path, ROWS), tmp_path / "out", "skills")
    with pytest.raises(DataError, match="found no rows"):
        convert_assist2009(source_of(tmp_path, [HEADER]), tmp_path / "out", "skills")


@pytest.mark.parametrize(
    "content",
    [b"no gzip", gzip.compress(b"x" * 1000)[:20], gzip.compress(b"\xff\n")],
    ids=["no gzip", "cut short", "no UTF-8"],
)
def test_a_damaged_source_is_a_data_error(tmp_path: Path, content: bytes) -> None:
    source = tmp_path / "source.tsv.gz"
    source.write_bytes(content)
    with pytest.raises(DataError, match="cannot be read as gzip"):
        convert_assist2009(source, tmp_path / "out", "skills")


def test_a_target_in_use_is_refused_and_untouched(tmp_path: Path) -> None:
    source = source_of(tmp_path, [HEADER, *ROWS])
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").touch()
    with pytest.raises(DataError, match="is not empty"):
        convert_assist2009(source, tmp_path / "out", "skills")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine"]
    (tmp_path / "out" / "mine").unlink()
    convert_assist2009(source, tmp_path / "out", "skills")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["interactions.tsv", "items.tsv"]


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("items", "count", "answers"),
    [("skills", 110, 325_637), ("joint-skills", 136, 274_590), ("problems", 16_891, 274_590)],
)
def test_the_real_logs_give_their_known_numbers(
    shared_data: Path, tmp_path: Path, items: Assist2009Items, count: int, answers: int
) -> None:
    source = shared_data / "assist2009" / "interactions.tsv.gz"
    counts = convert_assist2009(source, tmp_path / "out", items)
    assert (counts.rows, counts.students, counts.problems, counts.skills) == (325_637, 4_151, 16_891, 110)
    assert (counts.merged_rows, counts.answers, counts.items) == (325_637 - answers, answers, count)
    read = read_tables(tmp_path / "out")
    assert (len(read), len(read.user_ids), len(read.item_ids)) == (answers, 4_151, count)
    assert read.left_out == {}
    repeats = find_repeats(read).counts  # a row a skill is seen as what the other forms merge
    assert repeats.repeated == (51_047 if items == "skills" else 0)
    assert repeats.agreeing_moments == repeats.moments
