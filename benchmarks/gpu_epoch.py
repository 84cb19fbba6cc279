"""Section of `benchmarks.measure`: what an epoch of gram-1e consists of, and a whole one."""

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.epoch_parts import WholeEpoch, seconds_of
from benchmarks.gpu_lab import Lab, altered, tf32
from benchmarks.gpu_probe import turns
from benchmarks.harness import Sample
from benchmarks.targets import EPOCH
from benchmarks.trials import Trial
from grambench.config.spec import Spec
from grambench.data.batches import counter
from grambench.training.strategies.fit_encoder import fit_encoder
from grambench.training.strategies.item_table import held_by_all

BATCH = 256
"""Items of an encoder step in the epoch that is claimed."""
CF = {
    "plain": ("off", False, "4.9 ms, bound by the host"),
    "TF32": ("off", True, "4.9 ms, bound by the host"),
    "graph": ("on", False, "2.0 to 2.8 ms"),
    "graph and TF32": ("on", True, "1.2 ms"),
}
"""Graphs, TF32 and the prediction of a CF step."""
CLOSING = {
    "buckets": ("buckets", "off", {64: "20 ms", 256: "22 ms", 1024: "36 ms"}),
    "packed": ("packed", "off", {}),
    "packed, graphs": ("packed", "on", {64: "2.3 ms", 256: "4 to 5 ms"}),
}
"""Layout, graphs and the predictions of an encoder step by its items."""


def epoch(lab: Lab) -> None:
    """Opening and CF steps, a whole epoch with graphs and packed rows, closings by layout and mini-batch."""
    items_I = _cf_steps(lab)
    lab.release()
    _whole(lab)
    lab.release()
    for name in CLOSING:
        _closing(lab, name, items_I)
        lab.release()


@dataclass(slots=True)
class Steps:
    """CF steps of a window that is open."""

    made: Trial
    count: int
    tf32: bool
    step: int = 0

    def __call__(self) -> float:
        """Seconds a step."""
        first, self.step = self.step, self.step + self.count
        with tf32(self.tf32):
            return seconds_of(self.made, lambda: self._take(range(first, self.step))) / self.count

    def warm_up(self) -> "Steps":
        """Open the window, capture what is captured, and take some steps that are not timed."""
        with tf32(self.tf32):
            self.made.strategy.warm_up(self.made.sampler.batch(0))
        self()
        return self

    def _take(self, steps: range) -> None:
        for step in steps:
            self.made.strategy.step(self.made.sampler.batch(step))


def engine(lab: Lab, layout: str, graphs: str, encoder_batch: int = BATCH) -> Spec:
    spec = altered(altered(lab.spec, "encoder", layout=layout), "engine", graphs=graphs)
    return altered(spec, "multi_step", encoder_batch=encoder_batch)


def _cf_steps(lab: Lab) -> NDArray[np.int64]:
    """Measure opening and CF steps; the items of the epoch."""
    sides = {
        name: Steps(lab.trial("gram-1e", engine(lab, "buckets", graphs)), lab.sizes.cf_steps, fast).warm_up()
        for name, (graphs, fast, _) in CF.items()
    }
    plain = sides["plain"].made
    items_I = plain.sampler.items_ahead(0, plain.sampler.steps_per_epoch)
    with torch.no_grad():
        opening = Sample(tuple(lab.seconds(lambda: plain.system.encode(items_I), lab.sizes.rounds)))
    lab.found(f"opening: {len(items_I):,} items without a graph", opening, "s", predicted=".41 s")
    seconds = turns(sides, lab.sizes.rounds, lab.ends_s)
    for name, side in sides.items():
        milliseconds = Sample(tuple(1e3 * value for value in seconds[name].values))
        lab.found(f"CF step, {name}", milliseconds, "ms", _fixed(side.made), CF[name][2])
    return items_I


def _fixed(made: Trial) -> str:
    """How the steps over fixed shapes went; empty where they are off."""
    fixed = made.system.fixed
    if fixed.trouble:
        return f"NO GRAPHS: {fixed.trouble}"
    return f"{fixed.plain_steps} steps did not fit" if fixed.filter_steps else ""


def _whole(lab: Lab) -> None:
    """Two epochs: shapes are new and graphs are captured in the first one, which is not timed."""
    made = lab.trial("gram-1e", engine(lab, "packed", "on"))
    made.strategy.warm_up(made.sampler.batch(0))
    whole = WholeEpoch(made)
    first_s, epoch_s = whole(), whole()
    parts = ", ".join(
        f"{name} {seconds:.3g} s"
        for name, seconds in zip(("opening", "CF", "closing"), whole.parts[1], strict=True)
    )
    finite = all(bool(loss.isfinite()) for loss in (whole.losses[0], whole.losses[-1]))
    settings = f"packed rows, graphs, encoder_batch {BATCH}; {_fixed(made)}"
    note = f"{parts}; the first epoch {first_s:.3g} s; {settings}"
    lab.found("a whole epoch", Sample((epoch_s,)), "s", note, "2.5 to 3.5 s")
    lab.claim(EPOCH, epoch_s if finite else float("nan"), note)


def _closing(lab: Lab, name: str, items_I: NDArray[np.int64]) -> None:
    """Encoder steps of a window's end, in mini-batches of each size."""
    layout, graphs, predicted = CLOSING[name]
    made = lab.trial("gram-1e", engine(lab, layout, graphs))
    for size in lab.sizes.encoder_batches:
        count = lab.sizes.mini_batches
        if size == max(lab.sizes.encoder_batches):
            count = max(1, count // 4)
        some_N = np.random.default_rng(0).permutation(items_I)[: size * count]
        closing = closing_pass(made, some_N, size)

        def run(closing: Callable[[], object] = closing) -> float:
            return seconds_of(made, closing)

        first_s = run()
        seconds = turns({name: run}, 2, lab.ends_s)[name]
        steps = ceil(len(some_N) / size)
        milliseconds = Sample(tuple(1e3 * value / steps for value in seconds.values))
        whole_s = seconds.median / steps * ceil(len(items_I) / size)
        note = f"{whole_s:.2f} s an epoch; new shapes and captures took {first_s - seconds.median:.2f} s"
        if made.system.fixed.trouble:
            note += f"; NO GRAPHS: {made.system.fixed.trouble}"
        lab.found(f"closing, {name}, {size} items", milliseconds, "ms a step", note, predicted.get(size, ""))


def closing_pass(made: Trial, some_N: NDArray[np.int64], size: int) -> Callable[[], object]:
    """Encoder steps at a window's end over these items, in mini-batches; in another order each time."""
    with torch.no_grad():
        targets_ND = made.system.encode(some_N)
        targets_ND += 0.1 * torch.randn_like(targets_ND)  # products of zeros would be faster
    turn = 0

    def order(_pass: int) -> Tensor:
        return counter.permutation(counter.key(0, size, turn), len(some_N), targets_ND.device)

    def run() -> Tensor:
        nonlocal turn
        turn += 1
        targets = held_by_all(made.system.group, targets_ND)
        return fit_encoder(made.system, some_N, targets, batch=size, passes=1, chunk=size, order=order)

    return run
