"""A knowledge-tracing data set -> the arrays of a prepared folder."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from grambench.config.data import Data, FieldLimits
from grambench.data.cautions import check_repeats
from grambench.data.prepared.build import Interactions
from grambench.data.prepared.manifest import AnswerCounts, ColdCounts, PartName
from grambench.data.prepared.tokens import Texts
from grambench.domains.knowledge_tracing.answers import Answers
from grambench.domains.knowledge_tracing.repeats import Repeats, find_repeats, without_repeats
from grambench.domains.knowledge_tracing.sequences import Sequences, Split, split_answers
from grambench.errors import ConfigError


def split_answer_data(answers: Answers, data: Data) -> Interactions:
    """Handle answers in several rows, and split into parts.

    Raises:
        DataError: a part is empty, or answers have several rows under "error".
        ConfigError: more cold items than the test part scores, or a field limit without room for the text.
    """
    repeats = find_repeats(answers)
    if data.repeated_answers == "error":
        check_repeats(repeats.counts)
    answers, split = split_as_set(answers, data, repeats)
    parts: dict[PartName, Any] = {"train": split.train, "validation": split.validation, "test": split.test}
    return Interactions(
        texts=_texts(answers, data.fields),
        parts=parts,
        counts={name: _count(part, split.cold_items) for name, part in parts.items()},
        arrays={"cold_items": split.cold_items},
        items={"empty_texts": int(pc.sum(pc.equal(answers.texts, "")).as_py() or 0)},
        manifest={
            "validation": "users",
            "validation_share": data.validation_share,
            "cold": ColdCounts(items=len(split.cold_items), lost_answers=split.cold_answers, seed=data.seed),
            "left_out": answers.left_out,
            "repeats": repeats.counts,
            "repeated_answers": "first" if data.repeated_answers == "first" else "keep",
        },
    )


def split_as_set(answers: Answers, data: Data, repeats: Repeats) -> tuple[Answers, Split]:
    """The answers that are used, and their parts."""
    if data.repeated_answers == "first":
        answers = without_repeats(answers, repeats)
    return answers, split_answers(
        answers,
        validation_share=data.validation_share,
        test_share=data.test_share,
        cold_items=data.cold_items,
        seed=data.seed,
    )


def _texts(answers: Answers, limits: FieldLimits) -> Texts:
    if limits.title < 3:
        raise ConfigError(
            f"data.fields.title = {limits.title} leaves no room for the text of an exercise.",
            "Use `--set data.fields.title=…` with 3 or more.",
        )
    return Texts(("title",), (limits.title,), (answers.texts,))


def _count(part: Sequences, cold_items: npt.NDArray[np.int32]) -> AnswerCounts:
    scored = part.scored == 1
    return AnswerCounts(
        users=len(part),
        answers=int(np.count_nonzero(scored)),
        earlier_answers=int(np.count_nonzero(~scored)),
        correct=int(part.correct[scored].sum()),
        items=len(np.unique(part.items[scored])),
        cold_answers=int(np.isin(part.items[scored], cold_items).sum()),
    )
