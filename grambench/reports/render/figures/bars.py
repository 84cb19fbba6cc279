"""Bars: memory of each label, and the factors that make up each speed-up."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from grambench.reports.render.figures.chart import Bar, Bars, Figure, keys_of, log_axis, value_axis
from grambench.reports.render.labels import LabelTrials, by_label, peak_bytes
from grambench.reports.schema import Report
from grambench.reports.trial_schema import Trial
from grambench.views import numbers


def memory_bars(report: Report) -> Figure:
    """The largest memory of each label."""
    name, title, labels = "memory", "Peak memory", by_label(report)
    keys, peaks = keys_of(labels), {each.label: each.largest(peak_bytes) for each in labels}
    bars = tuple(
        Bar(label, (0.0, peak / numbers.GIB), f"{numbers.gib(peak)} GiB", keys[label])
        for label, peak in peaks.items()
        if peak is not None
    )
    if not bars:
        reasons = [why for trial in report.trials if (why := trial.memory.reasons.get("rss_peak_bytes"))]
        why = reasons[0] if reasons else "no trial was recorded"
        return Figure(name, title, None, f"Not drawn: {why}.")
    on_gpu = [trial.memory.torch_peak_allocated_bytes is not None for trial in report.trials]
    source = "live tensors on the device, torch's count" if any(on_gpu) else "resident memory of the worker"
    axis = value_axis("GiB", [0.0, *(bar.ends[1] for bar in bars if bar.ends)], zero=True)
    return Figure(name, title, Bars(axis, bars), f"Largest over the trials of a label: {source}.")


@dataclass(frozen=True, slots=True)
class _Rates:
    """What a trial did; all of it is in the report, or the factors are not shown."""

    encodings: float
    """Item encodings a sample."""
    tokens: float
    """Tokens an encoding, padding excluded."""
    encoder: float
    """Seconds of the encoder a token."""
    rest: float
    """Training seconds over seconds of the encoder, a ratio."""
    reuse: float | None
    """R; 1 for e2e, which encodes every occurrence."""
    of_batch: float | None
    """R of a single-step trial of the same seed, whose windows are batches."""


def _rates(trial: Trial, of_batch: float | None) -> _Rates | None:
    times = trial.times
    rates = (times.samples_per_s, times.items_encoded_per_s, times.tokens_per_s)
    if not all((*rates, times.encoder_s, times.train_s)):
        return None
    samples, items, tokens, encoder_s, train_s = (v or 0.0 for v in (*rates, times.encoder_s, times.train_s))
    return _Rates(
        items / samples,
        tokens / items,
        encoder_s / train_s / tokens,
        train_s / encoder_s,
        trial.reuse_ratio,
        of_batch,
    )


def _batch(own: _Rates, e2e: _Rates) -> float | None:
    return own.of_batch / e2e.reuse if own.of_batch and e2e.reuse else None


def _window(own: _Rates, e2e: _Rates) -> float | None:
    less = own.of_batch or e2e.reuse
    return own.reuse / less if own.reuse and less else None


def _again(own: _Rates, e2e: _Rates) -> float | None:
    shared = own.reuse / e2e.reuse if own.reuse and e2e.reuse else 1.0
    return e2e.encodings / own.encodings / shared


FACTORS: tuple[tuple[str, Callable[[_Rates, _Rates], float | None]], ...] = (
    ("distinct items of a batch", _batch),
    ("distinct items of a window", _window),
    ("encodings per distinct item", _again),
    ("tokens per encoding", lambda own, e2e: e2e.tokens / own.tokens),
    ("encoder time per token", lambda own, e2e: e2e.encoder / own.encoder),
    ("time outside the encoder", lambda own, e2e: e2e.rest / own.rest),
)
"""How many times as fast each makes a candidate (first argument) as e2e (second); their product is the
speed-up in samples/s. None: not measured, and then part of the factor after it."""
_SINGLE_STEP = ("gram-1s", "e2e-unique")


def factors_of(each: LabelTrials, labels: Sequence[LabelTrials]) -> dict[str, float]:
    """The factors of a label's speed-up over the reference, geometric means over the pairs.

    Empty: a rate is missing. A factor that some pair lacks is left out, in favour of the one after it.
    """
    against = {_block(t): t for found in labels if found.is_reference for t in found.trials}
    batches = {
        _block(t): t.reuse_ratio for found in labels if found.strategy in _SINGLE_STEP for t in found.trials
    }
    own = [t for t in each.trials if _block(t) in against]
    of_batch = [_no_more(batches.get(_block(t)), t.reuse_ratio) for t in own]
    known = of_batch if all(of_batch) else [None] * len(own)
    pairs = [
        (_rates(t, reuse), _rates(against[_block(t)], None)) for t, reuse in zip(own, known, strict=True)
    ]
    return _means([pair for pair in pairs if pair[0] and pair[1]])


def _means(pairs: Sequence[tuple[Any, Any]]) -> dict[str, float]:
    values = {name: [factor(*pair) for pair in pairs] for name, factor in FACTORS}
    return {
        name: math.exp(fmean(math.log(value) for value in found if value))
        for name, found in values.items()
        if found and all(found)
    }


def _no_more(of_batch: float | None, own: float | None) -> float | None:
    """R of a batch, as far as a trial uses it: `e2e` of another encoder encodes every occurrence."""
    return min(of_batch, own) if of_batch and own else of_batch


def _block(trial: Trial) -> tuple[int, int]:
    return trial.seed, trial.repeat


def factor_waterfall(report: Report) -> Figure:
    """What each speed-up over e2e comes from, one factor after the other."""
    name, title, labels = "factors", "What the speed-up comes from", by_label(report)
    reference = next((each for each in labels if each.is_reference), None)
    if reference is None or reference.strategy != "e2e":
        return Figure(
            name, title, None, "Not drawn: factors are those of the speed-up over e2e, which did not run."
        )
    rows = [bar for each in labels if not each.is_reference for bar in _waterfall(each, labels)]
    if not rows:
        why = "of no other label are reuse ratio, encodings, tokens and seconds of the encoder all measured"
        return Figure(name, title, None, f"Not drawn: {why}.")
    axis = log_axis("times as fast as e2e (log)", [end for bar in rows for end in bar.ends or ()])
    caption = (
        "Each bar begins where the one above ends; hollow ones make the strategy slower. Factors are ratios "
        "of measured rates, multiplied over the seeds; their product is the speed-up in samples/s."
    )
    return Figure(name, title, Bars(axis, tuple(rows)), caption)


def _waterfall(each: LabelTrials, labels: list[LabelTrials]) -> Iterator[Bar]:
    factors = {name: value for name, value in factors_of(each, labels).items() if abs(value - 1) >= 0.005}
    if not factors:
        return
    key, reached = keys_of(labels)[each.label], 1.0
    yield Bar(each.label)
    for name, value in factors.items():
        yield Bar(name, (reached, reached * value), f"× {value:.2f}", key, hollow=value < 1)
        reached *= value
    yield Bar("speed-up", (1.0, reached), f"{numbers.ratio(reached)}×", key)
