"""What a sentence-transformers folder says is done with the hidden states, beside what grambench does."""

import json
from pathlib import Path
from typing import Any

from grambench.config.networks import Encoder
from grambench.models.encoders.files import model_folder

_POOLING = "pooling_mode_"
_NORMALIZE = "Normalize"
"""Changes the vectors' length only, which the filter learns."""


def ignored_modules(spec: Encoder) -> str:
    """How the model's own files make vectors where `encoder.pooling` does it otherwise; empty: no difference.

    A folder of sentence-transformers lists its modules in `modules.json`: a transformer, a pooling, and
    perhaps dense layers. Attention pooling is trained, so that only dense layers are missed then.
    """
    folder = model_folder(spec.model, spec.revision) if spec.model is not None else None
    if folder is None:
        return ""
    ignored = []
    for module in _read(folder / "modules.json", list):
        named = module.get("type") if isinstance(module, dict) else None
        kind = named.rpartition(".")[2] if isinstance(named, str) else ""
        if kind == "Pooling" and spec.pooling == "mean":
            modes = _pooling(folder / str(module.get("path", "")) / "config.json")
            if modes and modes != ["mean_tokens"]:
                ignored.append(f"{' and '.join(mode.removesuffix('_token') for mode in modes)} pooling")
        elif kind not in ("", "Transformer", "Pooling", _NORMALIZE):
            ignored.append(f"a {kind} layer")
    return ", ".join(ignored)


def _pooling(path: Path) -> list[str]:
    """The modes that are switched on, as `cls_token` or `mean_tokens`."""
    config = _read(path, dict)
    return [name.removeprefix(_POOLING) for name, on in config.items() if name.startswith(_POOLING) and on]


def _read(path: Path, kind: type) -> Any:
    """JSON of this type; empty where there is none."""
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return kind()
    return found if isinstance(found, kind) else kind()
