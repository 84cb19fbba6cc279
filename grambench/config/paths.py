"""Where grambench stores its files."""

import os
from pathlib import Path

import platformdirs


def cache_dir() -> Path:
    """Prepared arrays and downloads: `$GRAMBENCH_CACHE`, else the user's cache folder."""
    override = os.environ.get("GRAMBENCH_CACHE")
    return Path(override).expanduser() if override else platformdirs.user_cache_path("grambench")


def dataset_dir(dataset: str) -> Path:
    """Folder of a downloaded data set."""
    return cache_dir() / "datasets" / dataset


def prepared_dir() -> Path:
    """Folder of prepared arrays."""
    return cache_dir() / "prepared"
