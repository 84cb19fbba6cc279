"""Size and distribution of generated knowledge-tracing data."""

from typing import Annotated

from pydantic import Field

from grambench.config.table import Table

Spread = Annotated[float, Field(ge=0, le=10)]


class SyntheticAnswers(Table):
    """Students who answer exercises: P(correct) = sigmoid(ability + skill ability + learning x practice -
    difficulty); the mean ability is chosen so that .65 of the answers are correct."""

    items: Annotated[int, Field(ge=50, le=100_000)] = 600
    """Number of exercises."""
    students: Annotated[int, Field(ge=10, le=1_000_000)] = 1000
    """Number of students."""
    answers_mean: Annotated[float, Field(ge=5, le=1000)] = 40.0
    """Mean answers per student; the minimum is 5, and a few students have twenty times the mean."""
    skills: Annotated[int, Field(ge=1, le=50)] = 12
    """Number of planted skills; every exercise requires one."""
    ability_spread: Spread = 0.9
    """Standard deviation of the students' abilities (logits); 0: all are equal."""
    difficulty_spread: Spread = 1.0
    """Standard deviation of the exercises' difficulties (logits); 0: the graded words carry no signal."""
    skill_spread: Spread = 0.6
    """Standard deviation of a student's ability across skills (logits); 0: skills do not differ."""
    learning: Annotated[float, Field(ge=0, le=1)] = 0.04
    """What each earlier answer on the same skill adds to a student's ability (logits); 0: no learning."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Seed of the generator."""
