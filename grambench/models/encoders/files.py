"""The files of a pretrained model that determine its output."""

from collections.abc import Iterator
from pathlib import Path

from grambench.model_folder import WEIGHTS, model_folder, transformer_subfolder

_WORDS = (
    "config.json",
    "*.index.json",
    "modules.json",
    "*_Pooling/config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "*.model",
)
"""Configuration, indices of weights, pooling and the tokenizer."""


def model_files(model: str, revision: str | None) -> dict[str, Path]:
    """The files of a model by their paths in its folder; empty if it is not on this machine (yet).

    Args:
        model: a folder, or a name on the hub.
        revision: commit on the hub; None: the newest.
    """
    folder = model_folder(model, revision)
    if folder is None:
        return {}
    places = dict.fromkeys((folder, folder / transformer_subfolder(folder)))
    files = [path for place in places for path in _files(place)]
    return {str(path.relative_to(folder)): path for path in files if path.is_file()}


def _files(folder: Path) -> Iterator[Path]:
    for pattern in _WORDS:
        yield from sorted(folder.glob(pattern))
    yield from next((files for pattern in WEIGHTS if (files := sorted(folder.glob(pattern)))), [])
