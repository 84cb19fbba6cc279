"""Where the files of a data set lie."""

from pathlib import Path

from grambench.config.paths import dataset_dir
from grambench.config.spec import NEWS_TABLES, Data
from grambench.data.formats.mind_folder import find_split
from grambench.errors import DataError

_HOLDS = {
    "duolingo": "the files of https://doi.org/10.7910/DVN/8SWHNO (es_en.slam.20190204.train and so on)",
    "poj": "poj_log.csv and your contents.tsv",
    "ednet": "KT1/, questions.csv (https://github.com/riiid/ednet) and your contents.tsv",
    "news-tables": "the tables items and impressions (docs/data.md says which columns)",
    "tables": "the tables items and interactions (docs/data.md says which columns)",
}


def locate(data: Data) -> Path:
    """The folder with `train/` and `dev/` of a data set that is not synthetic.

    Raises:
        DataError: there is no such folder, or it lacks a file of its format; the message says where to put
            the files.
    """
    folder = _folder(data)
    if data.domain == "knowledge-tracing":
        from grambench.data.prepared_answers import AnswerSources

        AnswerSources(folder, data.source, data.track).files()
    elif data.source == NEWS_TABLES:
        from grambench.data.prepared_news import TableSources

        TableSources(folder).files()
    return folder


def _folder(data: Data) -> Path:
    holds = _HOLDS.get(data.source, "train/ and dev/ (or MINDsmall_train/ and so on)")
    if data.dir is not None:
        folder = Path(data.dir).expanduser()
        if folder.is_dir():
            return folder
        raise DataError(
            f"The data folder {folder} does not exist.", f"Give --data-dir a folder that holds {holds}."
        )
    folder = dataset_dir(data.dataset)
    if data.domain == "knowledge-tracing" or data.source == NEWS_TABLES:
        if folder.is_dir():
            return folder
        raise DataError(
            f"There is no data for {data.dataset!r} in {folder}.",
            f"Give the folder that holds {holds} with --data-dir.",
        )
    if folder.is_dir() and find_split(folder, "train") is not None:
        return folder
    if data.dataset.startswith("mind-"):
        fix = f"Run `grambench data prepare {data.dataset}`, or give a folder with --data-dir."
    else:
        fix = "Give the folder that holds train/ and dev/ with --data-dir."
    raise DataError(f"There is no data for {data.dataset!r} in {folder}.", fix)
