"""Sections of `benchmarks.measure` about what training must not wait for: its own reads, and NVML's."""

import os
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

import grambench
from benchmarks.epoch_parts import seconds_of
from benchmarks.gpu_epoch import closing_pass, engine
from benchmarks.gpu_lab import Lab, altered
from benchmarks.gpu_probe import Novelties, per_second, turns
from benchmarks.gpu_watch import Watcher
from benchmarks.targets import SAMPLING, Target
from grambench import transfer

SAMPLING_S = 0.5
PACKAGE = str(Path(grambench.__file__).parent)


def waits(lab: Lab) -> None:
    """Steps under CUDA's own check for waits, which is off at marked points only."""
    steps = lab.sizes.wait_steps
    for name in ("gram-1s", "gram-10s", "gram-auto"):
        marked, error, _ = _watched_steps(lab, name, "error")
        places: Counter[str] = Counter()
        if error:  # the check ended the first such step; warnings name all of them
            _, _, places = _watched_steps(lab, name, "warn")
            lab.result.facts[f"{name}, waits outside marked points"] = dict(places)
        found = max(places.total(), int(bool(error)))
        outside = f"{found} waits outside marked points" if lab.cuda else "not checked: no CUDA device"
        lab.row(f"{name}, {steps} steps", outside, f"{error} {dict(places)}" if error else "")
        lab.row(f"{name}, marked points", f"{marked.total() / steps:.2f} a step", str(dict(marked)))
        if lab.cuda:
            text = f"waits outside marked points, {steps} steps of {name}"
            lab.claim(Target(text, 0, "at most"), found, error)
        lab.release()


def _watched_steps(lab: Lab, name: str, mode: str) -> tuple[Counter[str], str, Counter[str]]:
    """Marked waits by place, the error that ended the steps if one did, and unmarked waits by place."""
    # windows of gram-auto close at their shortest, and closings are quick: where waits are, stays the same
    spec = altered(altered(lab.spec, "multi_step", encoder_batch=1024), "gram_auto", drift=1e-6)
    made = lab.trial(name, spec)
    start = 10 if name == "gram-10s" else spec.gram_auto.floor
    for step in range(start):  # whole windows; Adam's state is made in the first step
        made.strategy.step(made.sampler.batch(step))
    error = ""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with marked_waits_only(mode, lab.cuda) as marked:
            try:
                for step in range(start, start + lab.sizes.wait_steps):
                    made.strategy.step(made.sampler.batch(step))
            except RuntimeError as raised:
                error = f"{str(raised).splitlines()[0]} at {_place(raised)}"
    found = [one for one in caught if "synchronizing CUDA" in str(one.message)]
    return marked, error, Counter(f"{tail(one.filename)}:{one.lineno}" for one in found)


@contextmanager
def marked_waits_only(mode: str, cuda: bool) -> Iterator[Counter[str]]:
    """CUDA's check for waits in this mode, and off within `transfer.host_reads`; counts these by caller."""
    marked = Counter[str]()

    @contextmanager
    def lenient() -> Iterator[None]:
        marked[_caller()] += 1
        with _checking("default", cuda):
            yield

    with transfer.around_host_reads(lenient), _checking(mode, cuda):
        yield marked


@contextmanager
def _checking(mode: str, cuda: bool) -> Iterator[None]:
    """CUDA's check in another mode; afterwards in the one before."""
    before = torch.cuda.get_sync_debug_mode() if cuda else 0
    if cuda:
        torch.cuda.set_sync_debug_mode(mode)
    try:
        yield
    finally:
        if cuda:
            torch.cuda.set_sync_debug_mode(before)


def _caller() -> str:
    """The product's line that asked: the innermost one outside `transfer`."""
    for frame in reversed(traceback.extract_stack(limit=12)):
        if frame.filename.startswith(PACKAGE) and not frame.filename.endswith("transfer.py"):
            return f"{tail(frame.filename)}:{frame.lineno}"
    return "elsewhere"


def _place(error: BaseException) -> str:
    """The product's innermost line of a traceback."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if frame.filename.startswith(PACKAGE)] or frames
    return f"{tail(ours[-1].filename)}:{ours[-1].lineno}"


def tail(filename: str) -> str:
    """The last parts of a path."""
    return "/".join(Path(filename).parts[-3:])


def nvml(lab: Lab) -> None:
    """Throughput beside the product's sampling by another process, as in a run.

    What is timed is the encoder's steps at a window's end, replayed as CUDA graphs: they wait for the GPU
    alone, take the same time again and again, and no shape or memory is new. (Steps that wait for the host
    vary by a third on a virtual machine, which hides what sampling costs.)
    """
    made = lab.trial("gram-1e", engine(lab, "packed", "on"))
    size = lab.sizes.encoder_batches[0]
    items_I = made.sampler.items_ahead(0, made.sampler.steps_per_epoch)[: size * lab.sizes.mini_batches]
    closing, met = closing_pass(made, items_I, size), Novelties(lab.device)

    def work(times: int) -> float:
        def repeat() -> None:
            for _ in range(times):
                closing()

        return seconds_of(made, repeat) / (times * len(items_I))

    with met.counted(made.modules.encoder):
        work(2)
        times = max(2, round(lab.sizes.sampled_s / (work(2) * len(items_I))))
    watcher, seen = Watcher(os.getpid(), SAMPLING_S), {}

    def one_slice() -> float:
        work(1)  # asking the other process has left the device idle
        return work(times)

    def by_process() -> float:
        watcher.ask("on")
        seconds = one_slice()
        seen.update(watcher.ask("off"))
        return seconds

    sides = {"nobody": one_slice, "a process": by_process}
    try:
        with met.counted(made.modules.encoder):
            seconds = turns(sides, lab.sizes.sampled_rounds, lab.ends_s)
    finally:
        watcher.close()
    kept = seconds["nobody"].over(seconds["a process"])
    for name, found in seconds.items():
        lab.found(f"sampled by {name}", per_second(found), "items/s", f"slices of {times * len(items_I):,}")
    lab.result.facts["sampling"] = {"period_s": SAMPLING_S, "passes": times, **seen}
    if made.system.fixed.trouble:
        lab.row("graphs", "NONE", made.system.fixed.trouble)
    reasons = seen["reasons"]
    if "gpu" in reasons:
        lab.left_out("NVML", f"{reasons['gpu']} (host and process were sampled)")
        return
    lab.row("readings that NVML does not give", len(reasons), str(reasons))
    note = f"{kept} in {2 * len(kept.values)} slices in turns; {met}"
    lab.found("kept beside sampling", kept, "of the items/s with nobody", str(met), "above .99")
    lab.claim(SAMPLING, kept.median, note)
