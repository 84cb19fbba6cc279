"""News recommendation: what the sources hold, and how impressions are cut into parts.

Legend: B impressions.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from grambench.data import prepared_parts
from grambench.data.formats.answers import TEST, TRAIN, VALIDATION
from grambench.data.formats.mind import Behaviors, News, read_behaviors, read_news
from grambench.data.formats.mind_catalogue import Catalogue, merge_news
from grambench.data.formats.mind_folder import BEHAVIORS_FILE, NEWS_FILE, Bodies, read_bodies
from grambench.data.formats.mind_times import MISSING_TIME
from grambench.data.formats.tables import news_tables_files, read_news_tables
from grambench.data.prepared_manifest import PartName, Protocol, ValidationRule
from grambench.data.prepared_parts import Part
from grambench.data.prepared_sources import Report, Sources
from grambench.errors import ConfigError, DataError

Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class TableSources:
    """Plain tables: items and impressions."""

    data_dir: Path

    def files(self) -> dict[str, Path]:
        """Both, by names that do not depend on the folder.

        Raises:
            DataError: one is missing; the message names its columns.
        """
        return news_tables_files(self.data_dir)


@dataclass(frozen=True, slots=True, eq=False)
class ReadNews:
    """Everything of the sources, in memory."""

    catalogue: Catalogue
    behaviors: list[Behaviors]
    """Train and dev, or all impressions of a table or of a folder without splits."""
    bodies: Bodies | None = None
    split: npt.NDArray[np.int8] | None = None
    """[B] TRAIN, VALIDATION or TEST, where a table names the part of each impression."""


@dataclass(frozen=True, slots=True)
class Cutting:
    """How the parts are cut; the fields are those of `config.spec.Data`."""

    validation: ValidationRule
    validation_share: float
    test_share: float
    protocol: Protocol


def read_sources(sources: Sources | TableSources, report: Report) -> ReadNews:
    """Read all files.

    Raises:
        DataError: a file is malformed.
    """
    if isinstance(sources, TableSources):
        report("read", 0, 1)
        table, behaviors, split = read_news_tables(sources.data_dir)
        report("read", 1, 1)
        return ReadNews(merge_news([table]), [behaviors], split=split)
    total = len(sources.files())
    news: list[News] = []
    for folder in sources.splits.values():
        report("read", len(news), total)
        news.append(read_news(folder / NEWS_FILE))
    found: list[Behaviors] = []
    for split_name in sources.labelled:
        report("read", len(news) + len(found), total)
        found.append(read_behaviors(sources.splits[split_name] / BEHAVIORS_FILE, labelled=True))
    bodies = read_bodies(sources.bodies) if sources.bodies else None
    report("read", total, total)
    return ReadNews(merge_news(news), found, bodies)


def cut(cutting: Cutting, found: ReadNews, linked: list[Part]) -> dict[PartName, Part]:
    """The stored parts; under the paper's protocol test is validation too.

    Raises:
        DataError: the rule of validation, or of test, leaves nothing.
        ConfigError: the paper's protocol for a table or a folder without splits: no part is published.
    """
    if len(linked) == 1:
        return _cut_table(cutting, found, linked[0])
    train, test = linked
    if cutting.protocol == "paper":
        return {"train": train, "test": test}
    held_out = _held_out(cutting, found.behaviors[0], train.time_s, np.ones(len(train), np.bool_))
    return {
        "train": prepared_parts.select(train, ~held_out),
        "validation": prepared_parts.select(train, held_out),
        "test": test,
    }


def _cut_table(cutting: Cutting, found: ReadNews, whole: Part) -> dict[PartName, Part]:
    """By its column `split`; else the newest impressions are the test, without times a share of users."""
    if cutting.protocol == "paper":
        raise ConfigError(
            "data.protocol = paper selects on a published part, and this data has none.",
            "Leave `data.protocol` out.",
        )
    (behaviors,) = found.behaviors
    if found.split is not None:
        test, held_out = found.split == TEST, found.split == VALIDATION
        rest = found.split == TRAIN
    else:
        test = _test_of_table(cutting.test_share, behaviors)
        held_out, rest = np.zeros_like(test), ~test
    for name, rows in (("test", test), ("train", rest)):
        if not rows.any():
            raise DataError(f"No impression is in the split `{name}`.", "Mark some, or leave the column out.")
    if not held_out.any():
        held_out = _held_out(cutting, behaviors, whole.time_s, rest)
    return {
        "train": prepared_parts.select(whole, rest & ~held_out),
        "validation": prepared_parts.select(whole, held_out),
        "test": prepared_parts.select(whole, test),
    }


def _test_of_table(share: float, behaviors: Behaviors) -> Bools:
    """[B] the newest `share` of the impressions, equal times together; without times, that share of users."""
    time_s = behaviors.time_s
    if (time_s == MISSING_TIME).any():
        return prepared_parts.user_share(behaviors, share, np.ones(len(time_s), np.bool_), "test")
    newest: Bools = time_s >= np.sort(time_s)[-max(1, round(share * len(time_s)))]
    if newest.all():
        raise DataError(
            "The impressions are too much of one time to cut off the newest as a test.",
            "Say which are the test: a table may have a column `split`, MIND's format has train/ and dev/.",
        )
    return newest


def _held_out(cutting: Cutting, behaviors: Behaviors, time_s: npt.NDArray[np.int64], train: Bools) -> Bools:
    """[B] the impressions of `train` that validate."""
    if cutting.validation == "users":
        return prepared_parts.user_share(behaviors, cutting.validation_share, train)
    held_out = np.zeros_like(train)
    held_out[train] = prepared_parts.last_day(time_s[train])
    return held_out
