"""The Hugging Face hub: whether it can be reached, and its errors in one sentence."""

import contextlib
import functools
import os
import pickle
import queue
import socket
import threading
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies

from safetensors import SafetensorError

from grambench.errors import ConfigError, MachineError

CONNECT_S = 5.0
HUB = "https://huggingface.co"
_DAMAGED = (SafetensorError, RuntimeError, EOFError, pickle.UnpicklingError)
"""Raised for weights that are truncated, corrupt, or of other shapes than config.json states."""


def hub_options(model: str, revision: str | None) -> dict[str, Any]:
    """Arguments of every `from_pretrained`: no remote code, and no retries while the hub is unreachable.

    Without a network transformers would retry each file for most of a minute, even if all are cached.
    """
    local = Path(model).expanduser().is_dir() or not hub_is_reachable()
    return {"revision": revision, "trust_remote_code": False, "local_files_only": local}


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
        if looks_local and not folder.is_dir():
            raise ConfigError(
                f"{self.key} = {self.model!r} is not a folder.",
                "Give a folder with config.json and weights, or a Hugging Face model name.",
            )

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if error is None or not isinstance(error, (OSError, ValueError, *_DAMAGED)):
            return
        if Path(self.model).expanduser().is_dir():
            raise ConfigError(
                f"The folder {self.model} holds no model that transformers can read: {_first(error)}.",
                "It needs config.json, a tokenizer and model.safetensors or pytorch_model.bin.",
            ) from error
        if isinstance(error, _DAMAGED):
            raise ConfigError(
                f"The cached files of {self.model!r} cannot be read: {_first(error)}.",
                f"Fetch them again: `hf download --force-download {self.model}`.",
            ) from error
        offline = " (HF_HUB_OFFLINE is set)" if os.environ.get("HF_HUB_OFFLINE") else ""
        raise MachineError(
            f"The model {self.model!r} is not in the Hugging Face cache and could not be fetched"
            f" from the hub{offline}.",
            f"Run `hf download {self.model}` where there is a network, or name a local folder"
            f" with --set {self.key}=/path/to/model.",
        ) from error


def _first(error: BaseException) -> str:
    return str(error).strip().split("\n")[0].rstrip(".")[:200]
