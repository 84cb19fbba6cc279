"""`grambench.json` of an exported model: what its files are, and how texts become their input."""

from pathlib import Path
from typing import Literal

import pydantic

from grambench.config.networks import Filter
from grambench.config.table import Positive, Table
from grambench.errors import DataError
from grambench.fs import sha256_file

EXPORTED_FILE = "grambench.json"
FILTER_FILE, POOLING_FILE = "filter.safetensors", "pooling.safetensors"
ADAPTER = "adapter"
"""Folder of LoRA's updates in peft's format."""
NAMES = (
    *(EXPORTED_FILE, "README.md", "config.json", "tokenizer.json", "tokenizer_config.json"),
    *("special_tokens_map.json", "modules.json", "sentence_bert_config.json", "1_Pooling", ADAPTER),
    *("model.safetensors", "model.safetensors.index.json", FILTER_FILE, POOLING_FILE),
)
"""What an export may write; weights of several files have other names."""


class TextField(Table):
    """A text field of an item."""

    name: str
    """`title`, `abstract` or `body`; knowledge tracing: `title`."""
    limit: Positive
    """Most tokens, the token that closes it included; of the first field also the one that opens the item."""


class Exported(Table):
    """A text encoder with its pooling and filter."""

    schema_version: Literal[1] = 1
    grambench: str
    """Version that wrote it."""
    run: str
    trial: str
    strategy: str
    domain: str
    base_model: str | None
    """Name of the pretrained model on the hub; None: from a folder or from scratch."""
    revision: str | None
    """Its commit."""
    parameters: int
    """Of the encoder and its pooling, a count."""
    width: Positive
    """Features of an item vector."""
    pooling: Literal["mean", "cls", "last", "attention"]
    pooling_query: Positive
    """Query width of attention pooling, in features."""
    fields: tuple[TextField, ...]
    """An item is opened, and each of its fields closed, by one token."""
    opening_id: int | None
    closing_id: int
    filter_kind: str
    """A row of `config.filters`."""
    filter: Filter
    free_vectors: bool
    """In training, items also had free vectors, which are not exported (CRCF)."""
    files: dict[str, str]
    """Weights -> their SHA-256."""

    @property
    def names(self) -> set[str]:
        """What its export may have written."""
        return {*NAMES, *self.files}

    @property
    def limit(self) -> int:
        """Most tokens of an item."""
        return sum(field.limit for field in self.fields)

    @property
    def has_modules(self) -> bool:
        """Whether sentence-transformers can do its pooling, which then has no weights."""
        return self.pooling != "attention"


def read_exported(folder: Path, *, check: bool = True) -> Exported:
    """What the `grambench.json` of a folder says; with `check`, all digests are compared.

    Raises:
        DataError: it is not an exported model, or a file is missing or has changed.
    """
    path = folder / EXPORTED_FILE
    fix = "Export the model again."
    try:
        exported = Exported.model_validate_json(path.read_bytes())
        changed = [
            name for name, digest in exported.files.items() if check and digest != _digest(folder, name)
        ]
    except OSError as error:
        words = f"{folder} is not an exported model: {error.filename} cannot be read."
        raise DataError(words, "Write one with `grambench export RUN --to huggingface DIR`.") from error
    except pydantic.ValidationError as error:
        raise DataError(f"{path} is damaged or from a newer version of grambench.", fix) from error
    if changed:
        raise DataError(f"{folder / changed[0]} has changed since it was exported: its SHA-256 differs.", fix)
    return exported


def _digest(folder: Path, name: str) -> str:
    return sha256_file(folder / Path(name).name)
