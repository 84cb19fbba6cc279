"""Texts of generated exercises, whose words encode skill and difficulty.

Pseudo-words encode the skill, words from an ordered list the difficulty, and all other words nothing; their
order is random. Shapes: I items, W words of all texts, concatenated.
"""

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from grambench.data.draws import Floats, Ints, Stream, WeightedIndex, starts
from grambench.data.pseudo_words import topic_words

GRADED_WORDS = (
    "trivial", "easy", "simple", "plain", "basic", "light", "mild", "brief", "gentle", "usual",
    "mixed", "thorough", "tricky", "heavy", "complex", "hard", "steep", "severe", "extreme", "brutal",
)  # fmt: skip
"""From easiest to hardest: a word's contribution to the difficulty is linear in its rank."""

_NEUTRAL_WORDS = """
the of a and to in for with from by find give write choose read name draw count compare explain what
which where number line word part table figure page answer question list set sum box letter group pair
row
"""
_GRADED, _SKILL, _NEUTRAL = (2, 4), (1, 2), (2, 8)  # fewest and most words of each type per text
_WORDS_OF_A_SKILL = 12


@dataclass(frozen=True)
class ExerciseText:
    """Texts of I exercises, and the difficulties given by their graded words."""

    texts: list[str]
    """5 to 14 words each."""
    difficulty_I: Floats
    """Sum of the graded words' weights; mean 0 and standard deviation 1 over all possible texts."""


def write_exercises(skill_I: Ints, skills: int, seed: int) -> ExerciseText:
    """Draw a text for each exercise.

    Args:
        skill_I: skill of each exercise, in [0, skills).
        skills: number of skills.
        seed: the same seed gives the same texts.
    """
    stream = Stream(seed, "exercise")
    graded_I, skilled_I, neutral_I = (
        low + (stream.uniform(len(skill_I)) * (high - low + 1)).astype(np.int64)
        for low, high in (_GRADED, _SKILL, _NEUTRAL)
    )
    length_I = graded_I + skilled_I + neutral_I
    item_W = np.repeat(np.arange(len(skill_I)), length_I)
    place_W = np.arange(len(item_W)) - starts(length_I)[item_W]
    is_graded_W = place_W < graded_I[item_W]
    is_skill_W = ~is_graded_W & (place_W < (graded_I + skilled_I)[item_W])

    neutral_words = _NEUTRAL_WORDS.split()
    grades, neutrals, size = len(GRADED_WORDS), len(neutral_words), _WORDS_OF_A_SKILL
    grade_W = (stream.uniform(len(item_W)) * grades).astype(np.int64)
    neutral_W = WeightedIndex(1 / (np.arange(neutrals) / 10 + 1)).draw(stream.uniform(len(item_W)))
    rank_W = WeightedIndex(1 / (np.arange(size) + 1)).draw(stream.uniform(len(item_W)))
    code_W = np.where(is_graded_W, grade_W, grades + neutral_W)
    code_W = np.where(is_skill_W, grades + neutrals + skill_I[item_W] * size + rank_W, code_W)

    order_W = np.lexsort((stream.uniform(len(item_W)), item_W))
    lexicon = np.array([*GRADED_WORDS, *neutral_words, *topic_words(skills, size, seed)], dtype=object)
    words = lexicon[code_W[order_W]].tolist()
    ends = [0, *np.cumsum(length_I).tolist()]
    texts = [" ".join(words[begin:end]) for begin, end in pairwise(ends)]
    return ExerciseText(texts, _difficulty(item_W[is_graded_W], grade_W[is_graded_W], len(skill_I)))


def _difficulty(item_W: Ints, grade_W: Ints, items: int) -> Floats:
    """Sum of the weights of each exercise's graded words [I], divided by its standard deviation."""
    grades = len(GRADED_WORDS)
    weight_W = 2 * grade_W - (grades - 1)  # odd numbers around 0, of variance (grades^2 - 1) / 3
    deviation = math.sqrt(sum(_GRADED) / 2 * (grades**2 - 1) / 3)
    return np.asarray(np.bincount(item_W, weights=weight_W, minlength=items) / deviation, dtype=np.float64)
