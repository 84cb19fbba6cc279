"""The Hugging Face hub: whether it can be reached, and its errors in one sentence."""

import contextlib
import functools
import os
import queue
import socket
import threading
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies

from grambench.errors import ConfigError, GrambenchError, MachineError
from grambench.model_folder import (
    UnusableModelError,
    damaged_file,
    model_folder,
    require_text_model,
    require_whole_model,
    transformer_subfolder,
)

CONNECT_S = 5.0
HUB = "https://huggingface.co"


def hub_options(model: str, revision: str | None) -> dict[str, Any]:
    """Arguments of every `from_pretrained`: no remote code, and no retries while the hub is unreachable.

    Without a network transformers would retry each file for most of a minute, even if all are cached.

    Raises:
        UnusableModelError: the model's files are here, and no text encoder can be loaded from them.
    """
    local = Path(model).expanduser().is_dir() or not hub_is_reachable()
    options = {"revision": revision, "trust_remote_code": False, "local_files_only": local}
    here = model_folder(model, revision)
    if here is not None:
        require_text_model(here)
        if inside := transformer_subfolder(here):
            options["subfolder"] = inside
    return options


def fetch_file(model: str, revision: str | None, name: str) -> None:
    """Bring a file of a model on the hub into the cache, if it has one and the hub can be reached."""
    from huggingface_hub import hf_hub_download

    with contextlib.suppress(OSError, ValueError):  # the hub's errors are among them
        hf_hub_download(model, name, revision=revision, local_files_only=not hub_is_reachable())


@functools.cache
def hub_is_reachable(url: str = "") -> bool:
    """Whether a connection to the hub (empty: the default one) can be opened; behind a proxy always True.

    It takes `CONNECT_S` at most, also where names are looked up in vain.
    """
    endpoint = urlsplit(url or os.environ.get("HF_ENDPOINT") or HUB)
    if getproxies():
        return True
    try:
        port = endpoint.port or (80 if endpoint.scheme == "http" else 443)
    except ValueError:
        return False
    opened: queue.SimpleQueue[bool] = queue.SimpleQueue()
    threading.Thread(
        target=lambda: opened.put(_opens(endpoint.hostname or "", port)), name="hub", daemon=True
    ).start()
    with contextlib.suppress(queue.Empty):
        return opened.get(timeout=CONNECT_S)
    return False


def _opens(host: str, port: int) -> bool:
    with contextlib.suppress(OSError, ValueError):
        socket.create_connection((host, port), timeout=CONNECT_S).close()
        return True
    return False


class hub_errors:  # noqa: N801 - reads as a statement: with hub_errors(model)
    """Turns transformers' many model-loading errors into one sentence with the fix."""

    def __init__(self, model: str, key: str = "encoder.model") -> None:
        """`key`: the setting that names the model."""
        self.model, self.key = model, key

    def __enter__(self) -> None:
        folder = Path(self.model).expanduser()
        looks_local = self.model.startswith((".", "/", "~"))
        if (looks_local or folder.is_file()) and not folder.is_dir():
            raise ConfigError(
                f"{self.key} = {self.model!r} is not a folder.",
                "Give a folder with config.json and weights, or a Hugging Face model name.",
            )

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if error is None or isinstance(error, GrambenchError) or not _is_failure(error):
            return
        raise self._sentence(error) from error

    def _sentence(self, error: BaseException) -> GrambenchError:
        choose = f"Choose another model with --set {self.key}=NAME_OR_FOLDER."
        if isinstance(error, UnusableModelError):
            return ConfigError(f"The model {self.model} {error}.", error.fix or choose)
        for phrase, (kind, words, fix) in _SAID.items():
            if phrase in f"{type(error).__name__}: {error}":
                return kind(f"The model {self.model} {words}.", fix.format(model=self.model) or choose)
        folder = Path(self.model).expanduser()
        if folder.is_dir():
            damage = damaged_file(folder)
            return ConfigError(
                f"The folder {self.model} holds no model that transformers can read:"
                f" {f'it {damage}' if damage else _first(error)}.",
                "It needs config.json, a tokenizer and model.safetensors or pytorch_model.bin.",
            )
        if not isinstance(error, OSError):
            return ConfigError(
                f"The cached files of {self.model!r} cannot be read: {_first(error)}.",
                f"Fetch them again: `hf download --force-download {self.model}`.",
            )
        offline = " (HF_HUB_OFFLINE is set)" if os.environ.get("HF_HUB_OFFLINE") else ""
        return MachineError(
            f"The model {self.model!r} is not in the Hugging Face cache and could not be fetched"
            f" from the hub{offline}.",
            f"Run `hf download {self.model}` where there is a network, or name a local folder"
            f" with --set {self.key}=/path/to/model.",
        )


_MORE_MEMORY = "Free memory, or keep only the first layers with --set encoder.layers=N."
_SAID: dict[str, tuple[type[GrambenchError], str, str]] = {
    "gated repo": (
        MachineError,
        "is gated on the Hugging Face hub",
        "Accept its terms at https://huggingface.co/{model}, then log in with `hf auth login`.",
    ),
    "trust_remote_code": (ConfigError, "needs code of its own (auto_map), which grambench never runs", ""),
    "Weights only load failed": (
        ConfigError,
        "has a damaged pytorch_model.bin, or one that holds more than weights; it was not run",
        "Save it as model.safetensors on a machine where you trust it.",
    ),
    "ignore_mismatched_sizes": (
        ConfigError,
        "has weights of other shapes than its config.json states",
        "Put the config.json and the weights of one and the same model into the folder.",
    ),
    "is required to read a `tiktoken` file": (  # also where SentencePiece's libraries are what is missing
        MachineError,
        "has its tokenizer only in SentencePiece's or tiktoken's form, whose libraries are not installed",
        "Install them: `pip install sentencepiece protobuf tiktoken`.",
    ),
    "MemoryError": (MachineError, "does not fit into memory", _MORE_MEMORY),
    "can't allocate memory": (MachineError, "does not fit into memory", _MORE_MEMORY),
}
"""Phrase of a library's error, or its type -> the kind of error, what is wrong, and the fix."""


def require_usable(model: str, revision: str | None) -> None:
    """Refuse an encoder whose files are here and can be seen not to be usable; nothing is loaded.

    Raises:
        ConfigError: it says why.
    """
    with hub_errors(model):
        here = model_folder(model, revision)
        if here is not None and Path(model).expanduser().is_dir():
            require_whole_model(here)
        elif here is not None:  # the hub may have what the cache lacks
            require_text_model(here)


def _is_failure(error: BaseException) -> bool:
    """Whether a library failed on a model's files; tokenizers' panics are not an `Exception`."""
    return isinstance(error, Exception) or type(error).__name__ == "PanicException"


def _first(error: BaseException) -> str:
    """The first line of the error, after its type where the line alone would not say what failed."""
    lines = [line.strip() for line in str(error).strip().split("\n") if line.strip()]
    said = " ".join(lines[: 2 if lines and lines[0].endswith(":") else 1]).rstrip(".!")[:200]
    plain = said and isinstance(error, (OSError, ValueError, RuntimeError))
    return said if plain else f"{type(error).__name__} {said}".strip()
