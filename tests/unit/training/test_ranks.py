"""Several ranks make the update of one process, in float64: every strategy, both domains, gloo processes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import tiny_systems as tiny
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor

from grambench.config.spec import MultiStep, Spec
from grambench.training.protocols import Batch
from grambench.training.strategies import make_strategy


class Case(NamedTuple):
    """A strategy and its settings."""

    strategy: str
    multi_step: dict[str, Any] = {}
    micro_batch: int = 6
    encoder_chunk: int | None = None
    lstm_dropout: float = 0.0
    """Above 0: of knowledge tracing only."""


CASES = {
    "e2e": Case("e2e"),
    "e2e in micro-batches": Case("e2e", micro_batch=2),
    "e2e-unique": Case("e2e-unique"),
    "gram-1s": Case("gram-1s"),
    "gram-1s in chunks": Case("gram-1s", encoder_chunk=5),
    "gram-3s": Case("gram-3s", encoder_chunk=3),
    "gram-3s by SGD": Case("gram-3s", {"table_optimizer": "sgd", "table_lr": 0.1}),
    "gram-3s, frozen": Case("gram-3s", {"update": "frozen"}),
    "gram-1e": Case("gram-1e"),
    "gram-auto": Case("gram-auto"),
    "e2e in micro-batches, dropout": Case("e2e", micro_batch=2, lstm_dropout=0.3),
    "gram-1s in chunks, dropout": Case("gram-1s", encoder_chunk=5, lstm_dropout=0.3),
    "gram-3s, dropout": Case("gram-3s", lstm_dropout=0.3),
}
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


def train(domain: str, case: Case, part: Callable[[Batch], Batch]) -> Trained:
    """Two epochs; the last batch of each has a single user."""
    sampler = tiny.sampler_of(domain, batch_size=6)
    made = tiny.tiny_system(domain=domain, lstm_dropout=case.lstm_dropout)
    spec = Spec(multi_step=MultiStep(encoder_batch=7, **case.multi_step))
    strategy = make_strategy(
        case.strategy,
        made.system,
        sampler,
        spec=spec,
        micro_batch=case.micro_batch,
        encoder_chunk=case.encoder_chunk,
        seed=0,
    )
    windows, numbers, loss = [], [], 0.0
    for step in range(sampler.total_steps):
        result = strategy.step(part(sampler.batch(step)))
        loss += float(result.loss)
        if (closed := result.window) is not None:
            windows.append((step, closed.unique_items, closed.occurrences))
            numbers += [float(closed.drift), float(closed.pseudo_loss)]
    return Trained(made.parameters(), windows, numbers, loss, made.system.encode.counts.items)


def as_rank(rank: int, ranks: int, store: str, wanted: dict[tuple[str, str], Trained]) -> None:
    """Train every case as one of the ranks, and compare with one process."""
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=ranks)
    for (domain, name), one in wanted.items():
        many = train(domain, CASES[name], lambda batch: batch.part(rank, ranks))
        for parameter, value in one.parameters.items():
            apart = float((many.parameters[parameter] - value).abs().max())
            assert apart <= (ROUNDING if "key.bias" in parameter else TOLERANCE), (
                domain,
                name,
                parameter,
                apart,
            )
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


@pytest.fixture(scope="module")
def alone() -> dict[tuple[str, str], Trained]:
    """Every case in one process."""
    return {
        (domain, name): train(domain, case, lambda batch: batch)
        for domain in tiny.DOMAINS
        for name, case in CASES.items()
        if domain == "answers" or not case.lstm_dropout
    }


@pytest.mark.parametrize("ranks", [2, pytest.param(3, marks=pytest.mark.heavy)])
def test_ranks_make_the_update_of_one_process(
    ranks: int, alone: dict[tuple[str, str], Trained], tmp_path: Path
) -> None:
    mp.start_processes(as_rank, (ranks, str(tmp_path / "store"), alone), ranks, start_method="fork")
