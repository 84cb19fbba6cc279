"""Size and laws of generated knowledge-tracing data."""

from typing import Annotated

from pydantic import Field

from grambench.config.table import Table

Spread = Annotated[float, Field(ge=0, le=10)]


class SyntheticAnswers(Table):
    """Students who answer exercises: P(correct) = sigmoid(ability + skill ability + learning x practice -
    difficulty), with ability's mean such that .65 of the answers are right."""

    items: Annotated[int, Field(ge=50, le=100_000)] = 600
    """Number of exercises."""
    students: Annotated[int, Field(ge=10, le=1_000_000)] = 1000
    """Number of students."""
    answers_mean: Annotated[float, Field(ge=5, le=1000)] = 40.0
    """Mean answers of a student; nobody has fewer than 5, a few have twenty times the mean."""
    skills: Annotated[int, Field(ge=1, le=50)] = 12
    """Planted skills; every exercise needs one."""
    ability_spread: Spread = 0.9
    """Standard deviation of the students' abilities (logits); 0: all are alike."""
    difficulty_spread: Spread = 1.0
    """Standard deviation of the exercises' difficulties (logits); 0: the graded words tell nothing."""
    skill_spread: Spread = 0.6
    """Standard deviation of a student's ability from skill to skill (logits); 0: skills do not differ."""
    learning: Annotated[float, Field(ge=0, le=1)] = 0.04
    """What each earlier answer of the same skill adds to a student's ability (logits); 0: nobody learns."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Seed of the generator."""
