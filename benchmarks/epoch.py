"""What an epoch of gram-1e costs, beside its parts and beside E2E.

Claims: (1) an epoch of gram-1e takes at most 1.25 times a CF-only epoch plus one pass of the encoder over
the window's items without a graph and one with; (2) gram-1e trains at least 20 times the samples per second
of E2E over the whole epoch on MIND-small's sizes with a 2-layer 128-wide encoder, (3) at least 60 times
with a 6-layer 384-wide one, on a tenth of the items and of the impressions (the reuse ratio of the epoch is
about the same, and a step of E2E takes more than a minute).

The epoch of gram-1e is trained whole, its opening and closing included. E2E is probed on steps of the same
data, before and after that epoch. The parts are probed too, half before and half after, and scaled to the
epoch: CF-only steps run against a table that nobody encodes; the passes of the encoder run over a random
part of the window's items, in mini-batches of the same size, without an optimiser's steps.
"""

import sys
from collections.abc import Callable

from benchmarks.epoch_parts import Parts, WholeEpoch, step_seconds
from benchmarks.harness import Bench, Claim, Sample, bench, quiet_machine
from benchmarks.shapes import MIND, SMOKE, TENTH, small_encoder
from benchmarks.trials import prepared, spec_of, trial
from grambench.config.spec import Spec
from grambench.domains.prepared import Prepared

MICRO_BATCH = 64
"""Users of E2E whose graph is held at once: what 24 GiB hold with the larger encoder."""
PROBES = 1
"""Steps of E2E before, and as many after."""
PROBED_STEPS, PROBED_ITEMS = 60, 2048


def measure(result: Bench, label: str, spec: Spec, data: Prepared, target: float) -> None:
    """One encoder: rows, claims, samples."""
    e2e = trial("e2e", spec, data, micro_batch=MICRO_BATCH)
    parts = Parts(trial("gram-1e", spec, data), PROBED_STEPS, PROBED_ITEMS)
    e2e.strategy.warm_up(next(e2e.sampler.batch(0).split(MICRO_BATCH)))
    kinds: tuple[Callable[[], float], ...] = (lambda: parts.cf_only(0), parts.bare_pass, parts.training_pass)
    kinds[2]()  # warm-up
    before = [*(kind() for kind in kinds), *step_seconds(e2e, range(PROBES))]
    whole = trial("gram-1e", spec, data)
    whole.strategy.warm_up(whole.sampler.batch(0))
    epoch_s = WholeEpoch(whole)()
    after = [*(kind() for kind in kinds), *step_seconds(e2e, range(PROBES, 2 * PROBES))]
    cf, bare, trained = (Sample(pair) for pair in zip(before[:3], after[:3], strict=True))
    step = Sample((*before[3:], *after[3:]))
    e2e_rate, rate = spec.training.batch_size / step.median, whole.sampler.samples / epoch_s
    items = len(parts.items)
    epoch = f"gram-1e, an epoch of {whole.sampler.samples:,} samples"
    rows = {
        "E2E, a step of 256": (step, f"{e2e_rate:.1f}"),
        epoch: (Sample((epoch_s,)), f"{rate:,.0f}"),
        "CF only, the same epoch": (cf, ""),
        f"encoder without a graph, {items:,} items": (bare, ""),
        f"encoder forward and backward, {items:,} items": (trained, ""),
    }
    for what, (sample, samples_a_second) in rows.items():
        result.row(encoder=label, what=what, seconds=sample, samples_a_second=samples_a_second)
        result.samples[f"{label}: {what}, s"] = sample.values
    bound = cf.median + bare.median + trained.median
    text = f"{label}: gram-1e epoch over CF only + both passes of the encoder"
    result.claim(Claim(text, epoch_s / bound, 1.25, "at most", "×"))
    text = f"{label}: gram-1e against E2E, samples/s over the epoch"
    result.claim(Claim(text, rate / e2e_rate, target, "at least", "×"))


def main() -> int:
    """Measure and print."""
    result, _ = bench("epoch", "gram-1e: an epoch beside its parts and beside E2E")
    quiet_machine()
    cases = {
        "2 layers, 128 wide": (MIND, small_encoder(), 20.0),
        "6 layers, 384 wide": (TENTH, small_encoder(384, 6, 6), 60.0),
    }
    for label, (sizes, shape, target) in cases.items():
        changes = (*SMOKE, *small_encoder(48, 2, 6)) if result.smoke else (*sizes, *shape)
        spec = spec_of("demo", *changes)
        measure(result, label, spec, prepared(spec), target)
    return result.finish()


if __name__ == "__main__":
    sys.exit(main())
