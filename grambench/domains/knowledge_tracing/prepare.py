"""A knowledge-tracing data set -> the arrays of a prepared folder."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from grambench.config.data import Data, FieldLimits, Track
from grambench.data.cautions import check_repeats
from grambench.data.prepared.build import Interactions
from grambench.data.prepared.manifest import AnswerCounts, ColdCounts, PartName
from grambench.data.prepared.sources import Report
from grambench.data.prepared.tokens import Texts
from grambench.domains.knowledge_tracing.answers import Answers
from grambench.domains.knowledge_tracing.formats.duolingo import duolingo_files, read_duolingo
from grambench.domains.knowledge_tracing.formats.ednet import ednet_files, read_ednet
from grambench.domains.knowledge_tracing.formats.poj import poj_files, read_poj
from grambench.domains.knowledge_tracing.formats.tables import read_tables, tables_files
from grambench.domains.knowledge_tracing.repeats import find_repeats, without_repeats
from grambench.domains.knowledge_tracing.sequences import Sequences, split_answers
from grambench.errors import ConfigError, DataError


@dataclass(frozen=True, slots=True)
class AnswerSources:
    """A data folder and its format."""

    data_dir: Path
    source: str
    track: Track

    def files(self) -> dict[str, Path]:
        """Every file that determines the arrays, by a name independent of the folder.

        Raises:
            DataError: a file is missing; the message says where to get it.
        """
        return FORMATS[self.source].files(self)

    def read(self, report: Report) -> Answers:
        """All answers.

        Raises:
            DataError: a file is malformed.
        """
        return FORMATS[self.source].read(self, report)


@dataclass(frozen=True, slots=True)
class Format:
    """A format of knowledge-tracing data."""

    files: Callable[[AnswerSources], dict[str, Path]]
    read: Callable[[AnswerSources, Report], Answers]


_TABLES = Format(lambda of: tables_files(of.data_dir), lambda of, _: read_tables(of.data_dir))
FORMATS: dict[str, Format] = {
    "tables": _TABLES,
    "synthetic-answers": _TABLES,
    "duolingo": Format(
        lambda of: duolingo_files(of.data_dir, of.track), lambda of, _: read_duolingo(of.data_dir, of.track)
    ),
    "poj": Format(lambda of: poj_files(of.data_dir), lambda of, _: read_poj(of.data_dir)),
    "ednet": Format(
        lambda of: ednet_files(of.data_dir), lambda of, report: read_ednet(of.data_dir, report=report)
    ),
}
"""By `data.source`."""


def read_answer_data(sources: AnswerSources, data: Data, report: Report) -> Interactions:
    """Read the answers, handle those in several rows, and split into parts.

    Raises:
        DataError: the data is malformed, a part is empty, or answers have several rows under "error".
        ConfigError: more cold items than the test part scores, or a field limit without room for the text.
    """
    report("read", 0, 1)
    answers = sources.read(report)
    report("read", 1, 1)
    if not len(answers):
        raise DataError(f"{sources.data_dir} holds no usable answers.")
    repeats = find_repeats(answers)
    if data.repeated_answers == "error":
        check_repeats(repeats.counts)
    if data.repeated_answers == "first":
        answers = without_repeats(answers, repeats)
    split = split_answers(
        answers,
        validation_share=data.validation_share,
        test_share=data.test_share,
        cold_items=data.cold_items,
        seed=data.seed,
    )
    parts: dict[PartName, Any] = {"train": split.train, "validation": split.validation, "test": split.test}
    return Interactions(
        texts=_texts(answers, data.fields),
        parts=parts,
        counts={name: _count(part, split.cold_items) for name, part in parts.items()},
        arrays={"cold_items": split.cold_items},
        items={
            "repeated_ids_same_text": 0,
            "repeated_ids_other_text": 0,
            "unknown_ids": 0,
            "empty_texts": int(pc.sum(pc.equal(answers.texts, "")).as_py() or 0),
            "without_body": None,
        },
        manifest={
            "validation": "users",
            "validation_share": data.validation_share,
            "cold": ColdCounts(items=len(split.cold_items), lost_answers=split.cold_answers, seed=data.seed),
            "left_out": answers.left_out,
            "repeats": repeats.counts,
            "repeated_answers": "first" if data.repeated_answers == "first" else "keep",
        },
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
