"""What the sections of `benchmarks.measure` share: the device, its switches, and where facts go."""

import dataclasses
import gc
import math
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from benchmarks import trials
from benchmarks.gpu_sizes import Sizes, mind_spec
from benchmarks.harness import Bench, Sample
from benchmarks.targets import Target
from benchmarks.trials import Trial
from grambench.config.spec import Spec
from grambench.domains.prepared import Prepared

if TYPE_CHECKING:
    from benchmarks.gpu_prepared import Store

GIB = 2**30


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

        def waited() -> None:
            work()
            self.synchronize()

        return by_clock(waited)


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
    places: tuple[Any, ...] = torch.backends.cuda.matmul, torch.backends.cudnn
    before = [place.allow_tf32 for place in places]
    for place in places:
        place.allow_tf32 = wanted
    try:
        yield
    finally:
        for place, value in zip(places, before, strict=True):
            place.allow_tf32 = value


def altered(spec: Spec, table: str, **changes: object) -> Spec:
    """The specification with other values in one of its tables."""
    changed = getattr(spec, table).model_copy(update=changes)
    return spec.model_copy(update={table: changed})


def by_clock(work: Callable[[], object]) -> float:
    """Seconds of some work on the host."""
    began_ns = time.monotonic_ns()
    work()
    return (time.monotonic_ns() - began_ns) / 1e9
