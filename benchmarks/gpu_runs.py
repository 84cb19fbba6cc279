"""Sections of `benchmarks.measure` that run something whole: three strategies, and data of TOEIC's shape."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks import toeic as toeic_script
from benchmarks import toeic_lab
from benchmarks.gpu_lab import Lab
from benchmarks.gpu_prepared import RUN, STRATEGIES, run_overrides, toeic_sizes
from benchmarks.harness import Bench, Sample
from benchmarks.targets import RUN as FINISHED
from benchmarks.targets import START
from grambench.events import types as ev
from grambench.events.journal import Follower
from grambench.events.state import SETUP
from grambench.runner.rundir import SUPERVISOR_LOG

ENDED = ("completed", "early-stopped")
LOG = "run.log"
KEPT = ("*.json", "*.jsonl", "*.log")
LEAVE_S = 8.0
"""For a run that is asked to end."""


def whole_run(lab: Lab) -> None:
    """`grambench run` of three strategies; its report and logs stay beside the results."""
    with tempfile.TemporaryDirectory(prefix="grambench-run-") as scratch:
        code = _grambench(lab, Path(scratch))
        last = (lab.out / LOG).read_text(errors="replace").strip().rpartition("\n")[2]
        lab.row("exit code", "none: it took too long" if code is None else code, last, predicted="0")
        (folder,) = (path.parent for path in Path(scratch).glob("*/run.json"))
        _keep(folder, lab.out)
        _report(lab, folder / "report.json")
        _starts(lab, folder)


def _grambench(lab: Lab, out: Path) -> int | None:
    """Run it; the exit code, or None: it was ended at the section's time."""
    settings = [word for override in run_overrides(lab.result.smoke) for word in ("--set", override)]
    device = "cuda" if lab.cuda else "cpu"
    names = ",".join(STRATEGIES[1:] if lab.result.smoke else STRATEGIES)
    words = ["run", "--preset", "demo", "--strategies", names, "--device", device]
    command = [sys.executable, "-P", "-m", "grambench", *words, *settings]
    with (lab.out / LOG).open("wb") as output:
        process = subprocess.Popen(
            [*command, "--foreground", "--plain", "--out", str(out)],
            env=lab.store.environment(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            return process.wait(max(1.0, lab.ends_s - time.monotonic() - LEAVE_S))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(LEAVE_S)
            return None
        finally:
            process.kill()


def _keep(folder: Path, out: Path) -> None:
    """The report and an archive of all logs: no weights."""
    with contextlib.suppress(FileNotFoundError):
        (out / "report.json").write_bytes((folder / "report.json").read_bytes())
    with tarfile.open(out / "run.tgz", "w:gz") as archive:
        for pattern in KEPT:
            for path in sorted(folder.rglob(pattern)):
                archive.add(path, str(Path(RUN) / path.relative_to(folder)))


def _report(lab: Lab, path: Path) -> None:
    """What the report says of each trial."""
    if not path.is_file():
        lab.left_out("report", "the run has written none")
        lab.claim(FINISHED, 0.0, "no report")
        return
    trials: list[dict[str, Any]] = json.loads(path.read_text())["trials"]
    for trial in trials:
        lab.row(trial["name"], trial["outcome"], _times(trial))
    finished = sum(trial["outcome"] in ENDED for trial in trials)
    lab.claim(FINISHED, float(finished), ", ".join(str(trial["outcome"]) for trial in trials))


def _times(trial: dict[str, Any]) -> str:
    return ", ".join(
        f"{name} {value:.3g}" for name, value in trial["times"].items() if isinstance(value, (int, float))
    )


def _starts(lab: Lab, folder: Path) -> None:
    """From the start of each trial's process until its clock starts, by the logs."""
    spawned = {}
    for record in Follower(folder / SUPERVISOR_LOG).read():
        match record.event:
            case ev.WorkerSpawned(trial=trial):
                spawned[trial] = record.stamp.t_ns
            case ev.Preloading(seconds=float(seconds)):
                lab.row("libraries loaded, once for all workers", f"{seconds:.2f} s")
            case ev.Warned(code=code, message=message):
                lab.row(f"the run warns: {code}", "–", message)
    starts_s = []
    for trial, began_ns in spawned.items():
        if trial == SETUP:
            continue
        steps = {name: (at_ns - began_ns) / 1e9 for name, at_ns in _moments(folder / trial)}
        starts_s.append(steps.get("train"))
        note = ", ".join(f"{name} after {seconds:.2f} s" for name, seconds in steps.items())
        lab.row(f"start of {trial}", "–" if starts_s[-1] is None else f"{starts_s[-1]:.2f} s", note)
    later = [seconds for seconds in starts_s[1:] if seconds is not None]
    if later:
        lab.found("starts after the first", Sample(tuple(later)), "s", predicted="3 to 4 s, forked")
        lab.claim(START, max(later), f"{len(later)} trials, the slowest")


def _moments(folder: Path) -> Iterator[tuple[str, int]]:
    """When a worker began, and each phase up to training."""
    for record in Follower(folder / "events.jsonl").read():
        if isinstance(record.event, ev.WorkerStarted):
            yield "device", record.stamp.t_ns
        if isinstance(record.event, ev.PhaseEntered):
            yield record.event.phase, record.stamp.t_ns
            if record.event.phase == "train":
                return


def toeic(lab: Lab) -> None:
    """`benchmarks.toeic` with the sizes of a GPU and few students; its own table goes into its own file."""
    sizes = toeic_sizes(lab.result.smoke)
    own = Bench("toeic_cuda", toeic_script.TITLE, lab.result.device, smoke=lab.result.smoke, folder=lab.out)
    own.command, own.place = "python -m benchmarks.measure --only toeic", lab.result.place
    part = toeic_lab.Lab(own, sizes, lab.device, Path(os.devnull))
    try:
        toeic_script.measure(part, lab.store.open("toeic"))
    finally:
        own.write()
    for claim in own.claims:
        lab.row(claim.text, f"{claim.value:.3g}{claim.unit}", claim.note, f"{claim.kind} {claim.bound:g}")
