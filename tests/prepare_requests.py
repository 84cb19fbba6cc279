"""Requests to prepare data, with settings of `config.spec.Data` by name."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from grambench.config.data import Data
from grambench.domains.prepared import PrepareRequest

PLAIN = {"source": "mind", "unknown_items": "error", "validation_share": 0.5, "cold_items": 0}


def prepare_request(
    folder: Path, tokenizer: Any, tokenizer_key: str = "", **settings: object
) -> PrepareRequest:
    """A request with these settings, which are not validated: preparing checks what it needs."""
    data = Data().model_copy(update={**PLAIN, "repeated_answers": "keep", **settings})
    return PrepareRequest(data=data, folder=folder, tokenizer=tokenizer, tokenizer_key=tokenizer_key)


def changed(request: PrepareRequest, **changes: object) -> PrepareRequest:
    """With other fields of the request, or of its data."""
    own = {name: value for name, value in changes.items() if name in PrepareRequest.__dataclass_fields__}
    settings = {name: value for name, value in changes.items() if name not in own}
    return replace(request, data=request.data.model_copy(update=settings), **own)
