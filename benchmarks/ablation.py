"""What each step of the engine gains on a CPU: the same work with that step switched off, in turns.

No claim: the rows say where the time goes. CF steps: NRMS, 384 wide, batch 256, against a table that nobody
encodes. Encoder: random items of MIND-small's lengths, 2 layers, 384 wide, forward and backward.
"""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.harness import Bench, Sample, bench, interleave, quiet_machine
from benchmarks.shapes import SMOKE, TENTH, small_encoder
from benchmarks.trials import CPU, Trial, prepared, spec_of, trial
from grambench.models.encoders import buckets
from grambench.models.encoders.base import ItemVectors
from grambench.models.filters import base, nrms, users
from grambench.training.phases import filter_backward
from grambench.training.strategies.item_table import Window

STEPS, ITEMS = 12, 512
AS_IT_IS = "as it is"


def indexed(matrix_ND: Tensor, index: Tensor) -> Tensor:
    """What `rows_at` replaced."""
    return matrix_ND[index]


def lookup_by_bucket(encoder: ItemVectors, ids: list[Tensor]) -> Iterator[Tensor]:
    """Every bucket's backward pass fills a gradient of the whole vocabulary."""
    return map(encoder.lookup, ids)


class LateProjection(nrms.NRMS):
    """Projects every click instead of every distinct item."""

    def project(self, item_vectors_ND: Tensor) -> Tensor:
        return item_vectors_ND

    def _attend(self, projected_BH3D: Tensor, mask_BH: Tensor) -> Tensor:
        return super()._attend(super().project(projected_BH3D), mask_BH)


@contextlib.contextmanager
def switched(place: Any, name: str, value: object) -> Iterator[None]:
    """An attribute with another value."""
    before = getattr(place, name)
    setattr(place, name, value)
    try:
        yield
    finally:
        setattr(place, name, before)


class CFSteps:
    """CF-only steps against a table of random vectors."""

    def __init__(self, made: Trial, steps: int) -> None:
        self.made, self.steps = made, steps
        items = made.sampler.items_ahead(0, steps)
        self.window = Window(
            len(made.system.encode.tokens), made.modules.encoder.width, torch.float32, CPU, False
        )
        self.window.join(items, torch.randn(len(items), made.modules.encoder.width))

    def __call__(self) -> None:
        system = self.made.system
        for step in range(self.steps):
            batch = self.made.sampler.batch(step)
            view = batch.unique()
            filter_backward(system, view, self.window.read(self.window.slots_I[view.items_N]), batch.users)
            system.filter_optimizer.step()


def cf_sides(run: CFSteps) -> dict[str, Callable[[], object]]:
    """CF steps as they are, and with one thing switched off."""

    def without(name: str, value: object, *places: Any) -> Callable[[], None]:
        def side() -> None:
            with contextlib.ExitStack() as stack:
                for place in places:
                    stack.enter_context(switched(place, name, value))
                run()

        return side

    return {
        AS_IT_IS: run,
        "rows gathered by indexing": without("rows_at", indexed, users, base),
        "queries, keys and values of every click": without(
            "__class__", LateProjection, run.made.modules.filter
        ),
        "histories padded to the longest": without("CALL_POSITIONS", {"cpu": 1 << 62}, users),
    }


def encoder_sides(made: Trial, items: int) -> dict[str, Callable[[], object]]:
    """Encoding as it is, and with one thing switched off."""
    tokens = made.system.encode.tokens
    rows = np.random.default_rng(0).choice(len(tokens), min(items, len(tokens)), replace=False)

    def encoder(bucket_tokens: int, call_tokens: int | None) -> Callable[[], float]:
        layout = buckets.Buckets(bucket_tokens, made.modules.encoder.width, tokens.device)
        if call_tokens is not None:
            layout.call_tokens = call_tokens
        encode = buckets.ItemEncoder(made.modules.encoder, tokens, bucket_tokens, layout)

        def side() -> float:
            began = time.monotonic()
            encode(rows).square().sum().backward()
            seconds = time.monotonic() - began
            made.modules.encoder.zero_grad(set_to_none=True)
            return seconds

        return side

    def words_by_bucket() -> float:
        with switched(buckets, "_words", lookup_by_bucket):
            return as_it_is()

    budget = made.system.encode.bucket_tokens
    as_it_is = encoder(budget, None)
    return {
        AS_IT_IS: as_it_is,
        "words looked up bucket by bucket": words_by_bucket,
        "every length a call of its own": encoder(budget, 0),
        "one call, padded to the longest": encoder(1 << 62, 1 << 62),
    }


def report(result: Bench, work: str, sides: dict[str, Callable[[], object]], rounds: int) -> None:
    """A row for each side."""
    seconds = interleave(sides, rounds)
    reference: Sample = seconds[AS_IT_IS]
    for name, sample in seconds.items():
        result.samples[f"{work}, {name}, s"] = sample.values
        result.row(work=work, switched_off=name, seconds=sample, times_as_it_is=sample.over(reference))


def main() -> int:
    """Measure and print."""
    result, given = bench("ablation", "What each step of the engine gains", rounds=5)
    quiet_machine()
    spec = spec_of("demo", *(SMOKE if result.smoke else TENTH), *small_encoder(384, 2, 6))
    data, rounds = prepared(spec), 1 if result.smoke else given.rounds
    steps, items = (2, 32) if result.smoke else (STEPS, ITEMS)
    report(result, f"{steps} CF steps", cf_sides(CFSteps(trial("gram-1e", spec, data), steps)), rounds)
    report(result, f"encoder, {items} items", encoder_sides(trial("gram-1s", spec, data), items), rounds)
    result.facts |= {"rounds": rounds, "batch": spec.training.batch_size, "width": 384}
    return result.finish()


if __name__ == "__main__":
    sys.exit(main())
