"""Locate the files of a data set."""

from pathlib import Path

from grambench.config.data import Data
from grambench.config.paths import dataset_dir
from grambench.domains.base import Source
from grambench.domains.registry import source_of
from grambench.errors import DataError


def locate(data: Data) -> Path:
    """The folder of a data set that is not generated.

    Raises:
        DataError: the folder does not exist or lacks a file of its format; the message says where to put
            the files.
        ConfigError: settings do not match the source.
    """
    source = source_of(data)
    folder = _folder(data, source)
    source.files(folder, data)
    return folder


def _folder(data: Data, source: Source) -> Path:
    if data.dir is not None:
        folder = Path(data.dir).expanduser()
        if folder.is_dir():
            return folder
        raise DataError(
            f"The data folder {folder} does not exist.",
            f"Use --data-dir with a folder that holds {source.holds}.",
        )
    folder = dataset_dir(data.dataset)
    if source.is_there(folder):
        return folder
    raise DataError(f"There is no data for {data.dataset!r} in {folder}.", source.fix(data, source.holds))
