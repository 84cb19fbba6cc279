"""The source files of news data: splits in MIND's format, or two plain tables."""

from dataclasses import dataclass
from pathlib import Path

from grambench.config.data import Data
from grambench.data.prepared.sources import Report
from grambench.data.tables.compressed import stored
from grambench.domains.news.formats.catalogue import ReadNews, merge_news
from grambench.domains.news.formats.mind import Behaviors, News, read_behaviors, read_news
from grambench.domains.news.formats.mind_folder import (
    BEHAVIORS_FILE,
    NEWS_FILE,
    SPLITS,
    Split,
    find_bodies,
    find_split,
    is_one_split,
    is_unlabelled,
    read_bodies,
    split_folder,
)
from grambench.domains.news.formats.tables import news_tables_files, read_news_tables
from grambench.errors import ConfigError, DataError

UNLABELLED_FIX = (
    "If dev has no labels, --predictions scores it without evaluating it, and tests on a part of train."
)


@dataclass(frozen=True, slots=True)
class MindSources:
    """Splits in order of precedence, and bodies if they are used."""

    data_dir: Path
    splits: dict[Split, Path]
    """Folder of each split, including test if the data has it; only train if the folder has no splits (the
    test part is then taken out of it)."""
    bodies: tuple[Path, ...]
    unlabelled: tuple[Split, ...] = ()
    """Splits whose impressions are scored and never evaluated."""

    @property
    def labelled(self) -> tuple[Split, ...]:
        """Splits that the parts are made of."""
        return tuple(split for split in self.splits if split not in ("test", *self.unlabelled))

    def files(self) -> dict[str, Path]:
        """Every file that determines the arrays, by a name independent of the folder."""
        files = {f"{split}/{NEWS_FILE}": stored(folder / NEWS_FILE) for split, folder in self.splits.items()}
        for split in self.labelled:
            files[f"{split}/{BEHAVIORS_FILE}"] = stored(self.splits[split] / BEHAVIORS_FILE)
        for index, path in enumerate(self.bodies):
            files[f"bodies/{index}{path.suffix}"] = path
        return files


def find_sources(data_dir: Path, with_bodies: bool, predictions: bool = False) -> MindSources:
    """Locate the files of a data folder.

    With `predictions`, a `dev` without labels is left out here: it is scored for its predictions only, as
    `test` is.

    Raises:
        DataError: train or dev is missing, or bodies are used but there are none.
    """
    splits: dict[Split, Path] = {}
    is_one = data_dir.is_dir() and is_one_split(data_dir)
    if is_one:
        splits["train"] = data_dir
    for split in () if is_one else SPLITS:
        folder = find_split(data_dir, split) if split == "test" else split_folder(data_dir, split)
        if folder is not None:
            splits[split] = folder
    bodies = find_bodies(data_dir, list(splits.values())) if with_bodies else []
    if with_bodies and not bodies:
        raise DataError(
            f"The body field is used, but {data_dir} has no bodies.tsv or bodies.parquet.",
            "Put one there (news id, tab, body), or use `--set data.fields.body=0`.",
        )
    unlabelled = [
        split
        for split, place in splits.items()
        if predictions and (split == "test" or (split == "dev" and is_unlabelled(place)))
    ]
    return MindSources(data_dir, splits, tuple(bodies), tuple(unlabelled))


def mind_files(folder: Path, data: Data) -> dict[str, Path]:
    """See `domains.base.Source`."""
    return _sources(folder, data).files()


def read_mind(folder: Path, data: Data, report: Report) -> ReadNews:
    """Every split, and bodies if they are used.

    Raises:
        DataError: a file is missing or malformed.
    """
    sources = _sources(folder, data)
    total = len(sources.files()) + len(sources.unlabelled)
    news: list[News] = []
    for split_dir in sources.splits.values():
        report("read", len(news), total)
        news.append(read_news(stored(split_dir / NEWS_FILE)))
    behaviors: list[Behaviors] = []
    for split in sources.labelled:
        report("read", len(news) + len(behaviors), total)
        behaviors.append(read_impressions(sources.splits[split], split, data.predictions))
    unlabelled: dict[str, Behaviors] = {
        split: read_impressions(sources.splits[split], split, True) for split in sources.unlabelled
    }
    bodies = read_bodies(sources.bodies) if sources.bodies else None
    report("read", total, total)
    return ReadNews(merge_news(news), behaviors, bodies, unlabelled=unlabelled)


def _sources(folder: Path, data: Data) -> MindSources:
    return find_sources(folder, data.fields.body > 0, data.predictions)


def read_impressions(folder: Path, split: Split, predictions: bool) -> Behaviors:
    """A split's impressions; those of test, and with `predictions` of dev, may be unlabelled.

    Raises:
        DataError: the file is missing or malformed.
    """
    is_free = split == "test" or (split == "dev" and predictions)
    try:
        return read_behaviors(stored(folder / BEHAVIORS_FILE), None if is_free else True)
    except DataError as error:
        if split != "dev" or not is_unlabelled(folder):
            raise
        raise DataError(error.message, UNLABELLED_FIX) from error


def table_files(folder: Path, data: Data) -> dict[str, Path]:
    """Both tables.

    Raises:
        DataError: a table is missing; the message names its columns.
        ConfigError: bodies are used, which tables do not have.
    """
    if data.fields.body:
        raise ConfigError(
            "The body field is used, but tables of news only have a title and an abstract.",
            "Put the body into the column abstract, or use `--set data.fields.body=0`.",
        )
    return news_tables_files(folder, data.column_names == "exact")


def read_tables(folder: Path, data: Data, report: Report) -> ReadNews:
    """Both tables.

    Raises:
        DataError: a table is malformed.
    """
    report("read", 0, 1)
    news, behaviors, split = read_news_tables(folder, exact=data.column_names == "exact")
    report("read", 1, 1)
    return ReadNews(merge_news([news]), [behaviors], split=split)
