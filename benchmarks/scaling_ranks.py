"""Ranks in processes of their own, each training its part of every batch; what they received, by count and by
formula.

On a CPU each rank has one thread, and all of them share its cores with whatever else runs: the bytes and the
sharing of work are what this shows. On CUDA each rank has a GPU and NCCL carries the messages.
"""

import time
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from benchmarks.scaling_model import Traffic
from benchmarks.trials import prepared, spec_of, trial
from grambench.domains.training import TrainSampler
from grambench.training.phases import System
from grambench.training.protocols import Strategy
from grambench.training.strategies.e2e import EndToEnd
from grambench.training.strategies.multi_step import MultiStep
from grambench.worker.preload import load_libraries

STRATEGIES = ("e2e", "gram-1s", "gram-1e")
Scaling = Literal["weak", "strong"]


@dataclass(frozen=True, slots=True)
class Case:
    """Steps of a strategy on some ranks."""

    strategy: str
    scaling: Scaling
    ranks: int

    @property
    def label(self) -> str:
        return f"{self.strategy}, {self.scaling}, {self.ranks} ranks"


@dataclass(frozen=True, slots=True)
class Measured:
    """By one rank, or of all."""

    seconds: float
    samples: int
    steps: int
    waited_s: float
    received_bytes: int
    """Counted by the group."""
    expected_bytes: int
    """By the formulas."""
    items_encoded: int


@dataclass(frozen=True, slots=True)
class Plan:
    """What every rank does."""

    cases: tuple[Case, ...]
    device: str
    """`cpu` or `cuda`."""
    users: int = 64
    """Of one rank in weak scaling, of all in strong scaling."""
    steps: int = 10
    """Of e2e and gram-1s; gram-1e takes an epoch."""
    overrides: tuple[str, ...] = ()
    """Of the preset `demo`."""


def measure(plan: Plan) -> dict[Case, list[Measured]]:
    """Every case on its ranks, one process each; by rank."""
    on_cuda = plan.device == "cuda"
    load_libraries()
    prepared(spec_of("demo", *plan.overrides))
    found: dict[Case, list[Measured]] = {}
    for ranks in sorted({case.ranks for case in plan.cases}):
        with TemporaryDirectory() as folder:
            mp.start_processes(  # a fork has loaded the libraries, but cannot use CUDA
                _as_rank, (ranks, plan, folder), ranks, start_method="spawn" if on_cuda else "fork"
            )
            by_rank = [torch.load(Path(folder) / f"{rank}", weights_only=False) for rank in range(ranks)]
        cases = [case for case in plan.cases if case.ranks == ranks]
        found |= {case: [one[i] for one in by_rank] for i, case in enumerate(cases)}
    return found


def _as_rank(rank: int, ranks: int, plan: Plan, folder: str) -> None:
    on_cuda = plan.device == "cuda"
    device = torch.device(f"cuda:{rank}" if on_cuda else "cpu")
    if on_cuda:
        torch.cuda.set_device(device)
    else:
        torch.set_num_threads(1)
    if ranks > 1:
        backend = "cuda:nccl,cpu:gloo" if on_cuda else "gloo"
        dist.init_process_group(backend, init_method=f"file://{folder}/store", rank=rank, world_size=ranks)
    found = [_trained(case, plan, device) for case in plan.cases if case.ranks == ranks]
    torch.save(found, Path(folder) / f"{rank}")
    if ranks > 1:
        dist.destroy_process_group()


def _trained(case: Case, plan: Plan, device: torch.device) -> Measured:
    users = plan.users * (case.ranks if case.scaling == "weak" else 1)
    spec = spec_of("demo", *plan.overrides, f"training.batch_size={users}")
    made = trial(case.strategy, spec, prepared(spec), device=device)
    group, epoch = made.system.group, made.sampler.steps_per_epoch
    timed = range(epoch, 2 * epoch) if case.strategy == "gram-1e" else range(2, min(epoch, 2 + plan.steps))

    def train(steps: range) -> None:
        for step in steps:
            made.strategy.step(group.part(made.sampler.batch(step)))
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    train(range(timed.start))
    expected = sum(expected_bytes(made.system, made.sampler, made.strategy, step) for step in timed)
    group.greatest(0)  # all begin together
    group.waited_s, group.received_bytes, encoded = 0.0, 0, made.system.encode.counts.items
    began_s = time.perf_counter()
    train(timed)
    return Measured(
        time.perf_counter() - began_s,
        sum(made.sampler.batch(step).users for step in timed),
        len(timed),
        group.waited_s,
        group.received_bytes,
        expected,
        made.system.encode.counts.items - encoded,
    )


def expected_bytes(system: System, sampler: TrainSampler, strategy: Strategy, step: int) -> int:
    """What a rank receives in a step, by the formulas, from the batches alone; fixed windows only."""
    optimizers = system.encoder_optimizer, system.filter_optimizer
    encoder, filter_ = (sum(p.numel() for p in optimizer.parameters) for optimizer in optimizers)
    itemsize = next(system.encode.encoder.parameters()).element_size()
    traffic = Traffic(system.group.size, encoder, filter_, system.encode.encoder.width, itemsize)
    batch = sampler.batch(step)
    items = len(batch.unique().host_items_N)
    if isinstance(strategy, EndToEnd):
        return traffic.e2e()
    if not isinstance(strategy, MultiStep):
        return traffic.single_step(items)
    within, most = step % sampler.steps_per_epoch, strategy.window_steps
    begins = within - within % most
    steps = min(most, sampler.steps_per_epoch - begins)
    window = len(sampler.items_ahead(step - within + begins, steps))
    opening = traffic.opening(window) if within == begins else 0
    fits = ceil(window / strategy.encoder_batch) if within == begins + steps - 1 else 0
    return opening + traffic.table_step(items) + fits * traffic.fit()
