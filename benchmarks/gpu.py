"""What needs an NVIDIA GPU, in one command of at most eight minutes: `python -m benchmarks.gpu`.

Claims: exact strategies have e2e's gradient (fp64 1e-10, fp32 1e-4, bf16 2e-2 of the largest); the encoder
reaches half of the rate of a bf16 matrix product measured in the same run; an epoch of gram-1e at
MIND-small's size takes at most 5 s; chunked gram-1s peaks at no more than 15 % of e2e's memory; NVML
sampling costs less than 1 %; a step waits for the device at marked points only. Samples per second and
speed-ups over e2e stand beside the reuse ratio R, without a bound.

The encoder has 6 layers, 768 wide, from scratch; the data have MIND-small's sizes and laws (56,980 news,
all 156,965 train impressions), batch 256, history 50, bf16 autocast. Nothing is downloaded. Every section
has its share of the time; what did not fit, or failed, is a row that says so, and the others go on.
`--smoke --device cpu` runs every line but CUDA's own at tiny sizes; `--only rates,waits` runs some.
"""

import faulthandler
import os
import shutil
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass

import torch

from benchmarks import gpu_checks, gpu_encoder, gpu_speed, gpu_waits, harness
from benchmarks.gpu_lab import FULL, SMOKE, Lab
from benchmarks.harness import Bench, bench, quiet_machine

TITLE = "On an NVIDIA GPU: exactness, speed, memory, waits"
SECONDS, LATE_S = 440.0, 20.0
"""Imports take some ten seconds more."""
NO_GPU = 4


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the work with its time."""

    name: str
    run: Callable[[Lab, float], None]
    """Takes the lab and the moment, by the monotonic clock, at which it should end."""
    needs_s: float
    """It is left out where less is left."""
    share_s: float
    """Most seconds that it plans for."""


SECTIONS = (
    Section("environment", gpu_checks.environment, 3, 15),
    Section("rates", gpu_speed.rates, 3, 15),
    Section("exactness", gpu_checks.exactness, 15, 40),
    Section("strategies", gpu_speed.strategies, 60, 125),
    Section("encoder", gpu_encoder.encoder, 15, 35),
    Section("epoch", gpu_speed.epoch, 35, 80),
    Section("memory", gpu_checks.memory, 25, 45),
    Section("waits", gpu_waits.waits, 15, 30),
    Section("nvml", gpu_waits.nvml, 20, 40),
    Section("compile", gpu_speed.compiled, 45, 400),
)


def main() -> int:
    """0: every claim met; 1: a section failed; 2: a wrong option; 4: no GPU; 6: a claim not met."""
    result, given = bench("gpu", TITLE, device="auto", seconds=SECONDS, only="", commit="")
    wanted = given.only.split(",") if given.only else [section.name for section in SECTIONS]
    if unknown := set(wanted) - {section.name for section in SECTIONS}:
        print(f"--only: no section {', '.join(sorted(unknown))}", file=sys.stderr)
        return 2
    device = chosen_device(given.device)
    if device.type == "cpu" and not result.smoke:
        print(f"torch {torch.__version__} sees no CUDA device; without one: --smoke", file=sys.stderr)
        return NO_GPU
    result.device = f"gpu: {torch.cuda.get_device_name(device)}" if device.type == "cuda" else "cpu"
    if given.commit or shutil.which("git") is None:  # a machine that got a copy, without the history
        harness.commit = lambda: given.commit or "unknown"
    quiet_machine()
    ending = ending_in_time(result, given.seconds)
    sizes = SMOKE if result.smoke else FULL
    run(Lab(result, device, sizes, time.monotonic() + given.seconds, bf16(device)), wanted)
    ending.cancel()
    code = result.finish()
    return 1 if "failed" in result.facts else code


def run(lab: Lab, wanted: list[str]) -> None:
    """All wanted sections, those that fail or find no time left as a row."""
    lab.prepare()
    data, sizes = lab.data.manifest, lab.sizes
    lab.row("prepared", f"{data.items.items:,} items", f"{data.items.mean_length:.2f} tokens each")
    lab.result.facts |= {
        "encoder": sizes.encoder.model_dump(),
        "items": data.items.items,
        "tokens_per_item": round(data.items.mean_length, 2),
        "impressions": data.parts["train"].counts.impressions,
        "batch": sizes.batch,
        "history": lab.spec.filter.history,
        "precision": "bf16 autocast" if lab.autocast else "fp32",
        "seconds_allowed": round(lab.ends_s - lab.began_s),
    }
    for section in SECTIONS:
        if section.name in wanted:
            lab.section = section.name
            began_s = time.monotonic()
            run_section(lab, section)
            lab.release()
            lab.result.facts.setdefault("section_s", {})[section.name] = round(time.monotonic() - began_s, 1)
            if not lab.result.smoke:
                lab.result._write()  # what was found stays, should a later section end the process


def run_section(lab: Lab, section: Section) -> None:
    """Run it in its share of the time; what it could not do is a row."""
    now_s = time.monotonic()
    left_s = max(0.0, lab.ends_s - now_s)
    if not lab.result.smoke and left_s < section.needs_s:
        lab.left_out("all", f"{left_s:.0f} s were left, it needs {section.needs_s:.0f}")
        return
    try:
        section.run(lab, min(lab.ends_s, now_s + section.share_s))
    except Exception as error:
        if lab.result.smoke:
            raise
        traceback.print_exc()
        lab.left_out("the rest", f"{type(error).__name__}: {str(error)[:600]}")
        lab.result.facts.setdefault("failed", []).append(section.name)


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


def ending_in_time(result: Bench, seconds: float) -> threading.Timer:
    """A timer that leaves what was found and ends the process, should a section hang."""

    def end() -> None:
        result.row(section="end", what="cut off", measured="–", note="a section did not end in time")
        faulthandler.dump_traceback()
        result.finish()
        sys.stdout.flush()
        os._exit(1)

    timer = threading.Timer(seconds + LATE_S, end)
    timer.daemon = True
    timer.start()
    return timer


if __name__ == "__main__":
    sys.exit(main())
