"""Where the files of a data set lie."""

from pathlib import Path

from grambench.config.paths import dataset_dir
from grambench.config.spec import Data
from grambench.data.formats.mind_folder import find_split
from grambench.errors import DataError


def locate(data: Data) -> Path:
    """The folder with `train/` and `dev/` of a data set that is not synthetic.

    Raises:
        DataError: there is no such folder; the message says where to put the files.
    """
    if data.dir is not None:
        folder = Path(data.dir).expanduser()
        if folder.is_dir():
            return folder
        raise DataError(
            f"The data folder {folder} does not exist.",
            "Give --data-dir a folder that holds train/ and dev/ (or MINDsmall_train/ and so on).",
        )
    folder = dataset_dir(data.dataset)
    if folder.is_dir() and find_split(folder, "train") is not None:
        return folder
    if data.dataset.startswith("mind-"):
        fix = f"Run `grambench data prepare {data.dataset}`, or give a folder with --data-dir."
    else:
        fix = "Give the folder that holds train/ and dev/ with --data-dir."
    raise DataError(f"There is no data for {data.dataset!r} in {folder}.", fix)
