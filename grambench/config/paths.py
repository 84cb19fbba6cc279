"""Where grambench keeps what it makes."""

import os
from pathlib import Path

import platformdirs


def cache_dir() -> Path:
    """Prepared arrays and downloads: `$GRAMBENCH_CACHE`, else the user's cache folder."""
    override = os.environ.get("GRAMBENCH_CACHE")
    return Path(override).expanduser() if override else platformdirs.user_cache_path("grambench")


def dataset_dir(dataset: str) -> Path:
    """Where a downloaded data set lies."""
    return cache_dir() / "datasets" / dataset


def prepared_dir() -> Path:
    """Where prepared arrays lie."""
    return cache_dir() / "prepared"
