"""How long a run may take, from the size of its data and model, without torch: right within a factor of 3.

    FLOPs of an item's forward pass = 24 · layers · width² · tokens; of forward and backward, 3 times that

per trial: what its strategy encodes in an epoch, every item once for each validation, and the filter's work
on every occurrence. Divided by the rates below; all epochs are assumed to run.
"""

import json
import math
from collections.abc import Callable
from pathlib import Path

import psutil

from grambench.config.spec import Spec
from grambench.config.strategies import row_of
from grambench.config.trials import TrialEntry
from grambench.data.verification import Size
from grambench.runner.groups import quota_cpus

CORE_FLOPS = 60e9
"""Of a CPU core in fp32: 60 to 64 with 6 layers of 384 (`benchmarks.toeic`, two cores of an AMD EPYC), 78 to
82 on one thread."""
GPU_FLOPS = 2e13
"""Of a GPU: an H100 has 4.4e13 there (`benchmarks.toeic`), and most cards have less."""
STEP_S = 0.02
"""Of a step, whatever it computes: an H200 takes 6 to 21 ms for one of the encoder (docs/architecture.md)."""
SETUP_S, TRIAL_S = 20.0, 5.0
"""Before the trials, and before each one's first step."""
CHARACTERS = 4.5
"""Of an English token."""
KNOWN = {
    "sentence-transformers/all-MiniLM-L6-v2": (6, 384),
    "nreimers/TinyBERT_L-6_H-768_v2": (6, 768),
}
"""Layers and width of the presets' models, known before they are downloaded."""
_MIND = {"title": 66.0, "abstract": 200.0}
PUBLISHED = {
    "mind-small": Size(items=65_238, samples=236_344, history=32, characters=_MIND),
    "mind-large": Size(items=104_150, samples=3_383_656, history=32, characters=_MIND),
    "duolingo-es": Size(items=4_628, samples=2_643, history=106, characters={"title": 24}),
    "duolingo-fr": Size(items=4_078, samples=1_202, history=145, characters={"title": 24}),
    "poj": Size(items=2_597, samples=22_110, history=41, characters={"title": 1_200}),
    "ednet": Size(items=9_336, samples=1_240_955, history=76, characters={"title": 660}),
}
"""Data sets before they are there (table 3 of the GRAM paper; MIND's clicks in train)."""

_OCCURRENCES: dict[str, Callable[[Spec, float], float]] = {
    "news": lambda spec, history: min(history, spec.filter.history) + 1 + spec.training.negatives,
    "knowledge-tracing": lambda spec, history: min(history, spec.filter.sequence),
}
"""Domain -> occurrences of a sample."""
_FILTER_FLOPS = {"news": 15, "knowledge-tracing": 90}
"""Of the filter, forward and backward, over width², for one occurrence: NRMS's of `benchmarks.epoch`, and the
LSTM's of `benchmarks.toeic`."""


def run_seconds(spec: Spec, size: Size, weights: Path | None, on_gpu: bool) -> float | None:
    """Seconds of a whole run; None: not known for this model, domain or one of the strategies.

    Args:
        spec: of the run.
        size: of its data.
        weights: file of the model's weights, beside its config.json.
        on_gpu: whether it trains on a GPU.
    """
    shape, occurrences = _shape(spec, weights), _OCCURRENCES.get(spec.data.domain)
    if shape is None or occurrences is None:
        return None
    trials = [
        _trial_seconds(spec.with_own(entry), entry, size, occurrences(spec, size.history), shape, on_gpu)
        for entry in (*spec.entries, *spec.entries[: spec.null_test])
    ]
    known = [seconds for seconds in trials if seconds is not None]
    if len(known) < len(trials):
        return None
    blocks = len(spec.training.seeds) * spec.training.repeats / (len(spec.places) if on_gpu else 1)
    return SETUP_S + blocks * sum(known)


def cores(spec: Spec) -> float:
    """CPU cores that a run may use."""
    physical = spec.cpu_threads or psutil.cpu_count(logical=False) or 1
    return min(physical, quota_cpus() or physical)


def in_words(seconds: float) -> str:
    """A rough duration: `about 4 minutes`, `about 3 days`."""
    for unit, length in (("year", 31_557_600), ("day", 86_400), ("hour", 3_600), ("minute", 60)):
        if seconds >= 1.5 * length:
            return f"about {seconds / length:,.0f} {unit}s"
    return "about a minute"


def _trial_seconds(
    spec: Spec, entry: TrialEntry, size: Size, occurrences: float, shape: tuple[int, int], on_gpu: bool
) -> float | None:
    layers, width = shape
    training, samples = spec.training, size.samples * (1 - spec.data.validation_share)
    steps = max(1, math.ceil(samples / training.batch_size))
    encoded = _encoded(spec, entry.strategy, size.items, steps, training.batch_size * occurrences)
    if encoded is None:
        return None
    epochs = min(training.epochs, (training.max_steps or math.inf) / steps)
    tokens = sum(
        min(limit, size.characters.get(field, 0) / CHARACTERS + 2)
        for field, limit in spec.data.fields.model_dump().items()
        if limit
    )
    item, occurrence = 24 * layers * width**2 * tokens, _FILTER_FLOPS[spec.data.domain] * width**2
    flops: float = epochs * ((encoded + size.items) * item + samples * occurrences * occurrence)
    rate = GPU_FLOPS if on_gpu else CORE_FLOPS * cores(spec)
    return TRIAL_S + epochs * steps * STEP_S + flops / rate


def _encoded(spec: Spec, strategy: str, items: int, steps: int, drawn: float) -> float | None:
    """Forward passes of items in an epoch of a strategy, a backward pass counting as two; None: not known.

    `drawn`: occurrences in a batch. Items are taken to be equally frequent, which is the most there can be.
    """
    row = row_of(strategy)
    if row.family == "baseline" or row.package:
        return None
    if row.encodes == "occurrences":
        return row.passes * steps * drawn
    if row.family != "multi-step":
        return row.passes * steps * _distinct(drawn, items)
    found = row.match(strategy)
    numbers = found.groupdict() if found else {}
    window = float(numbers.get("steps") or 0) or steps * float(numbers.get("epochs") or 0.25)
    passes = 1 + 3 * spec.multi_step.encoder_passes
    return passes * steps / window * _distinct(drawn * window, items)


def _distinct(drawn: float, items: int) -> float:
    return items * -math.expm1(-drawn / items)


def _shape(spec: Spec, weights: Path | None) -> tuple[int, int] | None:
    """Layers and width of the encoder."""
    encoder = spec.encoder
    if encoder.architecture is not None:
        return encoder.architecture.layers, encoder.architecture.hidden_size
    shape = KNOWN.get(encoder.model or "")
    if weights is not None:
        try:
            config = json.loads((weights.parent / "config.json").read_bytes())
            shape = int(config["num_hidden_layers"]), int(config["hidden_size"])
        except (OSError, ValueError, KeyError, TypeError):
            pass
    return shape and (min(shape[0], encoder.layers or shape[0]), shape[1])
