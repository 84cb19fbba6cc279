"""Knowledge tracing of TOEIC's shape as plain tables: long exercises, thousands of answers to each.

Shapes: I items, W words of all texts one after the other, U students, A answers, student after student.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from grambench.data.draws import Stream, WeightedIndex
from grambench.data.pseudo_words import topic_words
from grambench.fs import whole_folder

_POPULARITY_OFFSET = 0.1
"""Popularity is 1 / (rank / (offset x items) + 1): the first item has 11 times the last one's."""


@dataclass(frozen=True, slots=True)
class Tables:
    """Sizes of both tables; the same sizes give the same bytes."""

    items: int
    students: int
    """Of the train part."""
    held_out_students: int
    """Of the validation part, and as many of the test part."""
    answers: int = 100
    """Of each student."""
    words: tuple[int, int] = (30, 258)
    """Fewest and most words of an exercise, every number equally likely; a word is a token, and two more
    tokens open and close the text."""
    vocabulary: int = 8000
    """Distinct words, by Zipf's law."""
    seed: int = 0


def write_tables(sizes: Tables, out_dir: Path) -> None:
    """Write `items.tsv` (id, text) and `interactions.tsv` (user, item, correct, split) into a new folder.

    The words tell nothing about an exercise: these tables are there to see how fast something trains, not how
    well. A student's answers stand in their order in time.

    Raises:
        DataError: `out_dir` holds something already.
    """
    with whole_folder(out_dir) as folder:
        with (folder / "items.tsv").open("w", newline="\n") as file:
            file.write("id\ttext\n")
            file.writelines(f"I{item}\t{text}\n" for item, text in enumerate(_texts(sizes)))
        with (folder / "interactions.tsv").open("w", newline="\n") as file:
            file.write("user\titem\tcorrect\tsplit\n")
            file.writelines(_interactions(sizes))


def _texts(sizes: Tables) -> list[str]:
    fewest, most = sizes.words
    uniform_I = Stream(sizes.seed, "toeic lengths").uniform(sizes.items)
    length_I = fewest + (uniform_I * (most - fewest + 1)).astype(np.int64)
    lexicon = np.array(topic_words(1, sizes.vocabulary, sizes.seed), dtype=object)
    law = WeightedIndex(1 / (np.arange(sizes.vocabulary) / 10 + 1))
    words_W = lexicon[law.draw(Stream(sizes.seed, "toeic words").uniform(int(length_I.sum())))].tolist()
    ends = [0, *np.cumsum(length_I).tolist()]
    return [" ".join(words_W[begin:end]) for begin, end in pairwise(ends)]


def _interactions(sizes: Tables) -> Iterator[str]:
    parts = ("train", "validation", "test")
    student_counts = (sizes.students, sizes.held_out_students, sizes.held_out_students)
    part_U = np.repeat(np.array(parts, dtype=object), student_counts)
    user_A = np.repeat(np.arange(len(part_U)), sizes.answers)
    rank_I = np.argsort(Stream(sizes.seed, "toeic popularity").uniform(sizes.items))
    popularity_I = 1 / (rank_I / (_POPULARITY_OFFSET * sizes.items) + 1)
    item_A = WeightedIndex(popularity_I).draw(Stream(sizes.seed, "toeic items").uniform(len(user_A)))
    ability_U, difficulty_I = (
        4 * Stream(sizes.seed, f"toeic {name}").uniform(count) - 2
        for name, count in (("ability", len(part_U)), ("difficulty", sizes.items))
    )
    chance_A = 1 / (1 + np.exp(difficulty_I[item_A] - ability_U[user_A] - 0.6))
    correct_A = (Stream(sizes.seed, "toeic correct").uniform(len(user_A)) < chance_A).astype(np.int64)
    columns = zip(user_A.tolist(), item_A.tolist(), correct_A.tolist(), part_U[user_A].tolist(), strict=True)
    for user, item, correct, part in columns:
        yield f"U{user}\tI{item}\t{correct}\t{part}\n"
