"""Warnings about a data set, in sentences, for users to read before a run.

They are derived from the counts of a prepared folder or of a verification, without reading the data again.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from grambench.data.prepared.manifest import (
    AnswerCounts,
    PartCounts,
    PartInfo,
    PartName,
    RepeatCounts,
    SampleCounts,
)
from grambench.data.tables.faults import shown
from grambench.data.tables.files import Columns, unread
from grambench.errors import DataError

FEW = 50
"""Scored impressions or answers below which a part's AUC is mostly noise."""
ONE_SPLIT = (
    "the folder has no train/ and dev/ with labels: a run tests on its newest impressions (data.test_share,"
    " a fifth), or on that share of the users if times are missing"
)
_BUNDLES, _RUNS = 0.01, 0.05
"""Shares of the answers above which bundles and runs are reported."""

_UNITS = {PartCounts: "impression", AnswerCounts: "answer", SampleCounts: "sample"}

Cautions = Iterator[tuple[str, str]]
"""Code and sentence."""


def scorable(counts: PartCounts | AnswerCounts | SampleCounts) -> int:
    """Impressions with a clicked and an unclicked candidate; all answers, or 0 if their results are equal."""
    if isinstance(counts, SampleCounts):
        return counts.scored
    if isinstance(counts, AnswerCounts):
        return counts.answers if 0 < counts.correct < counts.answers else 0
    return counts.impressions - counts.no_click_impressions - counts.all_click_impressions


def check_validation(parts: Mapping[PartName, PartInfo]) -> None:
    """Reject a validation part that cannot select a checkpoint.

    Raises:
        DataError: none of its impressions has both a clicked and an unclicked candidate, or its answers are
            all right or all wrong.
    """
    counts = parts["validation"].counts
    if not scorable(counts):
        rule = "`--set data.validation=…` or " if isinstance(counts, PartCounts) else ""
        raise DataError(
            f"The validation part cannot select a checkpoint: {_why(counts)}.",
            f"Check its labels, or cut another part with {rule}`--set data.validation_share=…`.",
        )


def part_cautions(parts: Mapping[PartName, PartInfo]) -> Cautions:
    """Warnings about parts that cannot be scored, or are too small for a reliable score."""
    for name, part in parts.items():
        what = _UNITS[type(part.counts)]
        caution = part_caution(name, scorable(part.counts), what, _why(part.counts))
        if caution is not None and part.stored_as == name:
            yield caution


def part_caution(name: str, scored: int, what: str, why: str, label: str = "") -> tuple[str, str] | None:
    """Code and sentence about a part that cannot be scored or is small; None if it is neither.

    Args:
        name: of the part; train is never scored, but needs both classes.
        scored: number of scorable impressions or answers.
        what: "impression" or "answer".
        why: reason if nothing can be scored.
        label: the part's name in the sentence; empty: "`name` part".
    """
    label = label or f"{name} part"
    if name == "train":
        return None if scored else ("no-train-classes", f"the {label} has only one class to learn: {why}")
    if not scored:
        return f"no-{name}-score", f"the {label} cannot be scored; its AUC will be missing: {why}"
    if scored >= FEW:
        return None
    amount = f"{scored:,} {what}{'' if scored == 1 else 's'}"
    return f"small-{name}", f"the {label} scores only {amount}; below {FEW}, its AUC is mostly noise"


def no_times(path: Path, columns: Columns, what_then: str) -> str:
    """A warning about a table without times; a column that is not read may hold them.

    Raises:
        DataError: the table cannot be read.
    """
    others = ", ".join(map(shown, unread(path, columns)))
    not_read = f"; not read: {others}" if others else ""
    return f"{path.name} has no column time, nor one of its usual names{not_read}: {what_then}"


def answer_cautions(correct: npt.NDArray[np.int8], repeats: RepeatCounts) -> Iterator[str]:
    """Sentences about answers that have not been prepared yet.

    Args:
        correct: 1 right, 0 wrong, of the answers a run would test on; of all if it splits by user.
        repeats: of the source.
    """
    for _, words in repeat_cautions(repeats, is_kept=True):
        yield words
    right = int(correct.sum())
    why = _why_alike(len(correct), right)
    caution = part_caution("test", len(correct) if 0 < right < len(correct) else 0, "answer", why)
    if caution is not None:
        yield caution[1]


def repeat_cautions(counts: RepeatCounts, is_kept: bool) -> Cautions:
    """Warnings about answers that occupy several rows of the source.

    Args:
        counts: of the source.
        is_kept: whether the repeated rows are kept; else `first` has dropped and counted them.
    """
    if counts.repeated and is_kept:
        yield "repeated-answers", f"{described(counts)}; their scores, and so the AUC, are inflated"
    if counts.other_items >= _BUNDLES * counts.answers and not counts.is_row_a_skill and counts.other_items:
        yield (
            "bundles",
            f"{_share(counts.other_items, counts.answers)} share user and time with an answer to another item"
            f" (results agree in {counts.agreeing_moments:,} of {counts.moments:,} such moments): bundles of"
            " questions, or coarse times; each answer is predicted from the results of the rows before it",
        )
    if counts.in_a_run >= _RUNS * counts.answers and counts.in_a_run and (is_kept or counts.has_times):
        ending = (
            "at a later time: further attempts"
            if counts.has_times
            else "in a row; without exact times, further attempts cannot be told from repeated rows"
            " (data.repeated_answers = first merges those without a time)"
        )
        yield (
            "repeats-in-a-run",
            f"{_share(counts.in_a_run, counts.answers)} repeat user, item and result of the answer before"
            f" {ending}",
        )


def check_repeats(counts: RepeatCounts) -> None:
    """Reject repeated answers, as `data.repeated_answers = "error"` asks for.

    Raises:
        DataError: some answers occupy several rows.
    """
    if counts.repeated:
        raise DataError(
            f"{described(counts)}.",
            "Choose with `--set data.repeated_answers=…`: `first` keeps one row of each answer (counted),"
            " `keep` keeps all rows and their inflated scores; `error` stops here.",
        )


def described(counts: RepeatCounts) -> str:
    """How many answers repeat an earlier row, and in which way."""
    kinds = []
    if counts.same_item:
        kinds.append(f"{counts.same_item:,} with the same user, item and time")
    if counts.is_row_a_skill:
        kinds.append(
            f"{counts.other_items:,} with the same user and time but another item, the results agreeing in"
            f" {counts.agreeing_moments:,} of {counts.moments:,} such moments, as with one row per skill"
        )
    return (
        f"{_share(counts.repeated, counts.answers)} repeat an earlier row ({'; '.join(kinds)}): a model sees"
        " the result in the first row and predicts it in the others"
    )


def _share(count: int, total: int) -> str:
    percent = 100 * count / total
    return f"{count:,} of {total:,} answers ({'<0.1' if 0 < percent < 0.05 else f'{percent:.1f}'} %)"


def why_unscored(impressions: int, clicks: int) -> str:
    """Why none of the impressions has an AUC."""
    missing = "both a clicked and an unclicked candidate" if clicks else "a click"
    return f"none of its {impressions:,} impressions has {missing}"


def _why(counts: PartCounts | AnswerCounts | SampleCounts) -> str:
    if isinstance(counts, SampleCounts):
        return f"its {counts.samples:,} samples are all of one class"
    if isinstance(counts, AnswerCounts):
        return _why_alike(counts.answers, counts.correct)
    return why_unscored(counts.impressions, counts.clicks)


def _why_alike(answers: int, right: int) -> str:
    return f"its {answers:,} answers are all {'right' if right else 'wrong'}"
