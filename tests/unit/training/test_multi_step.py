"""Multi-step GRAM against a slow dense loop, and what a window may and may not touch."""

import pytest
import torch
from tiny_systems import (
    CPU,
    DOMAINS,
    ITEMS,
    LR,
    Tiny,
    assert_same,
    encode_one_by_one,
    news_sampler,
    over_table,
    random_part,
    sampler_of,
    tiny_system,
)
from torch import Tensor
from torch.func import functional_call

from grambench.config.spec import MultiStep as MultiStepSpec
from grambench.config.spec import Spec
from grambench.data.batches import counter
from grambench.domains.news.sampler import NewsSampler
from grambench.training.strategies import make_strategy, window_steps
from grambench.training.strategies.multi_step import MultiStep

SEED = 11
SPECS = {
    "sgd": MultiStepSpec(table_optimizer="sgd", table_lr=0.3, encoder_batch=7),
    "adagrad": MultiStepSpec(table_optimizer="adagrad", table_lr=0.1, encoder_batch=7),
    "two passes": MultiStepSpec(table_optimizer="adagrad", table_lr=0.1, encoder_batch=7, encoder_passes=2),
    "relative": MultiStepSpec(table_optimizer="relative", relative_lr=0.4, encoder_batch=7),
    "frozen": MultiStepSpec(update="frozen", table_optimizer="sgd", table_lr=0.3, encoder_batch=7),
}


def build(tiny: Tiny, sampler: NewsSampler, name: str, spec: MultiStepSpec) -> MultiStep:
    strategy = make_strategy(
        name, tiny.system, sampler, spec=Spec(multi_step=spec), micro_batch=1, encoder_chunk=None, seed=SEED
    )
    assert isinstance(strategy, MultiStep)
    return strategy


def windows_of(name: str, **options: int) -> list[int]:
    """Sizes of the windows that close in a whole training of 5 steps an epoch."""
    sampler = news_sampler(random_part(), batch_size=10, **options)
    assert sampler.steps_per_epoch == 5
    strategy = build(tiny_system(), sampler, name, SPECS["adagrad"])
    results = [strategy.step(sampler.batch(step)) for step in range(sampler.total_steps)]
    assert strategy.window is None  # the last window closes with the training
    return [result.window.steps for result in results if result.window]


class SlowDense:
    """Algorithm 1 with a vector of every item of the catalogue, one plain loop, no bucket, no slot."""

    def __init__(self, tiny: Tiny, spec: MultiStepSpec) -> None:
        self.tiny, self.spec = tiny, spec
        self.encoder_adam = torch.optim.Adam(tiny.encoder.parameters(), lr=LR)
        self.filter_adam = torch.optim.Adam(tiny.filter.parameters(), lr=LR)
        self.windows = 0
        self.begin_epoch()

    def begin_epoch(self) -> None:
        self.squares = [0.0] * ITEMS
        self.lengths: list[float] = []

    def encode(self, items: list[int]) -> Tensor:
        return encode_one_by_one(self.tiny.encoder, self.tiny.spy.tokens, items)

    def window(self, batches: list) -> tuple[float, float]:
        """Drift and pseudo-loss of one window."""
        items = sorted({item for batch in batches for item in batch.occurrences().items_N.tolist()})
        with torch.no_grad():
            start = self.encode(list(range(ITEMS)))
        table = start.clone()
        center = sum(start[i] for i in items) / len(items)
        self.spread = sum(float((start[i] - center).norm()) for i in items) / len(items)
        for batch in batches:
            seen = (start if self.spec.update == "frozen" else table).clone().requires_grad_()
            loss = self.tiny.filter.loss(seen, over_table(batch))  # a sum over the users
            (gradient,) = torch.autograd.grad(loss, seen, retain_graph=True)
            self.filter_adam.zero_grad()
            (loss / batch.users).backward()
            self.filter_adam.step()
            touched = set(batch.occurrences().items_N.tolist())
            self.lengths += [float((gradient[item] ** 2).sum()) for item in touched]
            for item in touched:
                rate = self.spec.table_lr
                if self.spec.table_optimizer == "relative":
                    self.squares[item] += float((gradient[item] ** 2).sum())
                    mean = sum(self.lengths) / len(self.lengths)
                    rate = self.spec.relative_lr * self.spread / (self.squares[item] + mean) ** 0.5
                if self.spec.table_optimizer == "adagrad":
                    self.squares[item] += float((gradient[item] ** 2).mean())
                    rate /= self.squares[item] ** 0.5
                table[item] -= rate * gradient[item]
        drifts = [float((table[i] - start[i]).norm() / start[i].norm()) for i in items]
        pseudo_loss = self.follow(items, table)
        return sum(drifts) / len(items), pseudo_loss / len(items)

    def follow(self, items: list[int], table: Tensor) -> float:
        total = 0.0
        for turn in range(self.spec.encoder_passes):
            order = counter.permutation(
                counter.key(SEED, counter.Purpose.WINDOW_END, self.windows, turn), len(items), CPU
            )
            total = 0.0
            for rows in order.split(self.spec.encoder_batch):
                ids = [items[row] for row in rows.tolist()]
                pseudo_loss = 0.5 * (table[ids] - self.encode(ids)).square().sum()
                self.encoder_adam.zero_grad()
                (pseudo_loss / len(ids)).backward()
                self.encoder_adam.step()
                total += float(pseudo_loss.detach())
        self.windows += 1
        return total


IN_TURNS = [
    (kind, name, list(DOMAINS)[(row + column) % len(DOMAINS)])
    for row, kind in enumerate(SPECS)
    for column, name in enumerate(("gram-3s", "gram-0.5e", "gram-1e"))
]
"""Every kind with every length, and each of these in both domains."""


@pytest.mark.parametrize(("kind", "name", "domain"), IN_TURNS)
def test_windows_are_those_of_a_slow_dense_loop(kind: str, name: str, domain: str) -> None:
    spec, sampler = SPECS[kind], sampler_of(domain, batch_size=8)
    fast, slow = tiny_system(domain=domain), tiny_system(domain=domain)
    strategy, reference = build(fast, sampler, name, spec), SlowDense(slow, spec)
    pending: list = []
    for step in range(sampler.total_steps):
        batch = sampler.batch(step)
        if step % sampler.steps_per_epoch == 0:
            reference.begin_epoch()
        pending.append(batch)
        closed = strategy.step(batch).window
        if closed is None:
            continue
        drift, pseudo_loss = reference.window(pending)
        assert float(closed.drift) == pytest.approx(drift, abs=1e-10)
        assert float(closed.pseudo_loss) == pytest.approx(pseudo_loss, abs=1e-10)
        assert drift > 1e-3
        pending = []
    assert not pending
    assert_same(fast.parameters(), slow.parameters())


@pytest.mark.parametrize("domain", DOMAINS)
def test_frozen_sgd_is_autograd_on_the_summed_losses(domain: str) -> None:
    """With the filter's weights of each step held fixed, h̃ = h − η ∂(Σ 𝓛_t)/∂h."""
    sampler, tiny = sampler_of(domain), tiny_system(domain=domain)
    spec = SPECS["frozen"]
    strategy = build(tiny, sampler, "gram-1e", spec)
    vectors = encode_one_by_one(tiny.encoder, tiny.spy.tokens, list(range(ITEMS))).detach().requires_grad_()
    losses = []
    for step in range(sampler.steps_per_epoch - 1):
        batch = sampler.batch(step)
        weights = {f"model.{name}": p.detach().clone() for name, p in tiny.filter.named_parameters()}
        losses.append(functional_call(LossOf(tiny.filter), weights, (vectors, batch)))
        strategy.step(batch)
    (gradient,) = torch.autograd.grad(torch.stack(losses).sum(), vectors)
    window = strategy.window
    assert window is not None
    start = vectors.detach()[window.host_items_U]
    wanted = start - spec.table_lr * gradient[window.host_items_U]
    assert float((window.table_UD - wanted).abs().max()) < 1e-10
    assert float((window.table_UD - start).abs().max()) > 1e-3


class LossOf(torch.nn.Module):
    """The loss as a module's call, for `functional_call`."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, vectors: Tensor, batch: object) -> Tensor:
        return self.model.loss(vectors, over_table(batch))


@pytest.mark.parametrize("kind", ["sgd", "adagrad", "relative", "frozen"])
def test_a_step_moves_touched_rows_and_leaves_every_other_bit_equal(kind: str) -> None:
    sampler, tiny = news_sampler(random_part(), batch_size=3), tiny_system()
    strategy = build(tiny, sampler, "gram-1e", SPECS[kind])
    strategy.step(sampler.batch(0))
    for step in (1, 2, 3):
        before = strategy.window.table_UD.clone()
        batch = sampler.batch(step)
        strategy.step(batch)
        touched = torch.isin(torch.from_numpy(strategy.window.host_items_U), batch.occurrences().items_N)
        moved = (strategy.window.table_UD != before).any(dim=1)
        assert 0 < int(touched.sum()) < len(touched)
        assert torch.equal(moved, touched)


def test_no_gradient_survives_a_step_of_a_window() -> None:
    sampler, tiny = news_sampler(random_part()), tiny_system()
    strategy = build(tiny, sampler, "gram-2s", SPECS["sgd"])
    for step in range(sampler.steps_per_epoch):
        strategy.step(sampler.batch(step))
        assert all(p.grad is None for p in (*tiny.encoder.parameters(), *tiny.filter.parameters()))
        if strategy.window:
            assert strategy.window.table_UD.grad is None
            assert not strategy.window.table_UD.requires_grad


def test_encoder_stays_as_it_is_until_the_window_closes() -> None:
    sampler, tiny = news_sampler(random_part()), tiny_system()
    strategy = build(tiny, sampler, "gram-3s", SPECS["sgd"])
    for step in range(3):
        before = {name: p.detach().clone() for name, p in tiny.encoder.named_parameters()}
        closed = strategy.step(sampler.batch(step)).window
        changed = any(not torch.equal(p, before[name]) for name, p in tiny.encoder.named_parameters())
        assert changed == (closed is not None) == (step == 2)
    assert tiny.system.filter_optimizer.steps == 3
    assert tiny.system.encoder_optimizer.steps == -(-closed.unique_items // 7)


@pytest.mark.parametrize("kind", ["sgd", "two passes"])
def test_window_encodes_each_item_once_without_a_graph_and_once_a_pass_with_one(kind: str) -> None:
    sampler, tiny = news_sampler(random_part()), tiny_system()
    spec = SPECS[kind]
    strategy = build(tiny, sampler, "gram-1e", spec)
    results = [strategy.step(sampler.batch(step)) for step in range(sampler.steps_per_epoch)]
    items = sampler.items_ahead(0, sampler.steps_per_epoch).tolist()
    assert tiny.spy.times(with_graph=False) == dict.fromkeys(items, 1)
    assert tiny.spy.times(with_graph=True) == dict.fromkeys(items, spec.encoder_passes)
    assert tiny.spy.counts.items == (1 + spec.encoder_passes) * len(items)
    assert [result.unique_items for result in results] == [len(items)] + [0] * (len(results) - 1)
    closed = results[-1].window
    assert closed.unique_items == len(items)
    assert closed.occurrences == sum(result.occurrences for result in results)


@pytest.mark.parametrize(
    ("name", "options", "sizes"),
    [
        ("gram-2s", {}, [2, 2, 1, 2, 2, 1]),  # an epoch's end closes a window of at most an epoch
        ("gram-5s", {}, [5, 5]),
        ("gram-0.5e", {}, [3, 2, 3, 2]),
        ("gram-1e", {}, [5, 5]),
        ("gram-2e", {"epochs": 5}, [10, 10, 5]),
        ("gram-1.5e", {"epochs": 3}, [8, 7]),
        ("gram-7s", {"epochs": 3}, [7, 7, 1]),
        ("gram-1e", {"max_steps": 7}, [5, 2]),
        ("gram-2e", {"max_steps": 7}, [7]),
        ("gram-3s", {"max_steps": 7}, [3, 2, 2]),
    ],
)
def test_window_sizes(name: str, options: dict[str, int], sizes: list[int]) -> None:
    assert windows_of(name, **options) == sizes


@pytest.mark.parametrize(
    ("name", "steps_per_epoch", "steps"),
    [
        ("e2e", 50, 1),
        ("gram-1s", 50, 1),
        ("gram-10s", 50, 10),
        ("gram-1e", 50, 50),
        ("gram-0.5e", 51, 26),
        ("gram-.5e", 51, 26),
        ("gram-0.01e", 50, 1),
        ("gram-0.07e", 100, 7),  # .07 * 100 is a little more than 7 in floating point
        ("gram-1.1e", 10, 11),
    ],
)
def test_window_steps_of_a_name(name: str, steps_per_epoch: int, steps: int) -> None:
    assert window_steps(name, steps_per_epoch) == steps


def test_window_steps_of_another_name() -> None:
    with pytest.raises(ValueError, match="unknown strategy"):
        window_steps("gram-e", 5)


def test_longer_window_needs_fewer_encodings() -> None:
    encoded = []
    for name in ("gram-1s", "gram-2s", "gram-1e", "gram-2e"):
        sampler, tiny = news_sampler(random_part()), tiny_system()
        strategy = make_strategy(
            name,
            tiny.system,
            sampler,
            spec=Spec(multi_step=SPECS["sgd"]),
            micro_batch=1,
            encoder_chunk=None,
            seed=0,
        )
        for step in range(sampler.total_steps):
            strategy.step(sampler.batch(step))
        encoded.append(sum(len(call.ids) for call in tiny.spy.seen if call.with_graph))
    assert encoded == sorted(encoded, reverse=True)
    assert encoded[-1] * 2 == encoded[-2]
