"""Section of `benchmarks.gpu` about the encoder alone: what share of a matrix product's rate it reaches.

Legend: N items, L token positions, D width.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.gpu_lab import Lab, per_second, turns
from benchmarks.gpu_speed import rates
from benchmarks.harness import Claim
from grambench.config.spec import Architecture
from grambench.models.encoders import buckets
from grambench.training.phases import System

UTILISATION = 0.5
FINER = (4, 2)
"""Steps that lengths are rounded up to, tried beside the product's own."""


@dataclass(frozen=True, slots=True)
class Work:
    """Token positions of some calls of the encoder, the sum of L over them, and the calls."""

    tokens: int
    squares: int
    calls: int


def real_work(lengths_N: NDArray[np.int64]) -> Work:
    """Without padding, each item by itself."""
    return Work(int(lengths_N.sum()), int((lengths_N**2).sum()), len(lengths_N))


def padded_work(lengths_N: NDArray[np.int64], bucket_tokens: int, call_tokens: int) -> Work:
    """As `ItemEncoder` cuts and pads its calls."""
    falling_N = lengths_N[buckets.falling_order(lengths_N)]
    calls = list(buckets.bucket_bounds(falling_N, bucket_tokens, call_tokens))
    tokens = sum((stop - start) * length for start, stop, length in calls)
    return Work(tokens, sum((stop - start) * length**2 for start, stop, length in calls), len(calls))


def encoder_flops(shape: Architecture, work: Work) -> float:
    """Floating-point operations of a forward and a backward pass through the transformer's layers.

    6 · P_layers · tokens + 12 · layers · D · Σ L over the tokens. P_layers = layers · (4 D² + 2 D · F) are
    the weights of the layers' matrix products (F: feed-forward width): a multiplication and an addition a
    weight and token forwards, and twice as many backwards. Attention's two products QKᵀ and AV take
    4 · D · L a token and layer forwards, and twice that backwards. Embeddings, norms, biases, the pooling
    (0.4 % here) and the optimiser count nothing.
    """
    width = shape.hidden_size
    weights = shape.layers * (4 * width**2 + 2 * width * shape.intermediate_size)
    return 6.0 * weights * work.tokens + 12.0 * shape.layers * width * work.squares


@dataclass(frozen=True, slots=True)
class Cut:
    """How items are cut into calls."""

    bucket_tokens: int
    length_step: int

    def __str__(self) -> str:
        return f"bucket of {self.bucket_tokens:,} tokens, lengths in steps of {self.length_step}"

    @contextmanager
    def applied(self, system: System) -> Iterator[None]:
        """The encoder cuts like this."""
        own = system.encode.bucket_tokens, buckets.LENGTH_STEP
        system.encode.bucket_tokens, buckets.LENGTH_STEP = self.bucket_tokens, self.length_step
        try:
            yield
        finally:
            system.encode.bucket_tokens, buckets.LENGTH_STEP = own


def encoder(lab: Lab, until_s: float) -> None:
    """Share of the matrix product's rate that the encoder reaches, forwards and backwards."""
    if math.isnan(lab.matmul_per_s):
        rates(lab, until_s)
    made = lab.trial("gram-1s")
    system = made.system
    catalogue = np.random.default_rng(0).permutation(len(system.encode.tokens))
    batch = made.sampler.batch(0).unique().host_items_N
    count = min(lab.sizes.items, len(catalogue))
    while not (fits := _fits(system, catalogue[:count])) and count > 1:
        lab.release()
        count //= 2
    if not fits:
        lab.left_out("all", "not even one item fits into the device's memory")
        return
    best = 0.0
    for what, items_N in (("many items", catalogue[:count]), ("a batch's unique items", batch[:count])):
        best = max(best, _by_cut(lab, system, items_N, f"{what} ({len(items_N):,})", until_s))
    note = f"real tokens only, lengths in steps of {buckets.LENGTH_STEP}, forward and backward, no optimiser"
    text = "model FLOP utilisation of the encoder, best bucket"
    lab.result.claim(Claim(text, best, UTILISATION, "at least", note=note))


def _by_cut(lab: Lab, system: System, items_N: NDArray[np.int64], what: str, until_s: float) -> float:
    """Measure each cut on these items; the best median share of those in the product's steps."""
    gradient_ND = torch.randn(len(items_N), system.encode.encoder.width, device=lab.device) * 1e-3
    own, middle = buckets.LENGTH_STEP, lab.sizes.buckets[len(lab.sizes.buckets) // 2]
    cuts = [Cut(size, own) for size in lab.sizes.buckets] + [Cut(middle, step) for step in FINER]

    def passes(cut: Cut) -> float:
        with cut.applied(system):
            return lab.median_seconds(lambda: _forward_backward(system, items_N, gradient_ND))

    sides = {str(cut): lambda cut=cut: passes(cut) for cut in cuts}  # type: ignore[misc]
    seconds = turns(sides, lab.sizes.rounds, until_s, warm_ups=1)
    lengths_N = system.encode.tokens.lengths[items_N]
    real = real_work(lengths_N)
    flops = encoder_flops(lab.sizes.encoder, real)
    reached = {}
    for cut in cuts:
        with cut.applied(system):
            padded = padded_work(lengths_N, cut.bucket_tokens, system.encode.layout.call_tokens)
        found = seconds[str(cut)]
        share = per_second(found, flops / lab.matmul_per_s)
        reached[cut] = share.median
        with_padding = share.median * encoder_flops(lab.sizes.encoder, padded) / flops
        lab.row(
            f"{what}, {cut}",
            f"{share.median:.1%} of the matrix product's rate",
            f"{with_padding:.1%} with padding, {padded.tokens / real.tokens - 1:.1%} of the tokens;"
            f" {padded.calls} calls; {per_second(found, real.tokens)} tokens/s",
        )
        lab.result.samples[f"encoder, {what}, {cut}, utilisation"] = share.values
    lab.row(f"{what}, best", str(max(reached, key=lambda cut: reached[cut])), f"{max(reached.values()):.1%}")
    return max(share for cut, share in reached.items() if cut.length_step == own)


def _forward_backward(system: System, items_N: NDArray[np.int64], gradient_ND: torch.Tensor) -> None:
    torch.autograd.backward(system.encode(items_N), gradient_ND)
    system.encoder_optimizer.discard()


def _fits(system: System, items_N: NDArray[np.int64]) -> bool:
    try:
        vectors_ND = system.encode(items_N)
        torch.autograd.backward(vectors_ND, torch.ones_like(vectors_ND))
    except torch.OutOfMemoryError:
        return False
    finally:
        system.encoder_optimizer.discard()
    return True
