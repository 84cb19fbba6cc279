"""What a sentence-transformers model does with its hidden states: its own pooling, and what is ignored."""

from pathlib import Path
from typing import cast

from grambench.config.networks import Encoder
from grambench.errors import ConfigError
from grambench.hub import fetch_file
from grambench.model_folder import (
    MODULES,
    UnusableModelError,
    is_inside,
    model_folder,
    modules,
    pooling_modes,
)
from grambench.models.pooling import Pooling

OWN = "own-or-"
"""Begins the settings that leave the pooling to the model's files."""
_KNOWN: dict[str, Pooling] = {"mean": "mean", "cls": "cls", "lasttoken": "last"}
"""sentence-transformers' name of a pooling -> ours."""
_NORMALIZE = "Normalize"
"""Only changes the vectors' length, which the filter can learn."""


def pooling_of(spec: Encoder) -> Pooling:
    """The pooling of an encoder: the one that is set, or its model's own.

    Raises:
        ConfigError: the model pools in a way that is not known here, or its files are damaged.
    """
    if not spec.pooling.startswith(OWN):
        return cast(Pooling, spec.pooling)
    folder = _folder_with_modules(spec.model, spec.revision) if spec.model is not None else None
    try:
        modes = pooling_modes(folder) if folder is not None else ()
    except UnusableModelError as error:
        raise ConfigError(f"The model {spec.model} {error}.", _CHOOSE) from error
    if not modes:
        return cast(Pooling, spec.pooling.removeprefix(OWN))
    if len(modes) > 1 or modes[0] not in _KNOWN:
        raise ConfigError(
            f"The model {spec.model} pools its tokens by {' and '.join(modes)}, which grambench does not do.",
            _CHOOSE,
        )
    return _KNOWN[modes[0]]


_CHOOSE = "Choose another pooling with --set encoder.pooling=mean (or cls, last, attention)."


def _folder_with_modules(model: str, revision: str | None) -> Path | None:
    """The folder of a model, after its list of modules, and the pooling's config, were fetched if need be."""
    folder = model_folder(model, revision)
    if folder is not None and not Path(model).expanduser().is_dir():
        fetch_file(model, revision, MODULES)
        for layer, path in modules(folder):
            if layer == "Pooling" and is_inside(path):
                fetch_file(model, revision, f"{path}/config.json")
    return folder


def ignored_modules(spec: Encoder) -> str:
    """What the model's files prescribe but the encoder does not do; empty if there is no difference.

    Attention pooling is trained anyway; with it, and with the model's own, only other layers count.
    """
    folder = model_folder(spec.model, spec.revision) if spec.model is not None else None
    if folder is None:
        return ""
    modes = _modes(folder) if spec.pooling in _KNOWN.values() else ()
    ignored = []
    if modes and [_KNOWN.get(mode) for mode in modes] != [spec.pooling]:
        ignored.append(f"{' and '.join(modes)} pooling")
    known = ("Transformer", "Pooling", _NORMALIZE)
    ignored += [f"a {layer} layer" for layer, _ in modules(folder) if layer not in known]
    return ", ".join(ignored)


def _modes(folder: Path) -> tuple[str, ...]:
    try:
        return pooling_modes(folder)
    except UnusableModelError:
        return ()
