"""What `benchmarks.toeic` measures: sizes, where numbers go, the parts of an epoch, an epoch beside e2e."""

import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Literal

import torch

from benchmarks.epoch_parts import Parts, WholeEpoch, step_seconds
from benchmarks.gpu_lab import bf16
from benchmarks.harness import Bench, Sample, short
from benchmarks.shapes import small_encoder
from benchmarks.toeic_prediction import Costs
from benchmarks.toeic_tables import Tables
from benchmarks.trials import Trial, spec_of, trial
from grambench.config.spec import Spec
from grambench.domains.prepared import Prepared
from grambench.training.memory_plan import plan_graphs

BATCH = 32
PROBES = 2
"""Of each part before the epoch, and as many after."""


@dataclass(frozen=True, slots=True)
class Shape:
    """An encoder from scratch with heads of 64 features."""

    layers: int
    width: int

    def __str__(self) -> str:
        return f"{self.layers} layers, {self.width} wide"

    @property
    def overrides(self) -> tuple[str, ...]:
        return small_encoder(self.width, self.layers, max(1, self.width // 64))


@dataclass(frozen=True, slots=True)
class Sizes:
    """What a smoke run shrinks."""

    tables: Tables
    encoder: Shape
    """Trained for an epoch."""
    larger: tuple[Shape, ...]
    """Only their parts are measured."""
    e2e_steps: int
    """Half of them before the epoch, half after."""
    probed_steps: int
    probed_items: int
    target: float
    """Least ratio of samples per second."""
    layout: Literal["buckets", "packed"] = "buckets"
    """Of the encoder's calls; steps of packed rows are replayed as CUDA graphs where they can be."""
    micro_batch: int | Literal["auto"] = "auto"
    """E2E: sequences whose graph is held at once; `auto`: as many as fit."""


FULL = Sizes(
    Tables(items=1500, students=40_000, held_out_students=64),
    Shape(2, 256),
    (Shape(6, 384),),
    e2e_steps=6,
    probed_steps=30,
    probed_items=128,
    target=100.0,
    micro_batch=4,  # 2 GiB; graphs of 8 sequences were no faster
)
CUDA = replace(
    FULL,
    encoder=Shape(6, 768),
    larger=(),
    e2e_steps=10,
    probed_items=1024,
    target=50.0,
    layout="packed",
    micro_batch="auto",
)
SMOKE = Sizes(
    Tables(items=60, students=150, held_out_students=8, answers=10, words=(5, 20), vocabulary=200),
    Shape(2, 32),
    (Shape(3, 32),),
    e2e_steps=2,
    probed_steps=2,
    probed_items=20,
    target=100.0,
)


def spec_for(sizes: Sizes, shape: Shape, folder: Path) -> Spec:
    """The preset `ednet` on the tables in a folder, with an encoder from scratch."""
    return spec_of(
        "ednet",
        "data.source=tables",
        f"data.dir={folder}",
        "data.dataset=toeic-shaped",
        "data.cold_items=0",
        f"filter.sequence={sizes.tables.answers}",
        f"training.batch_size={BATCH}",
        f"training.micro_batch={sizes.micro_batch}",
        f"encoder.layout={sizes.layout}",
        *shape.overrides,
    )


@dataclass(slots=True)
class Lab:
    """Where the encoders are measured, and where the numbers go."""

    result: Bench
    sizes: Sizes
    device: torch.device
    folder: Path
    """Of the tables."""
    began_s: float = field(default_factory=time.monotonic)

    def spec(self, shape: Shape) -> Spec:
        """The preset `ednet` on the tables, with an encoder from scratch."""
        return spec_for(self.sizes, shape, self.folder)

    def trial(self, name: str, spec: Spec, data: Prepared, micro_batch: int | None = None) -> Trial:
        """A strategy on the device, in the product's precision."""
        autocast = bf16(self.device)
        return trial(name, spec, data, device=self.device, micro_batch=micro_batch, autocast=autocast)

    def row(
        self, encoder: object, what: str, seconds: Sample, rate: float | None = None, times: object = ""
    ) -> None:
        """A line of the table, printed at once: what was measured can be read if the rest is cut off."""
        rated = "" if rate is None else short(rate)
        self.result.row(encoder=encoder, what=what, seconds=seconds, samples_a_second=rated, times_E2E=times)
        if self.result.folder is not None:
            self.result.write()
        print(
            f"{time.monotonic() - self.began_s:5.0f} s  {encoder}: {what}: {seconds} s  {times}", flush=True
        )


@dataclass(slots=True)
class Probes:
    """The parts of an epoch with one encoder: seconds of a CF step, and of an item in each pass."""

    parts: Parts
    cf_step_s: list[float] = field(default_factory=list)
    forward_s: list[float] = field(default_factory=list)
    training_s: list[float] = field(default_factory=list)
    e2e_s: list[float] = field(default_factory=list)

    def warm_up(self) -> "Probes":
        """Run every part once."""
        self.parts.cf_only(0)
        self.parts.bare_pass()
        self.parts.training_pass()
        self.parts.e2e_pass()
        return self

    def measure(self, times: int) -> None:
        """Measure the parts in turns."""
        items, steps = len(self.parts.items), self.parts.steps
        for _ in range(times):
            self.cf_step_s.append(self.parts.cf_only(0) / steps)
            self.forward_s.append(self.parts.bare_pass() / items)
            self.training_s.append(self.parts.training_pass() / items)
            self.e2e_s.append(self.parts.e2e_pass() / items)

    def report(self, lab: Lab, shape: Shape) -> Costs:
        """Rows, samples, and the medians, rounded as they stand among the facts."""
        named = {
            "CF alone, a step": Sample(tuple(self.cf_step_s)),
            "encoder without a graph, an item": Sample(tuple(self.forward_s)),
            "encoder forward and backward, an item": Sample(tuple(self.training_s)),
            f"the same, {self.parts.at_once:,} at once as in E2E": Sample(tuple(self.e2e_s)),
        }
        for what, sample in named.items():
            lab.row(shape, what, sample)
            lab.result.samples[f"{shape}: {what}, s"] = sample.values
        cf_step_s, forward_s, training_s, e2e_s = (float(f"{sample.median:.4g}") for sample in named.values())
        costs = Costs(forward_s, training_s, e2e_s, cf_step_s)
        lab.result.facts[f"inputs of the prediction, {shape}"] = asdict(costs)
        return costs


@dataclass(slots=True)
class Measured:
    """An epoch of gram-1e beside steps of e2e."""

    epoch: WholeEpoch
    epoch_s: float
    e2e_step: Sample
    ratio: Sample
    """Samples per second of gram-1e over those of e2e, by the steps of e2e."""


def parts_of(lab: Lab, spec: Spec, data: Prepared) -> Parts:
    """Probes of an epoch's parts; e2e encodes a micro-batch's answers at once."""
    made = lab.trial("gram-1e", spec, data)
    plan = plan_graphs(made.system, made.sampler.batch(0), spec.training, lab.device)
    at_once = plan.micro_batch * lab.sizes.tables.answers
    return Parts(made, lab.sizes.probed_steps, lab.sizes.probed_items, at_once)


def train(lab: Lab, spec: Spec, data: Prepared, probes: Probes) -> Measured:
    """Half of e2e's steps and a probe of each part, a whole epoch of gram-1e, the other halves."""
    made = probes.parts.made
    plan = plan_graphs(made.system, made.sampler.batch(0), spec.training, lab.device)
    lab.result.facts["micro_batch_of_E2E"] = plan.micro_batch
    e2e = lab.trial("e2e", spec, data, plan.micro_batch)
    e2e.strategy.warm_up(next(e2e.sampler.batch(0).split(plan.micro_batch)))
    if lab.device.type == "cuda":  # its first step meets new shapes; on a CPU it is as fast as any
        step_seconds(e2e, range(1))
    half, count = lab.sizes.e2e_steps // 2, lab.sizes.e2e_steps
    probes.measure(PROBES)
    steps_s = step_seconds(e2e, range(1, 1 + half))
    epoch = WholeEpoch(lab.trial("gram-1e", spec, data))
    epoch.trial.strategy.warm_up(epoch.trial.sampler.batch(0))
    epoch_s = epoch()
    steps_s += step_seconds(e2e, range(1 + half, 1 + count))
    probes.measure(PROBES)
    ratio = Sample(tuple(step_s * probes.parts.steps / epoch_s for step_s in steps_s))
    return Measured(epoch, epoch_s, Sample(tuple(steps_s)), ratio)
