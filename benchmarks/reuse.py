"""What encoding each distinct item of a batch once saves, with everything else the same.

Claims: (1) the encoder's time of single-step is that of E2E divided by at least 0.9 of the reuse ratio R;
(2) E2E as many implementations run it takes at least 8 times single-step's: the whole padded batch
[256, 50 + 5] goes through the encoder in one call, history padding included, every title padded to 24
tokens.

Data: MIND-small's sizes (51k train news), generated; a 2-layer 128-wide encoder, batch 256. Encoder
seconds are forward and backward by the trial's own clock; the rounds are interleaved, each on a batch of
its own, the same for all sides.
"""

import sys
import time
from collections.abc import Callable

import numpy as np
import torch

from benchmarks.harness import Bench, Claim, Sample, bench, interleave, quiet_machine
from benchmarks.shapes import MIND, SMOKE, small_encoder
from benchmarks.trials import Trial, prepared, spec_of, trial
from grambench.domains.news.batch import NewsBatch
from grambench.models.filters.base import RankingView


class PaddedE2E:
    """Every position of the padded batch is encoded, padding included, in one call."""

    def __init__(self, made: Trial) -> None:
        self.made = made
        self.length = int(made.system.encode.tokens.lengths.max())

    def encoder_seconds(self, batch: NewsBatch) -> float:
        """Seconds of the encoder in one step of E2E."""
        system = self.made.system
        ids_BX = torch.cat((batch.history_BH, batch.candidates_BC), dim=1)
        began = time.monotonic()
        ids, mask = system.encode.tokens.padded(ids_BX.flatten(), self.length)
        vectors_ND = system.encode.encoder(system.encode.encoder.lookup(ids), mask)
        forward_s = time.monotonic() - began
        leaf_ND = vectors_ND.detach().requires_grad_()
        places_BX = torch.arange(ids_BX.numel()).view_as(ids_BX)
        clicks = batch.history_BH.shape[1]
        view = RankingView(
            places_BX[:, :clicks], batch.mask_BH, places_BX[:, clicks:], clicks_B=batch.clicks_B
        )
        (system.filter.loss(leaf_ND, view) / batch.users).backward()
        began = time.monotonic()
        vectors_ND.backward(leaf_ND.grad)
        backward_s = time.monotonic() - began
        system.filter_optimizer.step()
        system.encoder_optimizer.step()
        return forward_s + backward_s


def steps_of(made: Trial) -> Callable[[], float]:
    """Encoder seconds of the strategy's next step, at every call."""
    number = iter(range(10**6))

    def run() -> float:
        before = made.system.clock.read()[1]
        made.strategy.step(made.sampler.batch(next(number)))
        return made.system.clock.read()[1] - before

    return run


def main() -> int:
    """Measure and print."""
    result, given = bench("reuse", "Single-step against E2E: encoder seconds of a step", rounds=3)
    rounds = 1 if result.smoke else given.rounds
    quiet_machine()
    changes = (*SMOKE, *small_encoder(48, 2, 6)) if result.smoke else (*MIND, *small_encoder())
    spec = spec_of("demo", *changes)
    data = prepared(spec)
    e2e, single = trial("e2e", spec, data), trial("gram-1s", spec, data)
    padded = PaddedE2E(trial("e2e", spec, data))
    number = iter(range(10**6))
    seconds = interleave(
        {
            "single-step": steps_of(single),
            "E2E, real occurrences in buckets": steps_of(e2e),
            "E2E, all positions padded": lambda: padded.encoder_seconds(single.sampler.batch(next(number))),
        },
        rounds=rounds,
    )
    report(result, seconds, e2e, rounds)
    return result.finish()


def report(result: Bench, seconds: dict[str, Sample], e2e: Trial, rounds: int) -> None:
    """Rows and claims."""
    views = [e2e.sampler.batch(step) for step in range(1, 1 + rounds)]
    unique = [view.unique() for view in views]
    reuse = float(np.mean([view.occurrences / len(view.items_N) for view in unique]))
    items = [len(view.items_N) for view in unique]
    single, bucketed, padded = seconds.values()
    positions = views[0].history_BH.shape[1] + views[0].candidates_BC.shape[1]
    encoded = {
        "single-step": np.mean(items),
        "E2E, real occurrences in buckets": np.mean([view.occurrences for view in unique]),
        "E2E, all positions padded": views[0].users * positions,
    }
    for name, sample in seconds.items():
        result.samples[f"{name}, encoder s/step"] = sample.values
        result.row(
            strategy=name,
            items_encoded_a_step=f"{encoded[name]:,.0f}",
            encoder_s_a_step=sample,
            times_single_step=sample.over(single),
        )
    result.facts |= {"reuse_ratio": round(reuse, 3), "batch": views[0].users, "rounds": rounds}
    gain = bucketed.over(single)
    result.claim(
        Claim("single-step against E2E, encoder time, over R", gain.median / reuse, 0.9, "at least", " R")
    )
    result.claim(
        Claim(
            "single-step against E2E with padding encoded and no buckets",
            padded.over(single).median,
            8.0,
            "at least",
            "×",
            f"{encoded['E2E, all positions padded'] / np.mean(items):.2f} sequences a unique item,"
            f" each of {int(e2e.system.encode.tokens.lengths.max())} tokens",
        )
    )


if __name__ == "__main__":
    sys.exit(main())
