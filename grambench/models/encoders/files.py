"""The files of a pretrained model that determine its output."""

from pathlib import Path

_WEIGHTS = ("model.safetensors", "model*.safetensors", "pytorch_model.bin", "pytorch_model*.bin")
"""In transformers' order of preference."""
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
    weights = next((files for pattern in _WEIGHTS if (files := sorted(folder.glob(pattern)))), [])
    words = [path for pattern in _WORDS for path in sorted(folder.glob(pattern))]
    return {str(path.relative_to(folder)): path for path in (*words, *weights) if path.is_file()}


def model_folder(model: str, revision: str | None) -> Path | None:
    """Folder of a model's files; None if it is not on this machine (yet)."""
    folder = Path(model).expanduser()
    if folder.is_dir():
        return folder
    from huggingface_hub import try_to_load_from_cache

    config = try_to_load_from_cache(model, "config.json", revision=revision)
    return Path(config).parent if isinstance(config, str) else None
