"""Sections of `benchmarks.measure`: the exact strategies' gradients against those of e2e, and peak memory."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from benchmarks.gpu_lab import GIB, Lab, altered
from benchmarks.targets import Target
from benchmarks.trials import Trial, sampler_of
from grambench.domains.news.batch import NewsBatch
from grambench.training.phases import System
from grambench.training.strategies import EndToEnd, SingleStep, make_strategy
from grambench.training.strategies.one_step import OneStep
from grambench.training.system import Modules, build_system

SHARE = 0.15
BOUNDS = {"fp64": 1e-10, "fp32": 1e-4, "bf16": 2e-2}


def gradients_of_strategies(lab: Lab) -> None:
    """Gradients of the exact strategies against those of e2e, as the audit compares them."""
    torch.set_float32_matmul_precision("highest")  # no TF32
    small = altered(lab.spec, "encoder", architecture=lab.sizes.small_encoder)
    in_fp32 = None
    for precision, bound in BOUNDS.items():
        spec = small if precision == "fp64" else lab.spec
        dtype = torch.float64 if precision == "fp64" else torch.float32
        system, modules = build_system(
            spec, lab.data, lab.device, seed=0, autocast=precision == "bf16", dtype=dtype
        )
        batch = sampler_of(altered(spec, "training", batch_size=lab.sizes.exact_users), lab.data, lab.device)
        wanted, worst = _compare(lab, precision, system, modules, batch.batch(0))
        where = "small encoder" if precision == "fp64" else "full encoder"
        claim = f"largest relative difference of a gradient from e2e's, {precision}, {where}"
        lab.claim(Target(claim, bound, "at most"), worst)
        if precision == "bf16" and in_fp32 is not None:
            apart = max(difference(wanted[name], in_fp32[name])[1] for name in wanted)
            lab.row("e2e in bf16 against e2e in fp32", f"{apart:.2e} of the norm", "what bf16 itself costs")
        in_fp32 = wanted
        lab.release()


def _compare(
    lab: Lab, precision: str, system: System, modules: Modules, batch: NewsBatch
) -> tuple[dict[str, Tensor], float]:
    """E2E's gradients, and the largest difference of another strategy's from them."""
    part, items = max(1, batch.users * 3 // 8), len(batch.unique().items_N)
    candidates: dict[str, OneStep] = {
        "gram-1s": SingleStep(system),
        f"gram-1s in chunks of {max(1, items // 7)}": SingleStep(system, max(1, items // 7)),
        f"e2e in micro-batches of {part}": EndToEnd(system, part),
    }
    wanted, worst = gradients(EndToEnd(system, batch.users), modules, batch), 0.0
    for name, strategy in candidates.items():
        found = gradients(strategy, modules, batch)
        pairs = [difference(found[module], wanted[module]) for module in wanted]
        largest, of_norm = (max(values) for values in zip(*pairs, strict=True))
        worst = max(worst, largest)
        reuse = batch.occurrences().occurrences / items
        note = f"{of_norm:.1e} of the norm; {batch.users} users, R {reuse:.2f}"
        lab.row(f"{precision}, {name} against e2e", f"{largest:.1e}", note)
        lab.result.samples[f"{precision}, {name}, relative difference"] = (largest,)
    return wanted, worst


def gradients(strategy: OneStep, modules: Modules, batch: NewsBatch) -> dict[str, Tensor]:
    """The batch's gradients of each module as one vector; they are dropped."""
    strategy.gradients(batch)
    taken = {}
    for name, module in (("encoder", modules.encoder), ("filter", modules.filter)):
        found = [torch.zeros_like(p) if p.grad is None else p.grad for p in module.parameters()]
        taken[name] = torch.cat([gradient.flatten() for gradient in found])
        module.zero_grad(set_to_none=True)
    return taken


def difference(found: Tensor, wanted: Tensor) -> tuple[float, float]:
    """Largest difference over the largest gradient of the module, and norm over norm.

    Raises:
        ArithmeticError: a gradient is not finite, or all are 0.
    """
    apart = found - wanted
    scale = float(wanted.abs().max())
    if not (scale > 0 and torch.isfinite(apart).all()):
        raise ArithmeticError("a gradient is not finite, or all are 0")
    return float(apart.abs().max()) / scale, float(apart.norm() / wanted.norm())


class EnoughError(Exception):
    """The closing has shown what it needs."""


@dataclass
class CutShort:
    """An optimiser that ends a window's closing after `left` steps."""

    optimizer: Any
    left: int

    def schedule(self, *progress: Any) -> None:
        self.optimizer.schedule(*progress)

    def update(self) -> None:
        self.optimizer.update()
        self.left -= 1
        if not self.left:
            raise EnoughError

    def discard(self) -> None:
        self.optimizer.discard()


def memory(lab: Lab) -> None:
    """Peak memory of a step (`gram-1e`: of an epoch) over what lies there before: weights, Adam, data."""
    made = lab.trial("gram-1s")
    system, spec = made.system, lab.spec
    SingleStep(system, lab.sizes.chunk).step(next(made.sampler.batch(0).split(8)))  # Adam's state is there
    users, e2e = _largest_e2e(lab, made)
    peaks: dict[str, int | None] = {f"e2e, {users} users": e2e}
    for name, strategy in {
        "gram-1s": SingleStep(system),
        f"gram-1s in chunks of {lab.sizes.chunk}": SingleStep(system, lab.sizes.chunk),
    }.items():
        peaks[name] = _peak(lab, lambda one=strategy: _two_steps(one, made, spec.training.batch_size))  # type: ignore[misc]
    for size in lab.sizes.memory_batches:
        peaks[f"gram-1e, encoder_batch {size}"] = _peak(lab, lambda size=size: _epoch(lab, made, size))  # type: ignore[misc]
    _memory_rows(lab, peaks)


def _memory_rows(lab: Lab, peaks: dict[str, int | None]) -> None:
    lab.release()
    if not lab.cuda:
        lab.left_out("peak memory", "torch counts none on a CPU (every strategy ran)")
        return
    base = torch.cuda.memory_allocated(lab.device)
    first, largest = next(iter(peaks.items()))
    for name, peak in peaks.items():
        if peak is None or largest is None:
            lab.left_out(name, "it does not fit into the device's memory")
            continue
        share = (peak - base) / (largest - base)
        note = f"{share:.1%} of {first}; peak allocated {peak / GIB:,.2f} GiB"
        if "1e" in name:
            note += f"; the closing was cut short after {lab.sizes.closing_steps} encoder steps"
        lab.row(name, f"{(peak - base) / GIB:,.2f} GiB above the baseline", note)
        lab.result.samples[f"{name}, peak allocated, GiB"] = (peak / GIB,)
        if "chunks" in name:
            absolute = f"of the absolute peaks {peak / largest:.1%}"
            claim = f"peak above the baseline, {name}, over {first}"
            lab.claim(Target(claim, SHARE, "at most"), share, absolute)
    lab.row("baseline", f"{base / GIB:,.2f} GiB", "weights, Adam's state, token ids and interactions")
    lab.result.samples["baseline, GiB"] = (base / GIB,)


def _largest_e2e(lab: Lab, made: Trial) -> tuple[int, int | None]:
    """Users of the largest batch whose e2e step fits, whole, and its peak."""
    users = lab.spec.training.batch_size
    while users:
        strategy = EndToEnd(made.system, users)
        peak = _peak(lab, lambda one=strategy, count=users: _two_steps(one, made, count))  # type: ignore[misc]
        if peak is not None or users == 1:
            return users, peak
        lab.left_out(f"e2e with {users} users", "out of memory")
        users //= 2
    raise ValueError("a batch has at least one user")


def _peak(lab: Lab, work: Callable[[], None]) -> int | None:
    """Peak allocated bytes of the work; None: it does not fit (or, on a CPU, is not counted)."""
    lab.release()
    if lab.cuda:
        torch.cuda.reset_peak_memory_stats(lab.device)
    try:
        work()
        lab.synchronize()
    except torch.OutOfMemoryError:
        return None
    return torch.cuda.max_memory_allocated(lab.device) if lab.cuda else 0


def _two_steps(strategy: OneStep, made: Trial, users: int) -> None:
    try:
        for step in (1, 2):
            strategy.step(next(made.sampler.batch(step).split(users)))
    finally:  # also when memory ran out in the middle
        made.system.encoder_optimizer.discard()
        made.system.filter_optimizer.discard()


def _epoch(lab: Lab, made: Trial, encoder_batch: int) -> None:
    """An epoch of `gram-1e` up to the first mini-batches of its closing."""
    spec = altered(lab.spec, "multi_step", encoder_batch=encoder_batch)
    honest = made.system.encoder_optimizer
    made.system.encoder_optimizer = CutShort(honest, lab.sizes.closing_steps)  # type: ignore[assignment]
    strategy = make_strategy(
        "gram-1e", made.system, made.sampler, spec=spec, micro_batch=1, encoder_chunk=None, seed=0
    )
    try:
        for step in range(made.sampler.steps_per_epoch):
            strategy.step(made.sampler.batch(step))
    except EnoughError:
        pass
    finally:
        made.system.encoder_optimizer = honest
        honest.discard()
        made.system.filter_optimizer.discard()
