"""Short names of runs that are shown together."""

import re
from collections.abc import Sequence
from pathlib import Path

from grambench.text import safe_text

_NAME = re.compile(r"(?P<label>.+)-\d{8}-(?P<time>\d{6}(-\d+)?)")
_LIMIT = 16


def short_names(folders: Sequence[Path]) -> list[str]:
    """The shortest part of each name that tells the runs apart: preset, time, or a number and the whole."""
    names = [folder.name for folder in folders]
    found = [_NAME.fullmatch(name) for name in names]
    for part in ("label", "time"):
        parts = [match[part] if match else name for match, name in zip(found, names, strict=True)]
        short = [safe_text(word, _LIMIT) for word in parts]
        if len({*short}) == len(names):
            return short
    return [f"{number} {safe_text(name, _LIMIT)}" for number, name in enumerate(names, 1)]
