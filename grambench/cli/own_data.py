"""What lies in the data folder of a run, and what the run needs: printed before it starts."""

from collections.abc import Iterator
from pathlib import Path

import psutil

from grambench.config.spec import Spec
from grambench.data.prepared.sources import size_of
from grambench.domains.locate import locate
from grambench.domains.registry import domain_of, source_of
from grambench.hub import hub_is_reachable
from grambench.model_folder import transformer_subfolder
from grambench.text import safe_text

MOST_BYTES = 1 << 28
"""Larger data is not read twice: it is described by its size."""
_WEIGHTS = ("model.safetensors", "pytorch_model.bin", "model.safetensors.index.json")
_STATES = 4
"""Numbers kept per weight: itself, its gradient and two moments."""


def contents(spec: Spec) -> str:
    """Folder, format and contents of a run's data, in one line.

    Raises:
        DataError: a file is missing or malformed.
        ConfigError: settings do not match the source.
    """
    folder = locate(spec.data)
    bytes_ = sum(size_of(path) for path in source_of(spec.data).files(folder, spec.data).values())
    if bytes_ > MOST_BYTES:
        said = f"{bytes_ / 2**30:.1f} GiB, counted once the run prepares it"
    else:
        said = domain_of(spec.data.domain).verify(folder, spec.data).contents
    return f"{safe_text(folder, 1000)} ({spec.data.source}): {said}"


def plan(spec: Spec) -> Iterator[str]:
    """What a run would read, train and need, line by line.

    Raises:
        DataError: a file is missing or malformed.
        ConfigError: settings do not match the source.
    """
    yield f"data: {contents(spec)}"
    names = [entry.label for entry in spec.entries]
    most = f"{spec.training.max_steps} steps" if spec.training.max_steps else f"{spec.training.epochs} epochs"
    seeds = ", ".join(map(str, spec.training.seeds))
    yield f"would train: {', '.join(names)}; seeds {seeds}; {spec.schedule}; {most} at most"
    model = spec.encoder.model
    weights = _weights(model, spec.encoder.revision) if model else None
    yield (
        f"model: {safe_text(model)} {_presence(model, weights)}" if model else "model: made from the settings"
    )
    yield f"memory: {_memory(weights, at_once=len(names) if spec.schedule == 'race' else 1)}"
    yield "time: unknown before the probe and the first steps; the dashboard estimates it then"


def _memory(weights: Path | None, at_once: int) -> str:
    """Whether as many trainable encoders fit as train at once."""
    free = psutil.virtual_memory().available
    is_free = f"{free / 2**30:.1f} GiB free on this host"
    if weights is None:
        return f"{is_free}; the need is not known before the model is loaded"
    needed = _STATES * at_once * weights.stat().st_size
    return (
        f"{needed / 2**30:.1f} GiB for the encoder's weights, gradients and optimiser, which"
        f" {'fits' if needed < free else 'does not fit'} into the {is_free}; activations come on top"
    )


def _weights(model: str, revision: str | None) -> Path | None:
    """The file of a model's weights, in its folder or in the hub's cache; None if it is not there."""
    folder = Path(model).expanduser()
    if folder.is_dir():
        inside = folder / transformer_subfolder(folder)
        return next((inside / name for name in _WEIGHTS if (inside / name).is_file()), None)
    from huggingface_hub import try_to_load_from_cache

    found = (try_to_load_from_cache(model, name, revision=revision) for name in _WEIGHTS)
    return next((Path(path) for path in found if isinstance(path, str)), None)


def _presence(model: str, weights: Path | None) -> str:
    if weights is not None or Path(model).expanduser().is_dir():
        return "is here"
    if hub_is_reachable():
        return "is not here yet; the run fetches it from the hub"
    return (
        f"is not here, and the hub cannot be reached: run `hf download {model}` where there is a network, or"
        " name a local folder with --set encoder.model=/path/to/model"
    )
