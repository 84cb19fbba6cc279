"""Sections of `benchmarks.measure` about the encoder alone: its share of the rate of a matrix product.

Legend: N items, T token positions, L positions of an item, D width.
"""

import statistics
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.gpu_lab import Lab, altered
from benchmarks.gpu_probe import per_second
from benchmarks.harness import Sample
from benchmarks.targets import ENCODER
from benchmarks.trials import Trial
from grambench.config.networks import Architecture

CALL = 131_072
"""Token positions in one call of the encoder."""


@dataclass(frozen=True, slots=True)
class Variant:
    """A way to run the encoder."""

    name: str
    predicted: str
    settings: dict[str, object] = field(default_factory=dict)
    """Of the table `encoder`."""


_PACKED: dict[str, object] = {"layout": "packed", "bucket_tokens": CALL}
_COMPILED = {**_PACKED, "compile": "default"}
PLAIN = (
    Variant("buckets, the product's call", "18 %"),
    Variant("buckets", "22 %", {"bucket_tokens": CALL}),
    Variant("packed", "28 to 32 %", _PACKED),
    Variant("packed, bf16 weights", "35 to 40 %", {**_PACKED, "precision": "bf16-weights"}),
)
COMPILED = (
    Variant("packed, compiled", "37 to 42 %", _COMPILED),
    Variant("packed, bf16 weights, compiled", "47 to 52 %", {**_COMPILED, "precision": "bf16-weights"}),
)


@dataclass(frozen=True, slots=True)
class Work:
    """Tokens of some items, and the sum of their lengths over them."""

    tokens: int
    squares: int


def real_work(lengths_N: NDArray[np.int64]) -> Work:
    """Without padding, each item by itself."""
    return Work(int(lengths_N.sum()), int((lengths_N**2).sum()))


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


def encoder(lab: Lab) -> None:
    """A large product's rate, that of the encoder's own ones, and the encoder by layout and precision."""
    rate = product_rate(lab)
    ceiling(lab, rate)
    for variant in PLAIN:
        share(lab, variant, rate)


def compiled(lab: Lab) -> None:
    """The encoder under torch.compile, whose seconds stand apart."""
    rate = product_rate(lab)
    for variant in COMPILED:
        share(lab, variant, rate)


def product_rate(lab: Lab) -> float:
    """FLOP/s of a large bf16 matrix product, the best of some."""
    size = lab.sizes.matrix
    a, b = (torch.randn(size, size, device=lab.device).bfloat16() for _ in range(2))
    out = torch.empty_like(a)
    lab.seconds(lambda: torch.mm(a, b, out=out), 3)
    rates = per_second(Sample(tuple(lab.seconds(lambda: torch.mm(a, b, out=out), 20))), 2 * size**3 / 1e12)
    lab.found(f"bf16 matrix product, {size} cubed", rates, "TFLOP/s", predicted="800")
    return 1e12 * rates.high


def ceiling(lab: Lab, rate: float) -> None:
    """What the encoder's own matrix products reach by themselves, forwards and backwards."""
    shape, rows = lab.sizes.encoder, lab.sizes.tokens
    width, wide = shape.hidden_size, shape.intermediate_size
    flops = seconds = 0.0
    # queries, keys and values are three products of one shape, as is what gathers the heads
    for inputs, outputs, count in ((width, width, 4), (width, wide, 1), (wide, width, 1)):
        x_TK, weight_MK, gradient_TM = (
            torch.randn(sizes, device=lab.device).bfloat16()
            for sizes in ((rows, inputs), (outputs, inputs), (rows, outputs))
        )
        flops += count * 6.0 * rows * inputs * outputs
        for left, right in ((x_TK, weight_MK.T), (gradient_TM, weight_MK), (gradient_TM.T, x_TK)):
            seconds += count * lab.median_seconds(partial(torch.mm, left, right), 5)
    what = "the encoder's own matrix products: the ceiling"
    lab.found(what, Sample((flops / seconds / rate,)), "of that rate", predicted=".65 to .80")


def share(lab: Lab, variant: Variant, rate: float) -> None:
    """Share of the large product's rate that a variant reaches, forwards and backwards, real tokens only."""
    try:
        _share(lab, variant, rate)
    except Exception as error:  # a variant that fails is a result
        lab.left_out(variant.name, f"{type(error).__name__}: {str(error)[:600]}")
    lab.release()


def _share(lab: Lab, variant: Variant, rate: float) -> None:
    settings = dict(variant.settings)
    if lab.result.smoke:  # compiling takes longer than all the rest
        settings.pop("compile", None)
    made = lab.trial("gram-1s", altered(lab.spec, "encoder", **settings))
    encode = made.system.encode
    items_N = np.random.default_rng(0).permutation(len(encode.tokens))[: lab.sizes.items]
    gradient_ND = torch.randn(len(items_N), encode.encoder.width, device=lab.device) * 1e-3

    def run() -> None:
        _forward_backward(made, items_N, gradient_ND)

    first_s = lab.waited_seconds(run)
    lab.seconds(run, 2)
    calls = encode.counts.calls
    seconds = Sample(tuple(lab.seconds(run, 5)))
    calls = (encode.counts.calls - calls) // 5
    real = real_work(encode.tokens.lengths[items_N])
    reached = per_second(seconds, encoder_flops(lab.sizes.encoder, real) / rate)
    note = f"{per_second(seconds, real.tokens)} tokens/s; {calls} calls; {_filled(made, items_N, real)}"
    if "compile" in variant.settings:
        note += f"; {first_s - seconds.median:.1f} s to compile"
    percent = Sample(tuple(100 * value for value in reached.values))
    lab.found(variant.name, percent, "%", note, variant.predicted)
    lab.claim(
        ENCODER, statistics.median(reached.values), f"{variant.name}; forward and backward, no optimiser"
    )


def _filled(made: Trial, items_N: NDArray[np.int64], real: Work) -> str:
    positions = made.system.encode.layout.positions(made.system.encode.tokens.lengths[items_N])
    return f"{real.tokens / positions:.1%} of the positions are real"


def _forward_backward(made: Trial, items_N: NDArray[np.int64], gradient_ND: torch.Tensor) -> None:
    torch.autograd.backward(made.system.encode(items_N), gradient_ND)
    made.system.encoder_optimizer.discard()
