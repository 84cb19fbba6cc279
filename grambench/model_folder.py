"""What the files of a pretrained model say before any library reads them: its modules, why it is refused."""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

MODULES = "modules.json"
"""Lists the modules of a sentence-transformers model: a transformer, a pooling, and possibly others."""
WEIGHTS = ("model.safetensors", "model*.safetensors", "pytorch_model.bin", "pytorch_model*.bin")
"""In transformers' order of preference."""
_TOKENIZERS = (
    "*token*",
    "*vocab*",
    "*.model",
    "*.spm",
    "*.bpe",
    "*merges*",
    "*.codes",
    "tekken.json",
    "*.tiktoken",
)
_READ = (
    "config.json",
    "*.index.json",
    MODULES,
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
)
"""JSON files that transformers, or grambench, reads."""
_ADAPTER = "adapter_config.json"
_MOST_BYTES = 1 << 24
_MOST_LAYERS, _MOST_SIZE = 256, 1 << 24
_SIZES = ("size", "layers", "layer", "n_embd", "heads", "head", "embeddings", "positions", "dim")
"""How the names of a model's sizes end."""
_MODES = "pooling_mode"
_FLAGS = {
    "cls_token": "cls",
    "max_tokens": "max",
    "mean_tokens": "mean",
    "weightedmean_tokens": "weightedmean",
}
"""Flags of sentence-transformers whose names are not those of its modes."""
_NEEDS = {
    "vision_config": "images",
    "image_size": "images",
    "visual_feat_dim": "images",
    "visual_embedding_dim": "images",
    "audio_config": "sound",
    "num_mel_bins": "sound",
    "feat_extract_norm": "sound",
    "max_2d_position_embeddings": "the place of every word on a page",
    "dim_bbox": "the place of every word on a page",
    "max_xpath_tag_unit_embeddings": "the tags of web pages",
}
"""Setting of a config.json -> what the model reads besides text."""


class UnusableModelError(ValueError):
    """Files that no model can be loaded from: what is wrong, and what to do instead."""

    def __init__(self, message: str, fix: str = "") -> None:
        """`message` follows the model's name, such as `has no weights`; `fix` is a sentence."""
        super().__init__(message)
        self.fix = fix


def model_folder(model: str, revision: str | None) -> Path | None:
    """Folder of a model's files; None if it is not on this machine (yet)."""
    folder = Path(model).expanduser()
    if folder.is_dir():
        return folder
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        config = try_to_load_from_cache(model, "config.json", revision=revision)
    except HFValidationError:  # loading the model reports it
        return None
    return Path(config).parent if isinstance(config, str) else None


def transformer_subfolder(folder: Path) -> str:
    """Where the transformer lies in a model's folder: `0_Transformer` in early sentence-transformers models.

    Empty: in the folder itself, as wherever its config.json says what the model is.
    """
    if "model_type" in lenient_json(folder / "config.json", dict):
        return ""
    paths = (path for layer, path in modules(folder) if layer == "Transformer" and is_inside(path))
    return next((path for path in paths if (folder / path / "config.json").is_file()), "")


def modules(folder: Path) -> Iterator[tuple[str, str]]:
    """Class and path of each module of a sentence-transformers model; nothing if it lists none."""
    for module in lenient_json(folder / MODULES, list):
        named, path = (module.get(key) if isinstance(module, dict) else None for key in ("type", "path"))
        if isinstance(named, str) and isinstance(path, str):
            yield named.rpartition(".")[2], path


def pooling_modes(folder: Path) -> tuple[str, ...]:
    """How a sentence-transformers model pools, in its own words such as `cls`; empty: its files do not say.

    Raises:
        UnusableModelError: the pooling's config.json is missing or damaged.
    """
    path = next((path for layer, path in modules(folder) if layer == "Pooling" and is_inside(path)), None)
    if path is None:
        return ()
    config = _strict_json(folder / path / "config.json", f"{path}/config.json")
    modes = config.get(_MODES)
    if modes is None:
        flags = [name.removeprefix(f"{_MODES}_") for name, on in config.items() if on and _MODES in name]
        modes = [_FLAGS.get(flag, flag) for flag in flags]
    listed = [modes] if isinstance(modes, str) else modes
    if not isinstance(listed, list) or not all(isinstance(mode, str) for mode in listed):
        raise UnusableModelError(f"has a damaged {path}/config.json: {_MODES} is not the name of a pooling")
    return tuple(listed) or ("mean",)


def require_text_model(folder: Path) -> None:
    """Refuse files that cannot become a text encoder; files that are missing are left to the library.

    Raises:
        UnusableModelError: it says why.
    """
    inside = folder / transformer_subfolder(folder)
    if (inside / _ADAPTER).is_file() and not _has_weights(inside):
        base = lenient_json(inside / _ADAPTER, dict).get("base_model_name_or_path")
        of = f" of {base}" if isinstance(base, str) and base else ""
        raise UnusableModelError(f"is an adapter{of}, not a whole model", _MERGE)
    if not (inside / "config.json").is_file():
        first = next((layer for layer, _ in modules(folder)), "Transformer")
        if first != "Transformer":
            raise UnusableModelError(f"is not a transformer: it begins with {first}")
        return
    config = _strict_json(inside / "config.json", "config.json")
    for key, needed in _NEEDS.items():
        if config.get(key) is not None:
            raise UnusableModelError(f"needs more than text: it reads {needed} ({key} in its config.json)")
    for key, value in config.items():
        _require_size(key, value)


_MERGE = (
    "Merge it into its base first, with peft: `AutoPeftModel.from_pretrained(FOLDER).merge_and_unload()"
    ".save_pretrained(OTHER)`, and name the other folder."
)


def require_whole_model(folder: Path) -> None:
    """Refuse files that cannot become a text encoder, and a folder without config.json or weights.

    Raises:
        UnusableModelError: it says why.
    """
    require_text_model(folder)
    inside = folder / transformer_subfolder(folder)
    if not (inside / "config.json").is_file():
        raise UnusableModelError("has no config.json" if any(folder.iterdir()) else "is an empty folder")
    if not _has_weights(inside):
        raise UnusableModelError("has no weights, neither model.safetensors nor pytorch_model.bin")
    if damage := damaged_file(folder):
        raise UnusableModelError(damage)
    if not any(any(inside.glob(pattern)) for pattern in _TOKENIZERS):
        raise UnusableModelError(
            "has no tokenizer",
            "Put its tokenizer.json (or vocab.txt, or spiece.model) beside its config.json.",
        )


def damaged_file(folder: Path) -> str:
    """The first JSON file of a model that cannot be read, as `has a damaged …`; empty: all are well-formed.

    Files that nothing reads, such as the `data_config.json` of sentence-transformers, may hold anything.
    """
    inside = folder / transformer_subfolder(folder)
    for path in sorted(path for pattern in _READ for path in inside.glob(pattern)):
        kind = list if path.name == MODULES else dict
        try:
            _json(path, path.name, kind)
        except UnusableModelError as error:
            return str(error)
    return ""


def _has_weights(folder: Path) -> bool:
    return any(any(folder.glob(pattern)) for pattern in WEIGHTS)


def _require_size(key: str, value: Any) -> None:
    """Refuse a number with which building the model would fail or never end."""
    if isinstance(value, float) and math.isnan(value):
        raise UnusableModelError(f"has a damaged config.json: {key} is not a number")
    most = _MOST_LAYERS if "layer" in key else _MOST_SIZE
    if key.endswith(_SIZES) and isinstance(value, (int, float)) and value > most:
        raise UnusableModelError(f"has a damaged config.json: {key} = {value:.6g} is above {most:,}")
    if key.endswith(("heads", "layers")) and isinstance(value, (int, float)) and value < 0:
        raise UnusableModelError(f"has a damaged config.json: {key} = {value:.6g} is negative")


def _strict_json(path: Path, name: str) -> dict[str, Any]:
    """A JSON object of moderate size.

    Raises:
        UnusableModelError: the file cannot be read, or is something else.
    """
    if path.is_file() and path.stat().st_size > _MOST_BYTES:
        raise UnusableModelError(f"has a damaged {name}: it is longer than {_MOST_BYTES >> 20} MiB")
    value: dict[str, Any] = _json(path, name, dict)
    return value


def _json(path: Path, name: str, expected: type) -> Any:
    try:
        value = json.loads(path.read_bytes())
    except OSError as error:
        raise UnusableModelError(f"has no readable {name}: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        why = "it is nested too deeply" if isinstance(error, RecursionError) else f"it is not JSON ({error})"
        raise UnusableModelError(f"has a damaged {name}: {why}") from error
    if not isinstance(value, expected):
        what = "object" if expected is dict else "list"
        raise UnusableModelError(f"has a damaged {name}: it is not a JSON {what}")
    return value


def lenient_json(path: Path, expected: type) -> Any:
    """JSON of the expected type; an empty one if there is none."""
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return expected()
    return value if isinstance(value, expected) else expected()


def is_inside(path: str) -> bool:
    """Whether a path leads to a place inside its folder."""
    return bool(path) and not Path(path).is_absolute() and ".." not in Path(path).parts
