"""`grambench data verify` for two tables of news: counts and problems, without a model."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from grambench.config.data import Data
from grambench.data.cautions import no_times
from grambench.data.tables.splits import TEST, TRAIN, VALIDATION
from grambench.data.verification import CheckedFolder, FileCheck
from grambench.domains.news.formats.catalogue import ReadNews
from grambench.domains.news.formats.tables import IMPRESSIONS
from grambench.domains.news.verify import Counts, counts, news_line, news_size, split_cautions

_BY_USERS = "a run tests on data.test_share of the users (a fifth), not on the newest impressions"


class TablesCheck(Counts, CheckedFolder):
    """Counts of items and impressions; impressions are numbered from 1 by row."""

    format: str
    """`data.source`."""
    train_impressions: int | None
    """Rows with `split` = train; None here and below if there is no such column."""
    validation_impressions: int | None
    test_impressions: int | None


def verify_tables(news: ReadNews, files: Mapping[str, Path], folder: Path, data: Data) -> TablesCheck:
    """Count.

    Args:
        news: items and impressions of a folder without splits.
        files: their files; there are no digests of published ones.
        folder: of the data.
        data: with the label and the format.
    """
    (behaviors,) = news.behaviors
    check = TablesCheck(
        data_dir=str(folder),
        dataset=data.dataset,
        contents=news_line(news.catalogue, news.behaviors),
        format=data.source,
        files=tuple(
            FileCheck(path=str(path), bytes=path.stat().st_size, origin="unknown") for path in files.values()
        ),
        **counts(len(news.catalogue), behaviors, news.catalogue.ids),
        train_impressions=_impressions(news.split, TRAIN),
        validation_impressions=_impressions(news.split, VALIDATION),
        test_impressions=_impressions(news.split, TEST),
    )
    cautions = split_cautions("whole", check, "table of impressions")
    if news.split is None and check.missing_times.occurrences:
        columns = replace(IMPRESSIONS, exact=data.column_names == "exact")
        cautions.append(no_times([*files.values()][-1], columns, _BY_USERS))
    return check.model_copy(
        update={
            "cautions": tuple(cautions),
            "size": news_size(news.catalogue, check),
        }
    )


def _impressions(split: npt.NDArray[np.int8] | None, part: int) -> int | None:
    return None if split is None else int(np.count_nonzero(split == part))
