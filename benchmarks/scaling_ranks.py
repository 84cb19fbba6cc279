"""Ranks in processes of their own, each training its part of every batch; what they received, by count and by
formula.

On a CPU each rank has one thread, and all of them share its cores with whatever else runs: the bytes and the
sharing of work are what this shows. On CUDA each rank has a GPU and NCCL carries the messages.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import numpy as np
import torch
import torch.distributed as dist
from torch.multiprocessing.spawn import start_processes

from benchmarks.scaling_model import Traffic
from benchmarks.trials import prepared, sampler_of, spec_of, trial
from grambench.config.spec import Spec
from grambench.data.batches import counter
from grambench.domains.training import TrainSampler
from grambench.training.group import ByTokens, Group, Items, Owners, by_id
from grambench.training.phases import System
from grambench.training.protocols import Strategy
from grambench.training.strategies.e2e import EndToEnd
from grambench.training.strategies.multi_step import MultiStep
from grambench.worker.preload import load_libraries

STRATEGIES = ("e2e", "gram-1s", "gram-1e")
_PLANS = 9
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
            start_processes(  # a fork has loaded the libraries, but cannot use CUDA
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
    """What this rank receives in a step, by the formulas, from the batches alone.

    Windows are fixed and not longer than an epoch, the table's optimiser is not `relative`.
    """
    optimizers = system.encoder_optimizer, system.filter_optimizer
    encoder, filter_ = (sum(p.numel() for p in optimizer.parameters) for optimizer in optimizers)
    itemsize = next(system.encode.encoder.parameters()).element_size()
    group = system.group
    traffic = Traffic(group.size, encoder, filter_, system.encode.encoder.width, itemsize)
    batch = sampler.batch(step)
    parts = (batch.part(rank, group.size) for rank in range(group.size))
    read_by_rank = [np.unique(part.occurrences().host_items_N) for part in parts]
    if isinstance(strategy, EndToEnd):
        return traffic.e2e()
    if not isinstance(strategy, MultiStep):
        return traffic.single_step(sum(rows_received(group, read_by_rank, system.owners)))
    table = traffic.table_step(sum(rows_received(group, read_by_rank, by_id)))
    fits = [traffic.fit(rows) for rows in _fetched_as_it_closes(group, sampler, strategy, step)]
    return table + (sum(fits) + traffic.drifts() if fits else 0)


def rows_received(group: Group, read_by_rank: Sequence[Items], owners_of: Owners) -> tuple[int, int]:
    """Vectors that a rank reads of others', and gradients of its own items from others that read them."""
    owners = owners_of(read_by_rank)
    readers = [rank for rank in range(group.size) if rank != group.rank]
    return int((owners[group.rank] != group.rank).sum()), sum(
        int((owners[rank] == group.rank).sum()) for rank in readers
    )


def _fetched_as_it_closes(
    group: Group, sampler: TrainSampler, strategy: MultiStep, step: int
) -> Iterator[int]:
    """Targets that other ranks hold, of each mini-batch of a window; none if none closes with this step."""
    epoch, within = divmod(step, sampler.steps_per_epoch)
    number, most = within // strategy.window_steps, strategy.window_steps
    steps = min(most, sampler.steps_per_epoch - number * most)
    if within != number * most + steps - 1:
        return
    items_U = sampler.items_ahead(step - steps + 1, steps)
    windows = epoch * -(-sampler.steps_per_epoch // most) + number
    for turn in range(strategy.spec.encoder_passes):
        key = counter.key(strategy.seed, counter.Purpose.WINDOW_END, windows, turn)
        shuffled_U = items_U[counter.permutation(key, len(items_U), torch.device("cpu")).numpy()]
        for start in range(0, len(items_U), strategy.encoder_batch):
            shares = group.shares(shuffled_U[start : start + strategy.encoder_batch])
            yield rows_received(group, shares, by_id)[0]


# --- the plan, on the host ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Planned:
    """Seconds in which the host plans the exchange of a step, for one of so many ranks."""

    ranks: int
    rows: int
    """Distinct items of each rank, summed."""
    by_tokens_s: float
    by_id_s: float


def planned(spec: Spec, ranks: int) -> Planned:
    """The shortest of several plans; `spec.training.batch_size` users on each rank, on one thread."""
    users = spec.training.batch_size * ranks
    data = prepared(spec)
    training = spec.training.model_copy(update={"batch_size": users})
    group, device = Group(), torch.device("cpu")
    group.size = ranks
    batch = sampler_of(spec.model_copy(update={"training": training}), data).batch(0)
    read_by_rank = group.part(batch).read_by_rank()

    def seconds(owners_of: Owners) -> float:
        began_s = time.perf_counter()
        group.exchange(read_by_rank, owners_of, device)
        return time.perf_counter() - began_s

    by_tokens = ByTokens(np.diff(data.token_offsets))
    shortest = (min(seconds(owners_of) for _ in range(_PLANS)) for owners_of in (by_tokens, by_id))
    return Planned(ranks, sum(map(len, read_by_rank)), *shortest)
