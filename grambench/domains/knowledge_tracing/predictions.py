"""Predictions of students' answers: a CSV with a row for each answer of the test part that is scored."""

import csv
import io
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from grambench.config.data import Data
from grambench.domains.base import ToPredict
from grambench.domains.knowledge_tracing.answers import Answers
from grambench.domains.knowledge_tracing.prepare import split_as_set
from grambench.domains.knowledge_tracing.repeats import find_repeats
from grambench.domains.knowledge_tracing.sequences import users_of

COLUMNS = ("student", "row", "question", "probability")


def answers_to_predict(answers: Answers, data: Data) -> list[ToPredict]:
    """The test part; knowledge tracing has no parts without labels.

    Raises:
        DataError: a part is empty.
    """
    used, split = split_as_set(answers, data, find_repeats(answers))
    return [
        ToPredict(
            name="test",
            file="test.csv",
            part=split.test,
            labelled=True,
            render=partial(_table, used, split.test_answers),
        )
    ]


def _table(
    answers: Answers,
    answers_A: npt.NDArray[np.int64],
    scores_S: npt.NDArray[np.floating],
    places_S: npt.NDArray[np.integer],
) -> bytes:
    """Rows in the order of the data; `row` counts a student's answers from 1, in order of time."""
    order = np.argsort(places_S, kind="stable")
    chosen = answers_A[places_S[order]]
    users = users_of(answers)[chosen]
    columns: list[list[Any]] = [
        answers.user_ids.take(users).to_pylist(),
        (chosen - answers.offsets[users] + 1).tolist(),
        answers.item_ids.take(answers.items[chosen]).to_pylist(),
        [f"{value:.7g}" for value in _probabilities(scores_S[order]).tolist()],
    ]
    content = io.StringIO()
    writer = csv.writer(content, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(zip(*columns, strict=True))
    return content.getvalue().encode()


def _probabilities(logits_S: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    return np.exp(-np.logaddexp(0.0, -logits_S.astype(np.float64)))
