"""`grambench data verify` for knowledge-tracing data: counts and problems, without a model."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from grambench.config.data import Data
from grambench.data.cautions import answer_cautions, no_times
from grambench.data.prepared.manifest import RepeatCounts
from grambench.data.prepared.sources import size_of
from grambench.data.tables.clock import MISSING_TIME
from grambench.data.tables.splits import TEST, TRAIN, VALIDATION
from grambench.data.verification import CheckedFolder, FileCheck, Size, contents_line, mean_characters
from grambench.domains.knowledge_tracing.answers import Answers
from grambench.domains.knowledge_tracing.formats.tables import INTERACTIONS
from grambench.domains.knowledge_tracing.repeats import find_repeats

_IN_ORDER = "the answers of a student are in the order of their rows"


class AnswersCheck(CheckedFolder):
    """Counts of items, users and answers."""

    format: str
    """`data.source`."""
    files: tuple[FileCheck, ...]
    items: int
    users: int
    """Users with a usable answer."""
    answers: int
    """Usable answers."""
    correct: int
    train_answers: int | None
    """Answers the data set assigns to train; None here and below if a run splits by user."""
    validation_answers: int | None
    test_answers: int | None
    left_out: dict[str, int]
    """Rows that cannot be used, by reason."""
    repeats: RepeatCounts
    """Answers in several rows."""


def verify_answers(answers: Answers, files: Mapping[str, Path], folder: Path, data: Data) -> AnswersCheck:
    """Count.

    Args:
        answers: all of a folder.
        files: their files; there are no digests of published ones.
        folder: of the data.
        data: with the label and the format.
    """
    repeats = find_repeats(answers).counts
    untimed = data.source == "tables" and len(answers) and answers.time_s[0] == MISSING_TIME
    columns = replace(INTERACTIONS, exact=data.column_names == "exact")
    correct = int(answers.correct.sum())
    tested = None if answers.split is None else answers.correct[answers.split == TEST]
    return AnswersCheck.model_validate(
        {
            "data_dir": str(folder),
            "dataset": data.dataset,
            "contents": contents_line(
                {
                    "items": len(answers.item_ids),
                    "answers": len(answers),
                    "users": len(answers.user_ids),
                    "empty texts": pc.sum(pc.equal(answers.texts, "")).as_py(),
                    "repeated answers": repeats.repeated,
                    "unused rows": sum(answers.left_out.values()),
                },
                answers.time_s,
            ),
            "size": Size(
                items=len(answers.item_ids),
                samples=len(answers.user_ids),
                history=len(answers) / max(1, len(answers.user_ids)),
                characters=mean_characters(title=answers.texts),
            ),
            "format": data.source,
            "files": tuple(
                FileCheck(path=str(path), bytes=size_of(path), origin="unknown") for path in files.values()
            ),
            "items": len(answers.item_ids),
            "users": len(answers.user_ids),
            "answers": len(answers),
            "correct": correct,
            "train_answers": _answers(answers.split, TRAIN),
            "validation_answers": _answers(answers.split, VALIDATION),
            "test_answers": _answers(answers.split, TEST),
            "left_out": answers.left_out,
            "repeats": repeats,
            "cautions": (
                *answer_cautions(answers.correct if tested is None else tested, repeats),
                *([no_times([*files.values()][-1], columns, _IN_ORDER)] if untimed else []),
            ),
        }
    )


def _answers(split: npt.NDArray[np.int8] | None, part: int) -> int | None:
    return None if split is None else int(np.count_nonzero(split == part))
