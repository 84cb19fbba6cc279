"""Sections of `benchmarks.gpu` about speed: the machine's rates, strategies, an epoch, a compiled encoder."""

import time

import numpy as np
import torch

from benchmarks.epoch_parts import WholeEpoch
from benchmarks.gpu_lab import Lab, Probe, altered, per_second, turns
from benchmarks.harness import Claim, Sample
from grambench.config.spec import Encoder
from grambench.training.memory import plan_graphs

STRATEGIES = ("e2e", "gram-1s", "gram-10s", "gram-1e", "gram-auto")
EPOCH_S = 5.0
COMPILED = (("gram-1s", "default", 60.0), ("gram-1e", "default", 75.0), ("gram-1s", "reduce-overhead", 60.0))
"""Strategy, mode, and the seconds that must be left before it begins."""


def rates(lab: Lab, until_s: float) -> None:
    """What the device can do: a bf16 matrix product and a copy within its memory."""
    size = lab.sizes.matrix
    a, b = (torch.randn(size, size, device=lab.device).bfloat16() for _ in range(2))
    out = torch.empty_like(a)

    def product() -> None:
        torch.mm(a, b, out=out)

    lab.seconds(product, 3)
    found = Sample(tuple(2 * size**3 / s for s in lab.seconds(product, 20)))
    lab.matmul_per_s = found.high
    scaled = Sample(tuple(rate / 1e12 for rate in found.values))
    lab.row(f"bf16 matrix product, {size} cubed, best", f"{found.high / 1e12:,.0f} TFLOP/s", f"{scaled}")
    lab.result.samples["bf16 matrix product, TFLOP/s"] = scaled.values

    source = torch.randn(lab.sizes.copied_bytes // 4, device=lab.device)
    target = torch.empty_like(source)
    lab.seconds(lambda: target.copy_(source), 2)
    moved = per_second(Sample(tuple(lab.seconds(lambda: target.copy_(source), 8))), 2 * source.nbytes / 1e12)
    lab.row("copy on the device, read and written, best", f"{moved.high:.2f} TB/s", f"{moved}")
    lab.result.samples["copy on the device, TB/s"] = moved.values


def strategies(lab: Lab, until_s: float) -> None:
    """Samples per second of each strategy and items per encoder second, the strategies taking turns."""
    plan_of = lab.trial("gram-1s")
    plan = plan_graphs(plan_of.system, plan_of.sampler.batch(0), lab.spec.training, lab.device)
    lab.result.facts["plan"] = f"e2e in micro-batches of {plan.micro_batch}; {plan.why}"
    del plan_of
    options = {"micro_batch": plan.micro_batch, "encoder_chunk": plan.encoder_chunk}
    probes = {
        name: Probe(lab.trial(name, **options), lab.sizes.steps).warm_up() for name in STRATEGIES
    }  # by `warm_up` every kernel has run; a window of an epoch is too long to be thrown away
    seconds = turns(probes, lab.sizes.rounds, until_s)
    for name, probe in probes.items():
        rate, times = per_second(seconds[name]), seconds["e2e"].over(seconds[name])
        items = Sample(tuple(probe.encoder_items_per_s))
        share = Sample(tuple(probe.encoder_share))
        notes = [f"{times}× e2e", f"R {probe.reuse:.2f}", f"{items} items a second of the encoder"]
        notes.append(f"{share.median:.0%} of the time in it")
        if not probe.finite:
            notes.append("THE LOSS IS NOT FINITE")
        lab.row(name, f"{rate} samples/s", "; ".join(notes))
        lab.result.samples |= {
            f"{name}, samples/s": rate.values,
            f"{name} over e2e": times.values,
            f"{name}, encoder items/s": items.values,
            f"{name}, encoder tokens/s": tuple(probe.encoder_tokens_per_s),
        }
        lab.result.facts[f"{name}, probe"] = {
            "samples": probe.samples, "seconds": round(probe.train_s, 2), "R": round(probe.reuse, 3),
        }  # fmt: skip


def epoch(lab: Lab, until_s: float) -> None:
    """Seconds of an epoch of `gram-1e`: all train samples, a plain loop over the product's own step."""
    epochs = {}
    for size in lab.sizes.encoder_batches:
        made = lab.trial("gram-1e", altered(lab.spec, "multi_step", encoder_batch=size))
        for _ in range(2):
            made.strategy.warm_up(made.sampler.batch(0))
        epochs[f"encoder_batch {size:,}"] = WholeEpoch(made)
    sampler = next(iter(epochs.values())).trial.sampler
    steps = sampler.steps_per_epoch
    seconds = turns(epochs, 2, until_s)
    for name, one in epochs.items():
        opening, between, closing = (Sample(part) for part in zip(*one.parts, strict=True))
        lab.row(
            f"gram-1e, {name}",
            f"{seconds[name]} s an epoch",
            f"opening {opening}, {steps - 2:,} CF steps {between}, closing {closing} s; encoder"
            f" {Sample(tuple(one.encode_s))} s; {between.median / max(1, steps - 2) * 1e3:.2f} ms a CF step",
        )
        lab.result.samples |= {
            f"epoch of gram-1e, {name}, s": seconds[name].values,
            f"epoch of gram-1e, {name}, opening, s": opening.values,
            f"epoch of gram-1e, {name}, CF steps, s": between.values,
            f"epoch of gram-1e, {name}, closing, s": closing.values,
        }
    lab.result.facts["epoch"] = {
        "samples": sampler.samples,
        "steps": steps,
        "impressions": lab.data.manifest.parts["train"].counts.impressions,
        "how": "plain loop of strategy.step; opening and closing each hold one CF step",
    }
    default = f"encoder_batch {lab.sizes.encoder_batches[0]:,}"
    others = ", ".join(f"{name} {found.median:.1f}" for name, found in seconds.items() if name != default)
    claim = f"an epoch of gram-1e at MIND-small's size, {default}"
    lab.result.claim(Claim(claim, seconds[default].median, EPOCH_S, "at most", " s", f"{others} s"))


def compiled(lab: Lab, until_s: float) -> None:
    """The encoder under torch.compile against itself: seconds to compile, same vectors, samples per second.

    A smoke run compiles nothing: that takes longer than all the rest.
    """
    if "compile" not in Encoder.model_fields:
        lab.left_out("encoder.compile", "the specification has no such field")
        return
    for strategy, mode, needs_s in COMPILED:
        what = f"{strategy}, compile = {mode}"
        if not lab.result.smoke and time.monotonic() + needs_s > until_s:
            lab.left_out(what, f"less than {needs_s:.0f} s were left")
            continue
        try:
            _compare_compiled(lab, strategy, "off" if lab.result.smoke else mode, what, until_s)
        except Exception as error:  # a mode that fails is a result; the other modes go on
            lab.row(what, "failed", f"{type(error).__name__}: {str(error)[:600]}")
        lab.release()


def _compare_compiled(lab: Lab, strategy: str, mode: str, what: str, until_s: float) -> None:
    plain, other = (
        Probe(lab.trial(strategy, altered(lab.spec, "encoder", compile=one)), lab.sizes.steps)
        for one in ("off", mode)
    )
    lab.synchronize()
    warm_s = []
    for probe in (plain, other):
        began_s = time.monotonic()
        probe.warm_up()
        lab.synchronize()
        warm_s.append(time.monotonic() - began_s)
    items_N = np.arange(min(lab.sizes.items, len(plain.trial.system.encode.tokens)))
    with torch.no_grad():
        wanted, found = (probe.trial.system.encode(items_N) for probe in (plain, other))
    apart = float((found - wanted).norm() / wanted.norm())
    seconds = turns({"off": plain, "on": other}, 2, until_s)
    times = seconds["off"].over(seconds["on"])
    lab.row(
        what,
        f"{times}× the samples/s of off",
        f"{warm_s[1] - warm_s[0]:.0f} s to compile; vectors differ by {apart:.1e}; off:"
        f" {per_second(seconds['off'])} samples/s",
    )
    lab.result.samples[f"{what}, over off"] = times.values
