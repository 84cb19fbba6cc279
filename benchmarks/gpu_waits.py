"""Sections of `benchmarks.gpu` about what training must not wait for: its own reads, and NVML's."""

import os
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

import grambench
from benchmarks.gpu_lab import Lab, Probe, altered, per_second, turns
from benchmarks.gpu_watch import Watcher, sampling
from benchmarks.harness import Claim
from grambench import transfer

KEPT, SAMPLING_S = 0.99, 0.5
PACKAGE = str(Path(grambench.__file__).parent)


def waits(lab: Lab, until_s: float) -> None:
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
            lab.result.claim(Claim(text, found, 0, "at most", note=error))
        lab.release()


def _watched_steps(lab: Lab, name: str, mode: str) -> tuple[Counter[str], str, Counter[str]]:
    """Marked waits by place, the error that ended the steps if one did, and unmarked waits by place."""
    # windows of gram-auto close at their shortest, and closings are quick: where waits are, stays the same
    spec = altered(lab.spec, "multi_step", auto_drift=1e-6, encoder_batch=1024)
    made = lab.trial(name, spec)
    start = 10 if name == "gram-10s" else spec.multi_step.auto_floor
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


def nvml(lab: Lab, until_s: float) -> None:
    """Throughput of gram-1s beside the product's sampling: by another process, as in a run, or a thread."""
    probe = Probe(lab.trial("gram-1s"), lab.sizes.steps).warm_up()
    step_s = probe() * lab.spec.training.batch_size
    probe.steps = max(2, round(lab.sizes.sampled_s / step_s))
    watcher = Watcher(os.getpid(), SAMPLING_S)
    seen: dict[str, object] = {}

    def by_process() -> float:
        watcher.ask("on")
        seconds = probe()
        seen["process"] = watcher.ask("off")
        return seconds

    def by_thread() -> float:
        with sampling(os.getpid(), SAMPLING_S) as found:
            seconds = probe()
        seen["thread"] = {"events": found.counts, "reasons": found.reasons}
        return seconds

    sides = {"nobody": probe, "a process": by_process, "a thread": by_thread, "nobody again": probe}
    try:
        seconds = turns(sides, lab.sizes.rounds + 2, until_s, warm_ups=1)
    finally:
        watcher.close()
    kept = {name: seconds["nobody"].over(found) for name, found in seconds.items()}
    for name, found in seconds.items():
        note = f"{kept[name]} of the samples/s with nobody"
        lab.row(f"sampled by {name}", f"{per_second(found)} samples/s", note)
        lab.result.samples[f"sampled by {name}, samples/s"] = per_second(found).values
    lab.result.facts["sampling"] = {"period_s": SAMPLING_S, "steps": probe.steps, **seen}
    reasons = seen["process"]["reasons"]  # type: ignore[index]
    if "gpu" in reasons:
        lab.left_out("NVML", f"{reasons['gpu']} (host and process were sampled)")
        return
    lab.row("readings that NVML does not give", len(reasons), str(reasons))
    claim = "throughput kept beside NVML sampling at 2 Hz, by another process"
    note = f"nobody again over nobody: {kept['nobody again']}"
    lab.result.claim(Claim(claim, kept["a process"].median, KEPT, "at least", note=note))
