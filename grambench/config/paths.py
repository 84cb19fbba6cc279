"""Where grambench stores its files."""

import os
from pathlib import Path

import platformdirs

_PACKAGE = Path(__file__).resolve().parents[1]


def cache_dir() -> Path:
    """Prepared arrays and downloads: `$GRAMBENCH_CACHE`, else the user's cache folder."""
    override = os.environ.get("GRAMBENCH_CACHE")
    return Path(override).expanduser() if override else platformdirs.user_cache_path("grambench")


def shipped(name: str, source: str) -> Path:
    """A folder of the wheel; in a checkout its `source`."""
    inside = _PACKAGE / name
    return inside if inside.is_dir() else _PACKAGE.parent / source


def dataset_dir(dataset: str) -> Path:
    """Folder of a downloaded data set."""
    return cache_dir() / "datasets" / dataset


def prepared_dir() -> Path:
    """Folder of prepared arrays."""
    return cache_dir() / "prepared"
