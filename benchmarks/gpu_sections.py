"""Sections of a measurement, each in a process of its own with its own limit: none can end another.

A GPU that hangs, a compiler, an illegal access: no thread can stop them, a killed process does. Processes are
forked from one that has imported everything and never touched CUDA, or are new ones where a fork sees no GPU.
What a section has found is in the file of results after every fact, and its successor takes it up from there.
"""

import contextlib
import faulthandler
import multiprocessing
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from benchmarks.gpu_lab import Lab, bf16, chosen_device
from benchmarks.harness import Bench

LOOK_S = 60.0
"""Longest wait for the first look at the device."""
_SOFT = 0.85
"""Share of its limit after which a section begins nothing new."""
_FAILED = 1
_WAYS = ("fork", "spawn")


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the work with its time."""

    name: str
    run: Callable[[Lab], None]
    needs_s: float
    """It is left out where less is left."""
    limit_s: float
    """After so long its process is killed."""


class Processes:
    """Starts the processes of sections."""

    def __init__(self, how: str) -> None:
        """`how`: `fork` or `spawn`."""
        self.how = how
        self._context: Any = multiprocessing.get_context(how)

    def run(self, limit_s: float, work: Callable[..., None], *arguments: object) -> int | None:
        """Run it in a process; the exit code, negative for a signal, or None: it was killed at its limit."""
        sys.stdout.flush()
        process = self._context.Process(target=_alone, args=(limit_s, work, *arguments))
        process.start()
        code: int | None = None
        try:
            process.join(limit_s)
            code = process.exitcode
        finally:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)  # what it has started, too
            process.join(5)
        return code


def look(result: Bench, device: str) -> Processes | None:
    """See which device is there, and note it with the machine; None: no process sees a CUDA device."""
    for how in _WAYS:
        processes = Processes(how)
        code = processes.run(LOOK_S, _look, result, device)
        if code == 0:
            result.reload()
            if result.device != "cpu" or result.smoke:
                return processes
    return None


def run_sections(lab: Lab, sections: Sequence[Section], processes: Processes, ends_s: float) -> None:
    """One after the other; what found no time, failed or hung is a row.

    Args:
        lab: as the sections get it, without a device.
        sections: in the order of their worth.
        processes: what starts them.
        ends_s: of the whole, in seconds of the monotonic clock.
    """
    for section in sections:
        lab.section = section.name
        left_s = ends_s - time.monotonic()
        if left_s < section.needs_s:
            lab.left_out("all", f"{max(0.0, left_s):.0f} s were left, it needs {section.needs_s:.0f}")
            continue
        limit_s, began_s = min(section.limit_s, left_s), time.monotonic()
        lab.result.write()
        code = processes.run(limit_s, _inside, lab, section, limit_s)
        lab.result.reload()
        if code is None:
            lab.failed(f"it did not end within {limit_s:.0f} s")
        elif code and section.name not in lab.result.facts.get("failed", []):  # a crash, or a signal
            lab.failed(f"its process ended with {code}")
        lab.result.facts.setdefault("section_s", {})[section.name] = round(time.monotonic() - began_s, 1)
        lab.save()


def _alone(limit_s: float, work: Callable[..., None], *arguments: object) -> None:
    """In the new process: a group of its own, and a traceback on stderr before it is killed."""
    os.setpgid(0, 0)
    faulthandler.dump_traceback_later(max(1.0, limit_s - 1), exit=False, file=sys.__stderr__ or sys.stderr)
    work(*arguments)
    sys.stdout.flush()


def _look(result: Bench, name: str) -> None:
    if name != "cpu" and not torch.cuda.is_available():
        sys.exit(_FAILED)
    device = chosen_device(name)
    if device.type == "cuda":
        result.device = f"gpu: {torch.cuda.get_device_name(device)}"
    result.facts["precision"] = "bf16 autocast" if bf16(device) else "fp32"
    result.write()


def _inside(lab: Lab, section: Section, limit_s: float) -> None:
    lab.ends_s = time.monotonic() + _SOFT * limit_s
    lab.device = chosen_device("cpu" if lab.result.device == "cpu" else str(lab.device))
    lab.autocast = bf16(lab.device)
    try:
        section.run(lab)
        lab.save()
    except Exception as error:
        traceback.print_exc()
        lab.failed(f"{type(error).__name__}: {str(error)[:600]}")
        sys.exit(_FAILED)
