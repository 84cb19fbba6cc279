"""Modules of a sentence-transformers model that grambench ignores."""

import json
from pathlib import Path
from typing import Any

from grambench.config.networks import Encoder
from grambench.models.encoders.files import model_folder

_POOLING = "pooling_mode_"
_NORMALIZE = "Normalize"
"""Only changes the vectors' length, which the filter can learn."""


def ignored_modules(spec: Encoder) -> str:
    """What the model's files prescribe but `encoder.pooling` does not do; empty if there is no difference.

    A sentence-transformers folder lists its modules in `modules.json`: a transformer, a pooling, and possibly
    dense layers. Attention pooling is trained anyway; with it only dense layers count.
    """
    folder = model_folder(spec.model, spec.revision) if spec.model is not None else None
    if folder is None:
        return ""
    ignored = []
    for module in _read(folder / "modules.json", list):
        named = module.get("type") if isinstance(module, dict) else None
        layer = named.rpartition(".")[2] if isinstance(named, str) else ""
        if layer == "Pooling" and spec.pooling == "mean":
            modes = _pooling(folder / str(module.get("path", "")) / "config.json")
            if modes and modes != ["mean_tokens"]:
                ignored.append(f"{' and '.join(mode.removesuffix('_token') for mode in modes)} pooling")
        elif layer not in ("", "Transformer", "Pooling", _NORMALIZE):
            ignored.append(f"a {layer} layer")
    return ", ".join(ignored)


def _pooling(path: Path) -> list[str]:
    """The enabled modes, such as `cls_token` or `mean_tokens`."""
    config = _read(path, dict)
    return [name.removeprefix(_POOLING) for name, on in config.items() if name.startswith(_POOLING) and on]


def _read(path: Path, expected: type) -> Any:
    """JSON of the expected type; an empty one if there is none."""
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return expected()
    return value if isinstance(value, expected) else expected()
