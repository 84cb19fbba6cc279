"""Generated knowledge-tracing data as two plain tables: no download, no licence, any size.

Every exercise has a skill and a difficulty, both expressed by its words; every student has an ability that
varies by skill, and learns with every answer. A model that reads the words can judge unseen exercises; a
model that only knows ids cannot.

Shapes: I items, U students (users), S skills, A answers, grouped by student.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from grambench.config.synthetic_answers import SyntheticAnswers
from grambench.data.draws import Floats, Ints, Stream, WeightedIndex, starts
from grambench.domains.knowledge_tracing.wording import write_exercises
from grambench.fs import whole_folder

CORRECT_RATE = 0.65
"""Planted share of right answers."""
FEWEST_ANSWERS = 5
"""Fewest answers per student."""

_POPULARITY_OFFSET, _POPULARITY_EXPONENT = 5.0, 1.2  # (rank + offset)^-exponent, Zipf-Mandelbrot
_TAIL = 0.04  # largest excess of answers: 1 / _TAIL - 1 times the scale of a Pareto distribution, exponent 2
_CHANCE_ONE = 1 << 20
_FIRST_DAY_S = 1_577_836_800  # 1/1/2020, UTC
_DAY_S = 86_400
_START_DAYS, _BREAK_DAYS = 30, 3  # first answers are within a month; a break is at most three days
_BREAK_SHARE = 0.05  # of the answers come after a break
_THINKING_S = (5, 65)  # the others: seconds since the previous answer


@dataclass(frozen=True, eq=False)
class StudentWorld:
    """The planted parameters: used by `generate_answers`, and as ground truth in tests."""

    texts: list[str]
    """Text of each item."""
    difficulty_I: Floats
    """Logits; expected mean 0."""
    skill_I: Ints
    """In [0, S); skills have equal numbers of items, to within one."""
    popularity_I: Floats
    """In (0, 1], a power law of the rank; independent of skill and difficulty."""
    ability_U: Floats
    """Logits; the mean is such that `CORRECT_RATE` of the answers are right."""
    skill_ability_US: Floats
    """Logits, added to `ability_U`; expected mean 0."""
    offsets: Ints
    """[U + 1]; student u's answers are at offsets[u]:offsets[u + 1], earliest first."""
    item_A: Ints
    """Item of each answer; items may repeat for a student."""
    practice_A: Ints
    """Earlier answers of the same student to items of the same skill."""
    chance_A: Floats
    """P(correct), a multiple of 2^-20."""


def plant_answers(spec: SyntheticAnswers) -> StudentWorld:
    """Draw items, students and their answers; the same `spec` gives the same result."""
    items, skills, seed = spec.items, spec.skills, spec.seed
    skill_I = _ranks(Stream(seed, "item skill").uniform(items)) % skills
    rank_I = _ranks(Stream(seed, "item popularity").uniform(items))
    popularity_I: Floats = (rank_I / _POPULARITY_OFFSET + 1.0) ** -_POPULARITY_EXPONENT
    written = write_exercises(skill_I, skills, seed)
    difficulty_I = spec.difficulty_spread * written.difficulty_I

    length_U = _lengths(spec)
    user_A = np.repeat(np.arange(spec.students), length_U)
    item_A = WeightedIndex(popularity_I).draw(Stream(seed, "answer item").uniform(len(user_A)))
    practice_A = _practice(user_A * skills + skill_I[item_A], spec.students * skills)

    ability_U = spec.ability_spread * _bell(Stream(seed, "ability"), spec.students)
    skill_ability_US = spec.skill_spread * _bell(Stream(seed, "skill ability"), spec.students, skills)
    logit_A = ability_U[user_A] + skill_ability_US[user_A, skill_I[item_A]]
    logit_A += spec.learning * practice_A - difficulty_I[item_A]
    mean_ability = _mean_ability(logit_A)
    return StudentWorld(
        texts=written.texts,
        difficulty_I=difficulty_I,
        skill_I=skill_I,
        popularity_I=popularity_I,
        ability_U=mean_ability + ability_U,
        skill_ability_US=skill_ability_US,
        offsets=np.concatenate([[0], np.cumsum(length_U)]),
        item_A=item_A,
        practice_A=practice_A,
        chance_A=_chance(mean_ability + logit_A),
    )


def generate_answers(spec: SyntheticAnswers, out_dir: Path) -> None:
    """Write `out_dir/{items,interactions}.tsv`; `out_dir` appears only once both are complete.

    items.tsv has the columns id (I1, I2, …) and text, for all items, answered or not. interactions.tsv
    has user (U1, U2, …), item, correct (1 or 0) and time (seconds since 1/1/1970, UTC); rows are grouped by
    student, in order of time.

    Args:
        spec: sizes and distributions.
        out_dir: created; may exist only if empty.

    Raises:
        DataError: `out_dir` is not empty.
    """
    with whole_folder(out_dir) as folder:
        world = plant_answers(spec)
        with (folder / "items.tsv").open("w", newline="\n") as file:
            file.write("id\ttext\n")
            file.writelines(f"I{item}\t{text}\n" for item, text in enumerate(world.texts, start=1))
        with (folder / "interactions.tsv").open("w", newline="\n") as file:
            file.write("user\titem\tcorrect\ttime\n")
            file.writelines(_interaction_rows(spec, world))


def _interaction_rows(spec: SyntheticAnswers, world: StudentWorld) -> Iterator[str]:
    length_U = np.diff(world.offsets)
    correct_A = Stream(spec.seed, "answer correct").uniform(len(world.item_A)) < world.chance_A
    columns = (
        np.repeat(np.arange(spec.students) + 1, length_U),
        world.item_A + 1,
        correct_A.astype(np.int64),
        _times(length_U, spec.seed),
    )
    for user, item, correct, time_s in zip(*(column.tolist() for column in columns), strict=True):
        yield f"U{user}\tI{item}\t{correct}\t{time_s}\n"


def _ranks(values: Floats) -> Ints:
    """Rank of each value, 0 for the smallest."""
    return np.argsort(np.argsort(values, kind="stable"))


def _lengths(spec: SyntheticAnswers) -> Ints:
    """Answers per student [U]: the minimum plus a truncated Pareto distribution of exponent 2."""
    uniform_U = Stream(spec.seed, "answers").uniform(spec.students) * (1 - _TAIL**2)
    excess_U = 1 / np.sqrt(1 - uniform_U) - 1
    mean_excess = 2 / (1 + _TAIL) - 1
    scale = (spec.answers_mean - FEWEST_ANSWERS) / mean_excess
    return FEWEST_ANSWERS + np.rint(excess_U * scale).astype(np.int64)


def _practice(group_A: Ints, groups: int) -> Ints:
    """Number of earlier answers in the same group, for each answer [A]."""
    order_A = np.argsort(group_A, kind="stable")
    first_A = starts(np.bincount(group_A, minlength=groups))[group_A[order_A]]
    practice_A = np.empty_like(group_A)
    practice_A[order_A] = np.arange(len(group_A)) - first_A
    return practice_A


def _bell(stream: Stream, *shape: int) -> Floats:
    """Approximately standard normal numbers: sums of four uniform ones, identical on every platform."""
    uniform = stream.uniform(4 * math.prod(shape)).reshape(4, *shape)
    return np.asarray((uniform.sum(axis=0) - 2) * math.sqrt(3), dtype=np.float64)


def _chance(logit_A: Floats) -> Floats:
    """The sigmoid, rounded so that sums of probabilities are exact in any order."""
    rounded_A = np.rint(_CHANCE_ONE / (1 + np.exp(np.minimum(-logit_A, 700.0)))) / _CHANCE_ONE
    return np.asarray(rounded_A, dtype=np.float64)


def _mean_ability(logit_A: Floats) -> float:
    """The offset of all logits that gives a mean probability of `CORRECT_RATE`, to within 2^-8."""
    low, high = -1024.0, 1024.0
    while high - low > 2**-8:
        middle = (low + high) / 2
        low, high = (middle, high) if _chance(logit_A + middle).mean() < CORRECT_RATE else (low, middle)
    return low


def _times(length_U: Ints, seed: int) -> Ints:
    """Seconds since 1/1/1970 of each answer [A], ascending per student."""
    stream = Stream(seed, "answer time")
    start_U = _FIRST_DAY_S + (stream.uniform(len(length_U)) * _START_DAYS * _DAY_S).astype(np.int64)
    answers = int(length_U.sum())
    least, most = _THINKING_S
    gap_A = least + (stream.uniform(answers) * (most - least)).astype(np.int64)
    break_A = (stream.uniform(answers) * _BREAK_DAYS * _DAY_S).astype(np.int64)
    gap_A += np.where(stream.uniform(answers) < _BREAK_SHARE, break_A, 0)
    elapsed_A = np.cumsum(gap_A)
    first_U = elapsed_A[starts(length_U)]
    return np.asarray(np.repeat(start_U - first_U, length_U) + elapsed_A, dtype=np.int64)
