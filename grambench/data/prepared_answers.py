"""A knowledge-tracing data set -> the arrays of a prepared folder."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from grambench.config.spec import FieldLimits, RepeatedAnswers, Source, Track
from grambench.data.cautions import check_repeats
from grambench.data.formats.answers import Answers
from grambench.data.prepared_items import (
    ItemTokenizer,
    Texts,
    TokenizerFactory,
    built_from,
    count_texts,
    tokenize,
)
from grambench.data.prepared_manifest import AnswerCounts, ColdCounts, ItemCounts, PartName, RepeatCounts
from grambench.data.prepared_sources import Report
from grambench.data.repeats import find_repeats, without_repeats
from grambench.data.sequences import Sequences, split_answers
from grambench.errors import ConfigError, DataError


@dataclass(frozen=True, slots=True)
class AnswerSources:
    """What is read: a folder of one of the formats."""

    data_dir: Path
    source: Source
    track: Track

    def files(self) -> dict[str, Path]:
        """Every file that determines the arrays, by a name that does not depend on the folder.

        Raises:
            DataError: one is missing; the message says where it is to be had.
        """
        match self.source:
            case "duolingo":
                from grambench.data.formats.duolingo import duolingo_files

                return duolingo_files(self.data_dir, self.track)
            case "poj":
                from grambench.data.formats.poj import poj_files

                return poj_files(self.data_dir)
            case "ednet":
                from grambench.data.formats.ednet import ednet_files

                return ednet_files(self.data_dir)
            case _:
                from grambench.data.formats.tables import tables_files

                return tables_files(self.data_dir)

    def read(self, report: Report) -> Answers:
        """All answers.

        Raises:
            DataError: a file is malformed.
        """
        match self.source:
            case "duolingo":
                from grambench.data.formats.duolingo import read_duolingo

                return read_duolingo(self.data_dir, self.track)
            case "poj":
                from grambench.data.formats.poj import read_poj

                return read_poj(self.data_dir)
            case "ednet":
                from grambench.data.formats.ednet import read_ednet

                return read_ednet(self.data_dir, report=report)
            case _:
                from grambench.data.formats.tables import read_tables

                return read_tables(self.data_dir)


@dataclass(frozen=True, slots=True)
class SplitChoices:
    """How answers are cut into parts; the fields are those of `config.spec.Data`."""

    validation_share: float
    test_share: float
    cold_items: int
    seed: int
    repeated_answers: RepeatedAnswers = "keep"


@dataclass(frozen=True, slots=True, eq=False)
class BuiltAnswers:
    """Arrays and counts."""

    arrays: dict[str, npt.NDArray[Any]]
    counts: dict[PartName, AnswerCounts]
    items: ItemCounts
    cold: ColdCounts
    left_out: dict[str, int]
    repeats: RepeatCounts
    tokenizer: ItemTokenizer


def build_answers(
    sources: AnswerSources,
    choices: SplitChoices,
    limits: FieldLimits,
    tokenizer: ItemTokenizer | TokenizerFactory,
    report: Report,
) -> BuiltAnswers:
    """Read, cut into parts, tokenize; in memory.

    Raises:
        DataError: the data is malformed, leaves a part empty, or has answers in several rows under "error".
        ConfigError: more cold items than test
            scores, or a field limit that leaves no room for the text.
    """
    report("read", 0, 1)
    answers = sources.read(report)
    report("read", 1, 1)
    if not len(answers):
        raise DataError(f"{sources.data_dir} holds no answer that can be used.")
    repeats = find_repeats(answers)
    if choices.repeated_answers == "error":
        check_repeats(repeats.counts)
    if choices.repeated_answers == "first":
        answers = without_repeats(answers, repeats)
    split = split_answers(
        answers,
        validation_share=choices.validation_share,
        test_share=choices.test_share,
        cold_items=choices.cold_items,
        seed=choices.seed,
    )
    texts = _texts(answers, limits)
    ready = built_from(tokenizer, texts)
    tokens, token_offsets, cut_items = tokenize(texts, 0, ready, report)
    text_counts = count_texts(tokens, token_offsets, cut_items, texts, ready)
    parts: dict[PartName, Sequences] = {
        "train": split.train,
        "validation": split.validation,
        "test": split.test,
    }
    arrays: dict[str, npt.NDArray[Any]] = {
        "tokens": tokens,
        "token_offsets": token_offsets,
        "cold_items": split.cold_items,
    }
    for name, part in parts.items():
        arrays |= {f"{name}_{field.name}": getattr(part, field.name) for field in fields(part)}
    return BuiltAnswers(
        arrays,
        {name: _count(part, split.cold_items) for name, part in parts.items()},
        _count_items(answers.texts, token_offsets, text_counts),
        ColdCounts(items=len(split.cold_items), lost_answers=split.cold_answers, seed=choices.seed),
        answers.left_out,
        repeats.counts,
        ready,
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


def _count_items(
    texts: pa.Array, token_offsets: npt.NDArray[np.int64], text_counts: dict[str, int | None]
) -> ItemCounts:
    lengths = np.diff(token_offsets)
    return ItemCounts(
        items=len(lengths),
        tokens=int(token_offsets[-1]),
        mean_length=float(lengths.mean()),
        max_length=int(lengths.max()),
        repeated_ids_same_text=0,
        repeated_ids_other_text=0,
        unknown_ids=0,
        blank_items=0,
        empty_texts=int(pc.sum(pc.equal(texts, "")).as_py() or 0),
        without_body=None,
        **text_counts,
    )
