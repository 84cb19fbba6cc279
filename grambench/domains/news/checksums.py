"""Sizes and digests of MIND's extracted files, to check that a user's files are the published ones.

Zips differ between mirrors, so extracted files are compared. Source: the files of
https://msnews.github.io (small, demo: bytes and sha256; large: bytes only).
"""

from pathlib import Path
from typing import NamedTuple

from grambench.data.verification import Origin
from grambench.fs import sha256_file


class Published(NamedTuple):
    """Size and digest of a published file."""

    bytes: int
    sha256: str | None


KNOWN_FILES: dict[str, dict[str, Published]] = {
    "mind-small": {
        "train/news.tsv": Published(
            41_202_121, "cd49d7da275e9c405f627d75a0de9d4ec6ad43ff8a8db5d23a447591676e09d6"
        ),
        "train/behaviors.tsv": Published(
            92_019_716, "a424547c8fa17c9ea4879c2110221c2b2f2709f4f7615ede0b0d8e4765158658"
        ),
        "dev/news.tsv": Published(
            33_519_092, "e5d144667558c449d16084fe6bfa01940c2f5d5785ea9f9110292bc3b94eb822"
        ),
        "dev/behaviors.tsv": Published(
            42_838_544, "b6c460e33b1a8693252ded6e626da7d3ccf78920eea2ec11889020bb7d8443ef"
        ),
    },
    "mind-demo": {
        "train/news.tsv": Published(
            23_120_370, "26e9836a61655a19f78f4a6c714d54316a77d772aa34f3c90ed79e4007ccd611"
        ),
        "train/behaviors.tsv": Published(
            14_707_247, "a847f724899e7525c3569d0d3784af7b466206a75e09fae5fcc436ecb6592839"
        ),
        "dev/news.tsv": Published(
            15_624_320, "e31bea20508b38401c8be3ed14679705b57f252ea31364758aee53a7736bb4e3"
        ),
        "dev/behaviors.tsv": Published(
            4_434_762, "ff36112219df1ade5267d4f21273bc4028cd8709f55c4011116878af7ac84a46"
        ),
    },
    "mind-large": {
        "train/news.tsv": Published(84_881_998, None),
        "train/behaviors.tsv": Published(1_373_844_151, None),
        "dev/news.tsv": Published(59_055_351, None),
        "dev/behaviors.tsv": Published(230_662_527, None),
    },
}
"""Data set -> `split/file` -> published size and digest (None: only the size is known)."""


def origin(dataset: str | None, name: str, path: Path) -> Origin:
    """Whether `path` is the published file `name` (such as `train/news.tsv`) of a data set.

    Returns:
        "official" if size and digest match; "differs" if either does not; "unknown" if nothing is known of
        the name, or only a size, which matches. The file is hashed only if its size matches.
    """
    published = KNOWN_FILES.get(dataset or "", {}).get(name)
    if published is None:
        return "unknown"
    if path.stat().st_size != published.bytes:
        return "differs"
    if published.sha256 is None:
        return "unknown"
    return "official" if sha256_file(path) == published.sha256 else "differs"
