"""What the sections of `benchmarks.measure` share: sizes, the device, where facts go, probes of training."""

import dataclasses
import gc
import math
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from benchmarks import trials
from benchmarks.harness import Bench, Sample, interleave
from benchmarks.targets import Target
from benchmarks.trials import Trial
from grambench.config.spec import Architecture, Data, Encoder, Spec, SyntheticData, Training
from grambench.data.prepared import Prepared
from grambench.data.synthetic import LIKE

if TYPE_CHECKING:
    from benchmarks.gpu_prepared import Store

GIB = 2**30
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
    steps: int = 4
    """Steps of a strategy in a round."""
    cf_steps: int = 100
    """CF steps in a round."""
    wait_steps: int = 30
    rounds: int = 3
    sampled_rounds: int = 6
    """Rounds with and without NVML's sampling."""
    sampled_s: float = 1.5
    """Seconds of such a slice."""
    matrix: int = 8192
    tokens: int = 65_536
    """Rows of the encoder's own matrix products."""
    attention_rows: tuple[int, ...] = (880, 901, 913, 927, 941)
    """Row counts of attention whose first call is timed; that of the first one is not."""
    items: int = 8192
    """Items encoded at once to measure the encoder alone."""
    encoder_batches: tuple[int, ...] = (64, 256, 1024)
    mini_batches: int = 40
    """Of a closing that is timed; a quarter of them at the largest size."""
    memory_batches: tuple[int, ...] = (8, 32)
    closing_steps: int = 200
    """Encoder steps after which the closing of an epoch's window is cut short where memory is measured."""


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
    batch=16, exact_users=8, chunk=20, steps=2, cf_steps=2, wait_steps=3, rounds=1, sampled_rounds=1,
    sampled_s=0.1, matrix=64, tokens=64, attention_rows=(5, 6), items=64, encoder_batches=(8, 32),
    mini_batches=2, memory_batches=(8,), closing_steps=3,
)  # fmt: skip


def mind_spec(sizes: Sizes) -> Spec:
    """MIND-small's sizes and laws with an encoder from scratch; the paper's protocol cuts nothing off."""
    return Spec(
        name="gpu",
        data=Data(source="synthetic", dataset="mind-like", protocol="paper", synthetic=sizes.news),
        encoder=Encoder(architecture=sizes.encoder),
        training=Training(epochs=EPOCHS, batch_size=sizes.batch),
    )


def chosen_device(name: str) -> torch.device:
    """`auto`: the first CUDA device where there is one."""
    cuda = torch.cuda.is_available() if name == "auto" else name.startswith("cuda")
    if not cuda:
        return torch.device("cpu")
    device = torch.device("cuda", int(name.partition(":")[2] or 0))
    torch.cuda.set_device(device)
    return device


def bf16(device: torch.device) -> bool:
    """True where the product would use bf16 autocast."""
    return device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)


@dataclass(slots=True)
class Lab:
    """Where a section measures, and where it puts what it found."""

    result: Bench
    device: torch.device
    sizes: Sizes
    autocast: bool
    store: "Store"
    section: str = "start"
    ends_s: float = math.inf
    """When the section should end, in seconds of the monotonic clock."""
    began_s: float = field(default_factory=time.monotonic)
    _data: Prepared | None = field(default=None, repr=False)

    @property
    def cuda(self) -> bool:
        return self.device.type == "cuda"

    @property
    def out(self) -> Path:
        """The folder of the results."""
        return self.result.path.parent

    @property
    def spec(self) -> Spec:
        """The data and the encoder that most sections train."""
        return mind_spec(self.sizes)

    @property
    def data(self) -> Prepared:
        """The data of `spec`, with a vocabulary of its full size.

        The generated corpus has fewer words than the vocabulary is to have; the rows that no token
        reads cost the optimiser and the memory what those of a real model cost.
        """
        if self._data is None:
            data = self.store.open("mind-like")
            words = data.manifest.tokenizer
            size = max(words.vocabulary_size, self.sizes.encoder.vocabulary)
            whole = words.model_copy(update={"vocabulary_size": size})
            manifest = data.manifest.model_copy(update={"tokenizer": whole})
            self._data = dataclasses.replace(data, manifest=manifest)
        return self._data

    def trial(self, name: str, spec: Spec | None = None, **options: Any) -> Trial:
        """A strategy on the device, in the product's precision, with freshly drawn weights."""
        options = {"autocast": self.autocast, **options}
        return trials.trial(name, spec or self.spec, self.data, device=self.device, **options)

    def row(self, what: str, measured: object, note: str = "", predicted: str = "") -> None:
        """A line of the table, printed and written at once: what was found stays if the rest is cut off."""
        self.result.row(section=self.section, what=what, measured=measured, predicted=predicted, note=note)
        since_s = time.monotonic() - self.began_s
        beside = f"  (predicted {predicted})" if predicted else ""
        print(f"{since_s:5.0f} s  {self.section}: {what}: {measured}{beside}  {note}", flush=True)
        self.save()

    def found(self, what: str, sample: Sample, unit: str, note: str = "", predicted: str = "") -> None:
        """A row of numbers; the raw ones are kept where all are finite."""
        if all(map(math.isfinite, sample.values)):
            self.result.samples[f"{self.section}: {what}, {unit}"] = sample.values
        self.row(what, f"{sample} {unit}", note, predicted)

    def claim(self, target: Target, value: float, note: str = "") -> None:
        """What was measured for a target, unless an earlier section has measured something better."""
        if not math.isfinite(value):
            self.left_out(target.text, f"{value} is not finite")
            return
        claim, sign = target.claim(value, note), 1 if target.kind == "at least" else -1
        earlier = next((one for one in self.result.claims if one.text == claim.text), None)
        if earlier is not None and sign * earlier.value >= sign * value:
            return
        self.result.claims = [one for one in self.result.claims if one is not earlier]
        self.result.claim(claim)
        self.save()

    def left_out(self, what: str, why: str) -> None:
        """Say what was not measured, and why."""
        self.result.facts.setdefault("left_out", []).append(f"{self.section}: {what}: {why}")
        self.row(what, "–", f"left out: {why}")

    def failed(self, why: str) -> None:
        """Say that the section ended early."""
        failed = self.result.facts.setdefault("failed", [])
        if self.section not in failed:
            failed.append(self.section)
        self.left_out("the rest", why)

    def save(self) -> None:
        """Write everything that was found; a smoke run only where it was given a folder."""
        if self.result.folder is not None or not self.result.smoke:
            self.result.write()

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
            return [by_clock(work) for _ in range(repeats)]
        marks = [torch.cuda.Event(enable_timing=True) for _ in range(repeats + 1)]
        marks[0].record()
        for mark in marks[1:]:
            work()
            mark.record()
        self.synchronize()
        return [a.elapsed_time(b) / 1e3 for a, b in pairwise(marks)]

    def median_seconds(self, work: Callable[[], object], repeats: int = 3) -> float:
        """Median of some repetitions, after one that is not timed."""
        self.seconds(work, 1)
        return statistics.median(self.seconds(work, repeats))

    def waited_seconds(self, work: Callable[[], object]) -> float:
        """Seconds until the device has done the work: for what happens on the host, such as planning."""
        self.synchronize()
        return by_clock(lambda: (work(), self.synchronize()))


@contextmanager
def cudnn_attention(wanted: bool) -> Iterator[None]:
    """Let torch take cuDNN's attention, or not; afterwards it is as before."""
    switch = getattr(torch.backends.cuda, "enable_cudnn_sdp", None)  # came with torch 2.5
    state = getattr(torch.backends.cuda, "cudnn_sdp_enabled", None)
    if switch is None or state is None:
        yield
        return
    before = state()
    switch(wanted)
    try:
        yield
    finally:
        switch(before)


@contextmanager
def tf32(wanted: bool) -> Iterator[None]:
    """What the setting `filter.tf32` does; afterwards it is as before."""
    places = torch.backends.cuda.matmul, torch.backends.cudnn
    before = [place.allow_tf32 for place in places]
    for place in places:
        place.allow_tf32 = wanted
    try:
        yield
    finally:
        for place, value in zip(places, before, strict=True):
            place.allow_tf32 = value


class Novelties:
    """Counts what the device has not met before: shapes of the encoder's calls, and allocations of memory."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._shapes: set[tuple[int, ...]] = set()
        self.shapes = 0
        """New ones since the last `begin`."""
        self.allocations: int | None = None
        """Since then; None: this torch does not count them, or there is no CUDA device."""

    @contextmanager
    def counted(self, backbone: nn.Module) -> Iterator[None]:
        """Count during the enclosed work."""

        def note(_module: nn.Module, _arguments: object, named: dict[str, Any]) -> None:
            self._shapes.add(tuple(named["inputs_embeds"].shape[:2]))

        shapes, allocations = len(self._shapes), self._allocated()
        handle = backbone.register_forward_pre_hook(note, with_kwargs=True)
        try:
            yield
        finally:
            handle.remove()
        self.shapes, now = len(self._shapes) - shapes, self._allocated()
        self.allocations = None if now is None or allocations is None else now - allocations

    def _allocated(self) -> int | None:
        if self._device.type != "cuda":
            return None
        return torch.cuda.memory_stats(self._device).get("num_device_alloc")

    def __str__(self) -> str:
        allocations = "unknown" if self.allocations is None else self.allocations
        return f"new shapes {self.shapes}, device allocations {allocations}"


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
    occurrences: int = 0
    unique_items: int = 0
    finite: bool = True
    novelties: list[str] = field(default_factory=list)
    """Of each call."""
    _met: Novelties = field(init=False)

    def __post_init__(self) -> None:
        self._met = Novelties(self.trial.sampler.device)

    def warm_up(self) -> "Probe":
        """The work of a step without its update, and a step that is not timed."""
        self.trial.strategy.warm_up(self.trial.sampler.batch(self.step))
        self()
        self.occurrences = self.unique_items = 0
        self.novelties.clear()
        return self

    def __call__(self) -> float:
        """Seconds a sample."""
        clock, samples = self.trial.system.clock, 0
        before_s, _ = clock.read()
        with self._met.counted(self.trial.modules.encoder.backbone):
            clock.start()
            samples = self._take()
            clock.stop()
        self.novelties.append(str(self._met))
        return (clock.read()[0] - before_s) / samples

    def _take(self) -> int:
        """The steps; the samples that they trained on."""
        strategy, samples, done = self.trial.strategy, 0, 0
        while True:
            result = strategy.step(self.trial.sampler.batch(self.step))
            self.step, done = self.step + 1, done + 1
            samples += result.users
            self.occurrences += result.occurrences
            self.unique_items += result.unique_items
            if done >= self.steps and (strategy.window_steps == 1 or result.window is not None):
                break
        self.finite = self.finite and math.isfinite(float(result.loss))
        return samples

    @property
    def reuse(self) -> float:
        """R: occurrences over the items that the strategy encoded anew for them."""
        return self.occurrences / self.unique_items


def by_clock(work: Callable[[], object]) -> float:
    """Seconds of some work on the host."""
    began_ns = time.monotonic_ns()
    work()
    return (time.monotonic_ns() - began_ns) / 1e9
