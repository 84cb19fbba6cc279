"""Single-step by chunked recomputation: the memory of one chunk for about one more forward pass.

Claims: with a chunk of 1/16 of a batch's unique items, the peak memory above the idle process is at most
0.35 of unchunked single-step's, at no more than 1.5 times its encoder seconds.

Memory: each side in a fresh process; idle is the resident memory once data, models and optimisers are
there; the peak is the kernel's VmHWM, reset at that point, after three steps (gradients and Adam's moments
are in both). Time: both sides interleaved in this process. Data and encoder are those of `reuse`.
"""

import multiprocessing
import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks.harness import Claim, Sample, bench, interleave, quiet_machine
from benchmarks.reuse import steps_of
from benchmarks.shapes import MIND, SMOKE, small_encoder
from benchmarks.trials import prepared, spec_of, trial

SHARE = 16
STEPS = 3


def settings(smoke: bool) -> tuple[str, ...]:
    """The run's `--set` overrides."""
    return (*(SMOKE if smoke else MIND), *small_encoder())


def memory_mib(name: str) -> float:
    """A line of this process's /proc status."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f"the kernel does not tell {name}")


def peak_mib(smoke: bool, chunk: int | None) -> float:
    """Peak of a few steps above the idle process; runs in a process of its own."""
    spec = spec_of("demo", *settings(smoke))
    made = trial("gram-1s", spec, prepared(spec), encoder_chunk=chunk)
    batches = [made.sampler.batch(step) for step in range(STEPS)]
    idle = memory_mib("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the high-water mark starts anew
    for batch in batches:
        made.strategy.step(batch)
    return memory_mib("VmHWM") - idle


def main() -> int:
    """Measure and print."""
    result, given = bench("chunked", "Single-step by chunked recomputation", rounds=4, memory_rounds=2)
    quiet_machine()
    spec = spec_of("demo", *settings(result.smoke))
    data = prepared(spec)
    whole = trial("gram-1s", spec, data)
    unique = len(whole.sampler.batch(0).unique().items_N)
    chunk = -(-unique // SHARE)
    sides: dict[str, int | None] = {"one graph": None, f"chunks of {chunk} items": chunk}
    peaks: dict[str, Sample] = {}
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        for name, size in sides.items():
            rounds = 1 if result.smoke else given.memory_rounds
            peaks[name] = Sample(tuple(pool.apply(peak_mib, (result.smoke, size)) for _ in range(rounds)))
    steps: dict[str, Callable[[], float]] = {
        name: steps_of(trial("gram-1s", spec, data, encoder_chunk=size)) for name, size in sides.items()
    }
    seconds = interleave(steps, rounds=1 if result.smoke else given.rounds)
    for name in sides:
        result.row(gradient_by=name, peak_above_idle_MiB=peaks[name], encoder_s_a_step=seconds[name])
        result.samples[f"{name}, peak MiB above idle"] = peaks[name].values
        result.samples[f"{name}, encoder s/step"] = seconds[name].values
    result.facts |= {
        "unique_items_of_the_first_batch": unique,
        "chunk": chunk,
        "batch": spec.training.batch_size,
    }
    one, chunked = peaks.values()
    result.claim(Claim("peak memory over one graph's", chunked.median / one.median, 0.35, "at most", "×"))
    slower = seconds[f"chunks of {chunk} items"].over(seconds["one graph"])
    result.claim(Claim("encoder seconds over one graph's", slower.median, 1.5, "at most", "×"))
    return result.finish()


if __name__ == "__main__":
    sys.exit(main())
