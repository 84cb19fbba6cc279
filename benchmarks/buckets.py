"""Token positions in one call of the encoder: seconds of the same items under different budgets.

Claim: with the default budget of a CPU, the encoder takes at most 1.1 times as long as with the best of the
budgets tried, for a narrow and for a wide encoder.

Data: random items of MIND-small's lengths, forward and backward, all budgets in turns. The padding that a
budget leads to is part of the cost; the merging of neighbouring lengths is on, as in every run.
"""

import sys
import time
from collections.abc import Callable

import numpy as np

from benchmarks.harness import Bench, Claim, Sample, bench, interleave, quiet_machine
from benchmarks.shapes import SMOKE, TENTH, small_encoder
from benchmarks.trials import CPU, prepared, spec_of
from grambench.config.spec import Spec
from grambench.models.encoders.buckets import ItemEncoder
from grambench.training.system import BUCKET_TOKENS, build_system

DEFAULT = BUCKET_TOKENS["cpu"]
BUDGETS = (768, 1536, DEFAULT, 6144, 12288)


def seconds_with(encode: ItemEncoder, items_N: np.ndarray) -> Callable[[], float]:
    """Encoder seconds of the items, forward and backward, at every call."""

    def run() -> float:
        began = time.monotonic()
        encode(items_N).square().sum().backward()
        seconds = time.monotonic() - began
        encode.encoder.zero_grad(set_to_none=True)
        return seconds

    return run


def measure(result: Bench, label: str, spec: Spec, items: int, rounds: int) -> None:
    """One encoder: a row for each budget, and its claim."""
    system, _ = build_system(spec, prepared(spec), CPU, seed=0)
    known = len(system.encode.tokens)
    items_N = np.random.default_rng(0).choice(known, min(items, known), replace=False)
    budgets = {n: ItemEncoder(system.encode.encoder, system.encode.tokens, n) for n in BUDGETS}
    seconds = interleave({str(n): seconds_with(encode, items_N) for n, encode in budgets.items()}, rounds)
    default: Sample = seconds[str(DEFAULT)]
    for budget, encode in budgets.items():
        sample = seconds[str(budget)]
        result.samples[f"{label}, {budget} tokens, s"] = sample.values
        result.row(
            encoder=label,
            tokens_a_call=f"{budget:,}" + (" (default)" if budget == DEFAULT else ""),
            calls=encode.counts.calls // (rounds + 1),
            seconds=sample,
            times_the_default=sample.over(default),
        )
    slowdown = max(default.over(sample).median for sample in seconds.values())
    result.claim(
        Claim(f"{label}: the default budget's seconds over the best one's", slowdown, 1.1, "at most", "×")
    )


def main() -> int:
    """Measure and print."""
    result, given = bench("buckets", "Token positions in one call of the encoder", rounds=3)
    quiet_machine()
    for label, shape, items in (
        ("2 layers, 128 wide", small_encoder(), 2048),
        ("2 layers, 384 wide", small_encoder(384, 2, 6), 512),
    ):
        spec = spec_of("demo", *(SMOKE if result.smoke else TENTH), *shape)
        measure(result, label, spec, 64 if result.smoke else items, 1 if result.smoke else given.rounds)
    return result.finish()


if __name__ == "__main__":
    sys.exit(main())
