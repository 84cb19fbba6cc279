"""`grambench data verify` for two tables of news: counts and problems, without a model."""

from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from grambench.data.tables.splits import TEST, TRAIN, VALIDATION
from grambench.data.verification import CheckedFolder, FileCheck
from grambench.domains.news.formats.tables import news_tables_files, read_news_tables
from grambench.domains.news.verify import Counts, counts, split_cautions


class TablesCheck(Counts, CheckedFolder):
    """Counts of items and impressions; impressions are numbered from 1 by row."""

    format: Literal["news-tables"] = "news-tables"
    train_impressions: int | None
    """Rows with `split` = train; None here and below if there is no such column."""
    validation_impressions: int | None
    test_impressions: int | None


def verify_tables(data_dir: Path, dataset: str | None = None) -> TablesCheck:
    """Read both tables of a folder and count.

    Args:
        data_dir: folder with `items` and `impressions`.
        dataset: label only; there are no digests of published files.

    Raises:
        DataError: a table is missing or malformed (file and line, or row).
    """
    files = news_tables_files(data_dir)
    news, behaviors, split = read_news_tables(data_dir)
    check = TablesCheck(
        data_dir=str(data_dir),
        dataset=dataset,
        files=tuple(
            FileCheck(path=str(path), bytes=path.stat().st_size, origin="unknown") for path in files.values()
        ),
        **counts(len(news), behaviors, news.ids),
        train_impressions=_impressions(split, TRAIN),
        validation_impressions=_impressions(split, VALIDATION),
        test_impressions=_impressions(split, TEST),
    )
    return check.model_copy(
        update={"cautions": tuple(split_cautions("whole", check, "table of impressions"))}
    )


def _impressions(split: npt.NDArray[np.int8] | None, part: int) -> int | None:
    return None if split is None else int(np.count_nonzero(split == part))
