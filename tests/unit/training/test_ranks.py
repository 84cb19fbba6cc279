"""Several ranks make the update of one process, in float64: every strategy, both domains, gloo processes."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import tiny_systems as tiny
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor

from grambench.config.optimizer import Optimizer
from grambench.config.spec import MultiStep, Spec
from grambench.training import group as ranks_module
from grambench.training.group import ByTokens, Group, by_id
from grambench.training.strategies import make_strategy
from grambench.training.system import Modules
from grambench.worker import resume


class Case(NamedTuple):
    """A strategy and its settings."""

    strategy: str
    multi_step: dict[str, Any] = {}
    micro_batch: int = 6
    encoder_chunk: int | None = None
    lstm_dropout: float = 0.0
    """Above 0: of knowledge tracing only."""
    rates: Optimizer = tiny.ADAM


CLIPPED = Optimizer(lr=tiny.LR, clip_norm=0.02, weight_decay=0.1, schedule="linear")
CASES = {
    "e2e": Case("e2e"),
    "e2e in micro-batches": Case("e2e", micro_batch=2),
    "e2e-gc": Case("e2e-gc", micro_batch=2),
    "e2e-unique": Case("e2e-unique"),
    "gram-1s": Case("gram-1s"),
    "gram-1s in chunks": Case("gram-1s", encoder_chunk=5),
    "gram-3s": Case("gram-3s", encoder_chunk=3),
    "gram-3s by SGD": Case("gram-3s", {"table_optimizer": "sgd", "table_lr": 0.1}),
    "gram-3s, frozen": Case("gram-3s", {"update": "frozen"}),
    "gram-1e": Case("gram-1e"),
    "gram-1s in chunks, clipped": Case("gram-1s", encoder_chunk=5, rates=CLIPPED),
    "gram-3s, clipped": Case("gram-3s", rates=CLIPPED),
    "gram-auto": Case("gram-auto"),
    "e2e in micro-batches, dropout": Case("e2e", micro_batch=2, lstm_dropout=0.3),
    "gram-1s in chunks, dropout": Case("gram-1s", encoder_chunk=5, lstm_dropout=0.3),
    "gram-3s, dropout": Case("gram-3s", lstm_dropout=0.3),
}
RESUMED = {"gram-3s": 7, "gram-auto": 4}
"""Steps before which a checkpoint is taken: within a window, whose table each rank holds a part of."""
TOLERANCE = 1e-10
ROUNDING = 1e-8
"""Of keys' biases: softmax does not see them, so their gradient is rounding, which Adam makes a step of."""


class Trained(NamedTuple):
    """What a process has at the end."""

    parameters: dict[str, Tensor]
    windows: list[tuple[int, int, int]]
    """Step, items and occurrences of each."""
    numbers: list[float]
    """Drift and pseudo-loss of each."""
    loss: float
    encoded: int
    kept: resume.Resumed | None
    """Its checkpoint."""


def sampler_of(domain: str) -> Any:
    """Batches of 6 users, the last of an epoch of one, so that some ranks have none."""
    if domain == "news":
        return tiny.sampler_of(domain, batch_size=6)
    return tiny.answer_sampler(tiny.random_sequences(users=25), batch_size=6)


def train(domain: str, case: Case, resumed: resume.Resumed | None = None) -> Trained:
    """Two epochs, or the rest of them."""
    sampler = sampler_of(domain)
    checkpointed = case.strategy == "e2e-gc"
    made = tiny.tiny_system(
        domain=domain, lstm_dropout=case.lstm_dropout, rates=case.rates, checkpointed=checkpointed
    )
    spec = Spec(multi_step=MultiStep(encoder_batch=7, **case.multi_step))
    strategy: Any = make_strategy(
        case.strategy,
        made.system,
        sampler,
        spec=spec,
        micro_batch=case.micro_batch,
        encoder_chunk=case.encoder_chunk,
        seed=0,
    )
    modules, group, keeps = Modules(made.encoder, made.filter), made.system.group, RESUMED.get(case.strategy)
    windows, numbers, loss, kept = [], [], 0.0, None
    if resumed is not None:
        resume.restore(resumed, made.system, modules, strategy)
    for step in range(keeps if resumed is not None else 0, sampler.total_steps):
        if step == keeps:
            assert strategy.window is not None
            tensors, counts = resume.collect(made.system, modules, strategy)
            copied = {name: tensor.detach().clone() for name, tensor in tensors.items()}
            kept = resume.Resumed(copied, {"strategy": counts})
        result = strategy.step(group.part(sampler.batch(step)))
        loss += float(result.loss)
        if (closed := result.window) is not None:
            windows.append((step, closed.unique_items, closed.occurrences))
            numbers += [float(closed.drift), float(closed.pseudo_loss)]
    return Trained(made.parameters(), windows, numbers, loss, made.system.encode.counts.items, kept)


def assert_near(found: dict[str, Tensor], wanted: dict[str, Tensor], what: object) -> None:
    """Equal to rounding."""
    assert found.keys() == wanted.keys(), what
    for name, value in wanted.items():
        limit = ROUNDING if "key.bias" in name else TOLERANCE
        assert found[name].shape == value.shape, (what, name)
        torch.testing.assert_close(found[name], value, rtol=0, atol=limit, msg=f"{what}: {name}")


def check_exchange() -> None:
    """Rows reach those that read them, gradients their owners, and nothing else travels."""
    group = Group()
    shared, only_last = np.arange(0, 40, 3), np.array([1, 7, 41])
    reads = [shared] * (group.size - 1) + [only_last]
    for read_by_rank in (reads, [np.empty(0, np.int64)] * group.size):
        for owners in (by_id, ByTokens(np.arange(42) % 9)):
            exchange, own_N = group.exchange(read_by_rank, owners, tiny.CPU), read_by_rank[group.rank]
            table_ID = torch.arange(42.0, dtype=torch.float64)[:, None].repeat(1, 3)
            before = group.received_bytes
            assert torch.equal(exchange.fetch(table_ID[exchange.own_O]), table_ID[own_N])
            foreign = len(np.setdiff1d(own_N, exchange.own_O))
            assert group.received_bytes - before == foreign * 3 * 8
            summed_OD = exchange.give(table_ID[own_N] + 100 * group.rank)
            for item, row in zip(exchange.own_O, summed_OD[:, 0].tolist(), strict=True):
                assert row == sum(
                    item + 100 * rank for rank, items in enumerate(read_by_rank) if item in items
                )


def as_rank(rank: int, ranks: int, store: str, wanted: dict[tuple[str, str], Trained]) -> None:
    """Train every case as one of the ranks, and compare with one process."""
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=ranks)
    check_exchange()
    ranks_module._COLLECTED = 16  # the table reaches the leader in several messages
    for (domain, name), one in wanted.items():
        many = train(domain, CASES[name])
        assert_near(many.parameters, one.parameters, (domain, name))
        if one.kept is not None:
            if rank == 0:  # the leader's is whole
                assert_near(many.kept.tensors, one.kept.tensors, ("kept", domain, name))
            again = train(domain, CASES[name], one.kept)
            assert_near(again.parameters, one.parameters, ("resumed", domain, name))
        assert [window[:2] for window in many.windows] == [window[:2] for window in one.windows], (
            domain,
            name,
        )
        assert many.numbers == pytest.approx(one.numbers, rel=1e-9), (domain, name)
        sums = torch.tensor([many.encoded, many.loss, *(w[2] for w in many.windows)], dtype=torch.float64)
        dist.all_reduce(sums)
        encoded, *rest = sums.tolist()
        assert rest == pytest.approx([one.loss, *(w[2] for w in one.windows)], rel=1e-9), (domain, name)
        fits = CASES[name].encoder_chunk is not None  # a rank's part may fit into one chunk: no second pass
        assert encoded <= one.encoded if fits else encoded == one.encoded, (domain, name)
    dist.destroy_process_group()


@pytest.mark.parametrize("domain", tiny.DOMAINS)
@pytest.mark.parametrize("ranks", [2, 3])
def test_every_rank_knows_what_each_reads(domain: str, ranks: int) -> None:
    sampler, empty, read_once = sampler_of(domain), 0, 0
    for step in range(sampler.total_steps):
        batch = sampler.batch(step)
        parts = [batch.part(rank, ranks) for rank in range(ranks)]
        assert sum(part.rows for part in parts) == batch.rows == parts[0].users
        reads = parts[-1].read_by_rank()
        for part, items_N in zip(parts, reads, strict=True):
            assert items_N.tolist() == part.unique().host_items_N.tolist()
            assert items_N.tolist() == sorted(set(part.occurrences().host_items_N.tolist()))
        items_U, readers_U = np.unique(np.concatenate(reads), return_counts=True)
        assert items_U.tolist() == batch.unique().host_items_N.tolist()
        empty += sum(not part.rows for part in parts)
        read_once += int((readers_U == 1).sum())
    assert empty  # so the suite below trains with a rank without users, too,
    assert read_once  # and with items of one rank only


def test_every_rank_encodes_about_as_many_tokens() -> None:
    lengths_I = np.random.default_rng(0).integers(0, 30, 1000)
    reads = [np.arange(0, 700), np.arange(500, 1000), np.empty(0, np.int64)]
    owner_I = np.full(1000, -1)
    for items_N, owner_N in zip(reads, ByTokens(lengths_I)(reads), strict=True):
        assert (owner_N == owner_I[items_N])[owner_I[items_N] >= 0].all()  # an item has one owner
        owner_I[items_N] = owner_N
    tokens = np.bincount(owner_I, lengths_I, minlength=3)
    assert np.abs(tokens - lengths_I.sum() / 3).max() <= 30 + (lengths_I == 0).sum()


@pytest.fixture(scope="module")
def alone() -> dict[tuple[str, str], Trained]:
    """Every case in one process."""
    return {
        (domain, name): train(domain, case)
        for domain in tiny.DOMAINS
        for name, case in CASES.items()
        if domain == "answers" or not case.lstm_dropout
    }


@pytest.mark.parametrize("ranks", [2, pytest.param(3, marks=pytest.mark.heavy)])
def test_ranks_make_the_update_of_one_process(
    ranks: int, alone: dict[tuple[str, str], Trained], tmp_path: Path
) -> None:
    mp.start_processes(as_rank, (ranks, str(tmp_path / "store"), alone), ranks, start_method="fork")
