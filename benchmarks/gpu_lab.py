"""What the sections of `benchmarks.gpu` share: sizes, the data, the time that is left, probes of training."""

import dataclasses
import gc
import math
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import torch

from benchmarks import trials
from benchmarks.harness import Bench, Sample, interleave
from benchmarks.trials import Trial
from grambench.config.spec import Architecture, Data, Encoder, Spec, SyntheticData, Training
from grambench.data.prepared import Prepared
from grambench.data.synthetic import LIKE

GIB, MIB = 2**30, 2**20
EPOCHS = 10_000
"""So many that no probe comes to the end of training."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """What a smoke run shrinks."""

    news: SyntheticData
    encoder: Architecture
    small_encoder: Architecture
    """For float64."""
    batch: int = 256
    exact_users: int = 64
    chunk: int = 256
    """Items a chunk of exact recomputation."""
    steps: int = 20
    """CF steps of a probe (at least; windows are finished)."""
    wait_steps: int = 30
    rounds: int = 4
    matrix: int = 8192
    copied_bytes: int = 4 * GIB
    items: int = 16_384
    """Items encoded at once to measure the encoder alone."""
    buckets: tuple[int, ...] = (8192, 16_384, 32_768, 65_536, 131_072)
    encoder_batches: tuple[int, ...] = (64, 256, 1024)
    memory_batches: tuple[int, ...] = (8, 32)
    closing_steps: int = 200
    """Encoder steps after which the closing of an epoch's window is cut short where memory is measured."""
    sampled_s: float = 2.0
    """Seconds of training beside NVML's sampling, in one probe."""


FULL = Sizes(
    LIKE["mind-small"].model_copy(update={"dev_impressions": 1000}),
    Architecture(hidden_size=768, layers=6, heads=12, intermediate_size=3072, vocabulary=30_000),
    Architecture(hidden_size=64, layers=2, heads=4, intermediate_size=256, vocabulary=30_000),
)
SMOKE = Sizes(
    SyntheticData(
        news=200, users=60, train_impressions=150, dev_impressions=40, topics=4,
        history_mean=8.0, candidates_mean=6.0,
    ),
    Architecture(hidden_size=32, layers=2, heads=2, intermediate_size=64, vocabulary=600),
    Architecture(hidden_size=16, layers=1, heads=2, intermediate_size=32, vocabulary=600),
    batch=16, exact_users=8, chunk=20, steps=2, wait_steps=3, rounds=1, matrix=64, copied_bytes=MIB,
    items=64, buckets=(128, 512), encoder_batches=(8, 32), memory_batches=(8,), closing_steps=3,
    sampled_s=0.1,
)  # fmt: skip


@dataclass(slots=True)
class Lab:
    """Where a section measures, and where it puts what it found."""

    result: Bench
    device: torch.device
    sizes: Sizes
    ends_s: float
    """End of the whole, in seconds of the monotonic clock."""
    autocast: bool
    spec: Spec = field(init=False)
    data: Prepared = field(init=False, repr=False)
    matmul_per_s: float = math.nan
    """FLOP/s of a large bf16 matrix product here; not a number before it is measured."""
    section: str = "data"
    began_s: float = field(default_factory=time.monotonic)

    @property
    def cuda(self) -> bool:
        return self.device.type == "cuda"

    def prepare(self) -> None:
        """Generate and prepare the data, or find what the cache has; the vocabulary gets its full size.

        The generated corpus has fewer words than the vocabulary is to have; the rows that no token
        reads cost the optimiser and the memory what those of a real model cost.
        """
        self.spec = Spec(
            name="gpu",
            data=Data(
                source="synthetic", dataset="mind-like", protocol="paper", synthetic=self.sizes.news
            ),  # by the paper's protocol nothing is cut out of train
            encoder=Encoder(architecture=self.sizes.encoder),
            training=Training(epochs=EPOCHS, batch_size=self.sizes.batch),
        )
        data = trials.prepared(self.spec)
        words = data.manifest.tokenizer
        size = max(words.vocabulary_size, self.sizes.encoder.vocabulary)
        whole = words.model_copy(update={"vocabulary_size": size})
        self.data = dataclasses.replace(data, manifest=data.manifest.model_copy(update={"tokenizer": whole}))

    def trial(self, name: str, spec: Spec | None = None, **options: Any) -> Trial:
        """A strategy on the device, in the product's precision, with freshly drawn weights."""
        options = {"autocast": self.autocast, **options}
        return trials.trial(name, spec or self.spec, self.data, device=self.device, **options)

    def row(self, what: str, measured: object, note: str = "") -> None:
        """A line of the table, printed at once: what was measured stays if the rest is cut off."""
        self.result.row(section=self.section, what=what, measured=measured, note=note)
        since_s = time.monotonic() - self.began_s
        print(f"{since_s:5.0f} s  {self.section}: {what}: {measured}  {note}", flush=True)

    def left_out(self, what: str, why: str) -> None:
        """Say what was not measured, and why."""
        self.row(what, "–", f"left out: {why}")
        self.result.facts.setdefault("left_out", []).append(f"{self.section}: {what}: {why}")

    def synchronize(self) -> None:
        """Wait for the device."""
        if self.cuda:
            torch.cuda.synchronize(self.device)

    def release(self) -> None:
        """Give cached memory back to the device."""
        gc.collect()
        if self.cuda:
            torch.cuda.empty_cache()

    def seconds(self, work: Callable[[], object], repeats: int) -> list[float]:
        """Seconds of each repetition: between CUDA events where there are any, else by the clock."""
        if not self.cuda:
            return [_by_clock(work) for _ in range(repeats)]
        marks = [torch.cuda.Event(enable_timing=True) for _ in range(repeats + 1)]
        marks[0].record()
        for mark in marks[1:]:
            work()
            mark.record()
        self.synchronize()
        return [a.elapsed_time(b) / 1e3 for a, b in pairwise(marks)]

    def median_seconds(self, work: Callable[[], object], repeats: int = 3) -> float:
        return statistics.median(self.seconds(work, repeats))


def altered(spec: Spec, table: str, **changes: object) -> Spec:
    """The specification with other values in one of its tables."""
    changed = getattr(spec, table).model_copy(update=changes)
    return spec.model_copy(update={table: changed})


def turns(
    sides: Mapping[str, Callable[[], object]], rounds: int, until_s: float, warm_ups: int = 0
) -> dict[str, Sample]:
    """`interleave` with the order turned round each time; no round is begun that would end too late."""
    values: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(rounds):
        began_s, warming = time.monotonic(), 0 if number else warm_ups
        order = list(sides) if number % 2 == 0 else list(reversed(list(sides)))
        measured = interleave({name: sides[name] for name in order}, 1, warming)
        for name, sample in measured.items():
            values[name] += sample.values
        now_s = time.monotonic()
        if now_s + (now_s - began_s) / (1 + warming) > until_s:
            break
    return {name: Sample(tuple(found)) for name, found in values.items()}


def per_second(seconds: Sample, amount: float = 1.0) -> Sample:
    """A rate from seconds."""
    return Sample(tuple(amount / value for value in seconds.values))


@dataclass(slots=True)
class Probe:
    """Some steps of a trial by its own clock, which waits for the device at both ends only.

    A probe of multi-step GRAM ends with a window, so that what a window costs is in it.
    """

    trial: Trial
    steps: int
    step: int = 0
    samples: int = 0
    occurrences: int = 0
    unique_items: int = 0
    train_s: float = 0.0
    encoder_items_per_s: list[float] = field(default_factory=list)
    encoder_tokens_per_s: list[float] = field(default_factory=list)
    encoder_share: list[float] = field(default_factory=list)
    finite: bool = True

    def warm_up(self) -> "Probe":
        """The work of a step without its update, twice."""
        for _ in range(2):
            self.trial.strategy.warm_up(self.trial.sampler.batch(self.step))
        return self

    def __call__(self) -> float:
        """Seconds a sample."""
        system, strategy = self.trial.system, self.trial.strategy
        before_s, encoded = system.clock.read(), dataclasses.replace(system.encode.counts)
        samples = done = 0
        system.clock.start()
        while True:
            result = strategy.step(self.trial.sampler.batch(self.step))
            self.step, done = self.step + 1, done + 1
            samples += result.users
            self.occurrences += result.occurrences
            self.unique_items += result.unique_items
            if done >= self.steps and (strategy.window_steps == 1 or result.window is not None):
                break
        system.clock.stop()
        train_s, encode_s = (now - then for now, then in zip(system.clock.read(), before_s, strict=True))
        self.samples, self.train_s = self.samples + samples, self.train_s + train_s
        self.encoder_items_per_s.append((system.encode.counts.items - encoded.items) / encode_s)
        self.encoder_tokens_per_s.append((system.encode.counts.tokens - encoded.tokens) / encode_s)
        self.encoder_share.append(encode_s / train_s)
        self.finite = self.finite and math.isfinite(float(result.loss))
        return train_s / samples

    @property
    def reuse(self) -> float:
        """R: occurrences over the items that the strategy encoded anew for them."""
        return self.occurrences / self.unique_items


def _by_clock(work: Callable[[], object]) -> float:
    began_ns = time.monotonic_ns()
    work()
    return (time.monotonic_ns() - began_ns) / 1e9
