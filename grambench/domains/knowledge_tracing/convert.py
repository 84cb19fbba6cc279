"""Convert public data sets from their own formats to the plain tables that `formats.tables` reads."""

import gzip
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from grambench.data.tables.faults import shown
from grambench.errors import DataError
from grambench.fs import whole_folder

_HEADER = "student\tpos\tproblem\tskill\tskill_name\tcorrect"


@dataclass(frozen=True, slots=True)
class ConvertCounts:
    """Counts of a conversion."""

    rows: int
    """Rows of the source."""
    merged_rows: int
    """Rows that add a skill to the preceding answer: `rows` = `answers` + `merged_rows`."""
    students: int
    problems: int
    skills: int
    items: int
    """Items written: skills, distinct sets of skills, or problems."""
    answers: int
    """Answers written."""


@dataclass(slots=True)
class _Answer:
    student: str
    pos: int
    problem: str
    correct: str
    skills: list[str]


Assist2009Items = Literal["skills", "joint-skills", "problems"]


def convert_assist2009(source: Path, target: Path, items: Assist2009Items) -> ConvertCounts:
    """ASSISTments 2009-2010 "skill builder" logs -> `target/{items,interactions}.tsv`.

    A problem with k skills has k consecutive rows for one answer: same student, problem and correctness, one
    row per skill. `skills` keeps every row as an answer to its skill, which is how most results on these logs
    were obtained; a sequence model then sees the outcome in the first of these rows and "predicts" it in the
    others. `joint-skills` and `problems` merge them into one answer (X. Xiong et al., "Going Deeper with Deep
    Knowledge Tracing", EDM 2016, describe the leak). A row starts a new answer if its student, problem or
    correctness differs from the preceding row, or if the answer already has its skill (a second attempt).

    The id of a joint skill is its skills' ids, sorted and joined by `_`; its text is their names, joined by
    `; `. The text of a problem is the names of its skills, so many problems share one. The time is `pos` of
    the first row.

    Args:
        source: gzip of tab-separated rows under the header student, pos, problem, skill, skill_name,
            correct; a student's rows by ascending pos.
        target: created; may exist only if empty. Appears only once it is complete.
        items: what counts as an item.

    Raises:
        DataError: `target` is not empty; `source` cannot be read, holds no rows, or has a malformed one
            (`FILE:LINE: found X, expected Y`).
    """
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise DataError(f"{target} is not empty.", "Name a new folder or remove this one.")
    names: dict[str, str] = {}
    answers = list(_answers(source, names))
    if not answers:
        raise DataError(f"{source}: found no rows, expected at least one.")
    problems = len({answer.problem for answer in answers})
    if items == "skills":
        answers = [row for answer in answers for row in _rows_of(answer)]
    ids = [answer.problem if items == "problems" else "_".join(sorted(answer.skills)) for answer in answers]
    texts = _texts(ids, answers, names)
    _write(
        target,
        {
            "items.tsv": ["id\ttext\n", *(f"{id_}\t{text}\n" for id_, text in texts.items())],
            "interactions.tsv": [
                "user\titem\tcorrect\ttime\n",
                *(
                    f"{answer.student}\t{id_}\t{answer.correct}\t{answer.pos}\n"
                    for id_, answer in zip(ids, answers, strict=True)
                ),
            ],
        },
    )
    rows = sum(len(answer.skills) for answer in answers)
    return ConvertCounts(
        rows=rows,
        merged_rows=rows - len(answers),
        students=len({answer.student for answer in answers}),
        problems=problems,
        skills=len(names),
        items=len(texts),
        answers=len(answers),
    )


def _texts(ids: list[str], answers: list[_Answer], names: dict[str, str]) -> dict[str, str]:
    """Each item's text: the names of its skills."""
    by_item: dict[str, set[str]] = {}
    for id_, answer in zip(ids, answers, strict=True):
        by_item.setdefault(id_, set()).update(answer.skills)
    return {id_: "; ".join(names[skill] for skill in sorted(skills)) for id_, skills in by_item.items()}


def _rows_of(answer: _Answer) -> Iterator[_Answer]:
    """One row per skill, all with the same time, so that a run recognises them as one answer."""
    for skill in answer.skills:
        yield _Answer(answer.student, answer.pos, answer.problem, answer.correct, [skill])


def _answers(source: Path, names: dict[str, str]) -> Iterator[_Answer]:
    """Answers in file order; adds each skill's name to `names`."""
    last_pos: dict[str, int] = {}
    current: _Answer | None = None
    for number, fields in _rows(source):
        student, pos_text, problem, skill, name, correct = fields
        pos = int(pos_text)
        if pos <= last_pos.get(student, -1):
            raise DataError(
                f"{source}:{number}: found pos {pos} of student {shown(student)} after {last_pos[student]},"
                " expected a student's rows by ascending pos."
            )
        last_pos[student] = pos
        if names.setdefault(skill, name) != name:
            raise DataError(
                f"{source}:{number}: found the name {shown(name)} of skill {shown(skill)},"
                f" expected {shown(names[skill])} as before."
            )
        if (
            current is not None
            and (current.student, current.problem, current.correct) == (student, problem, correct)
            and skill not in current.skills
        ):
            current.skills.append(skill)
            continue
        if current is not None:
            yield current
        current = _Answer(student, pos, problem, correct, [skill])
    if current is not None:
        yield current


def _rows(source: Path) -> Iterator[tuple[int, list[str]]]:
    """Line number and the six validated fields of each row."""
    try:
        with gzip.open(source, "rt", encoding="utf-8", newline="\n") as file:
            header = file.readline().rstrip("\r\n")
            if header != _HEADER:
                raise DataError(f"{source}:1: found the header {shown(header)}, expected {shown(_HEADER)}.")
            for number, line in enumerate(file, start=2):
                fields = line.removesuffix("\n").removesuffix("\r").split("\t")
                fault = _fault(fields)
                if fault:
                    raise DataError(f"{source}:{number}: {fault}.")
                yield number, fields
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise DataError(f"{source} cannot be read as gzip of UTF-8: {error}.") from error


def _fault(fields: list[str]) -> str | None:
    if len(fields) != 6:
        plural = "" if len(fields) == 1 else "s"
        return f"found {len(fields)} tab-separated field{plural}, expected 6"
    for name, value in zip(_HEADER.split("\t"), fields, strict=True):
        if not value:
            return f"found an empty {name}, expected a value"
    if not (fields[1].isascii() and fields[1].isdigit()):
        return f"found pos {shown(fields[1])}, expected a whole number"
    if fields[5] not in ("0", "1"):
        return f"found correct {shown(fields[5])}, expected 0 or 1"
    return None


def _write(target: Path, files: dict[str, list[str]]) -> None:
    """Write a folder of files atomically."""
    with whole_folder(target) as folder:
        for name, lines in files.items():
            with (folder / name).open("w", encoding="utf-8", newline="\n") as file:
                file.writelines(lines)
