"""Steps over fixed shapes: the plain step's numbers, the same operations for every batch, no wait."""

from dataclasses import dataclass, field

import pytest
import torch
from tiny_systems import DOMAINS, KINDS, Tiny, assert_same, sampler_of, tiny_system
from torch.utils._python_dispatch import TorchDispatchMode

from grambench.config.optimizer import Optimizer
from grambench.config.spec import MultiStep as MultiStepSpec
from grambench.config.spec import Spec
from grambench.training import fixed_shapes
from grambench.training.strategies import make_strategy, multi_step
from grambench.training.strategies.multi_step import MultiStep

SPEC = MultiStepSpec(encoder_batch=8)
CLIPPED = Optimizer(lr=1e-3, clip_norm=0.02, weight_decay=0.1, schedule="cosine")


@pytest.fixture(autouse=True)
def small_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """Room for few items, so that a tiny batch can overflow it."""
    monkeypatch.setattr(fixed_shapes, "_STEP", 8)


def build(tiny: Tiny, sampler: object, name: str = "gram-1e") -> MultiStep:
    return make_strategy(
        name, tiny.system, sampler, spec=Spec(multi_step=SPEC), micro_batch=100, encoder_chunk=None, seed=11
    )


@dataclass
class Recorder(TorchDispatchMode):
    """What is dispatched: every operation with the shapes of its results."""

    seen: list[tuple[str, tuple[tuple[int, ...], ...]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        found = func(*args, **(kwargs or {}))
        tensors = torch.utils._pytree.tree_leaves(found)
        shapes = tuple(tuple(t.shape) for t in tensors if isinstance(t, torch.Tensor))
        self.seen.append((func._schema.name, shapes))
        return found


def bodies(monkeypatch: pytest.MonkeyPatch, tiny: Tiny) -> list[Recorder]:
    """A recorder for each body that runs over fixed tensors from now on: what a graph would hold."""
    records: list[Recorder] = []
    plainly = tiny.system.fixed._plainly

    def recorded(body):  # type: ignore[no-untyped-def]
        records.append(Recorder())
        with records[-1]:
            return plainly(body)

    monkeypatch.setattr(tiny.system.fixed, "_plainly", recorded)
    return records


@pytest.mark.parametrize(
    ("name", "domain", "kind"),
    [
        *((name, domain, "") for name in ("gram-1e", "gram-1s") for domain in DOMAINS),
        *(("gram-1s", domain, kind) for kind, domain in KINDS.items()),
    ],
)
def test_every_step_is_the_same_operations_and_none_waits_for_the_device(
    name: str, domain: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny, sampler = tiny_system(domain=domain, kind=kind, rates=CLIPPED), sampler_of(domain)
    tiny.system.use_fixed_shapes(encoder_steps=False)
    strategy = build(tiny, sampler, name)
    strategy.step(sampler.batch(0))
    records = bodies(monkeypatch, tiny)
    sizes = {len(sampler.batch(step).unique().items_N) for step in range(1, 4)}
    for step in range(1, 4):
        strategy.step(sampler.batch(step))
    first, *others = [record.seen for record in records]
    assert len(sizes) > 1  # the batches themselves do differ
    assert len(others) == 2
    assert all(other == first for other in others)
    waits = ("_local_scalar_dense", "nonzero", "unique", "_to_copy.device")
    assert not [operation for operation, _ in first if any(wait in operation for wait in waits)]


@pytest.mark.parametrize("domain", DOMAINS)
def test_a_closing_is_the_same_operations_for_every_mini_batch_of_a_shape(
    domain: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny, sampler = tiny_system(domain=domain), sampler_of(domain)
    if tiny.system.encode.layout.name != "packed":
        pytest.skip("buckets close a window plainly")
    strategy = build(tiny, sampler)
    tiny.system.use_fixed_shapes(filter_steps=False)
    for step in range(sampler.steps_per_epoch - 1):
        strategy.step(sampler.batch(step))
    records = bodies(monkeypatch, tiny)
    closed = strategy.step(sampler.batch(sampler.steps_per_epoch - 1)).window
    assert len(records) == closed.unique_items // SPEC.encoder_batch
    assert len({tuple(record.seen) for record in records}) == 1


def test_dropout_by_counter_is_redrawn_in_every_step() -> None:
    """Fixed tensors hold the keys that masks are drawn from, and sequences that are not cut."""
    plain, fixed = (tiny_system(domain="answers", lstm_dropout=0.4) for _ in range(2))
    fixed.system.use_fixed_shapes(encoder_steps=False)
    losses = []
    for tiny in (plain, fixed):
        tiny.system.fixed.filter_steps = tiny is fixed
        sampler = sampler_of("answers")
        step = build(tiny, sampler).step
        losses.append([float(step(sampler.batch(number)).loss) for number in range(sampler.total_steps)])
    assert losses[1] == pytest.approx(losses[0], abs=1e-10)
    assert fixed.system.fixed.plain_steps == 0
    assert_same(fixed.parameters(), plain.parameters())


@pytest.mark.parametrize("domain", DOMAINS)
def test_a_batch_that_does_not_fit_goes_the_plain_way(domain: str) -> None:
    """The last batch of an epoch is short, and a later one has more items than there is room for."""
    tinies = []
    for room in (1.0, 0.1, None):
        tiny, sampler = tiny_system(domain=domain), sampler_of(domain, batch_size=7)
        tiny.system.use_fixed_shapes(filter_steps=room is not None, encoder_steps=False)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(fixed_shapes, "_ROOM", room or 1.0)
            strategy = build(tiny, sampler)
            for step in range(sampler.total_steps):
                strategy.step(sampler.batch(step))
        tinies.append(tiny)
    wide, tight, plain = tinies
    assert 0 < wide.system.fixed.plain_steps < tight.system.fixed.plain_steps == sampler.total_steps
    assert plain.system.fixed.plain_steps == 0
    for tiny in (wide, tight):
        assert_same(tiny.parameters(), plain.parameters())


@pytest.mark.parametrize("domain", DOMAINS)
def test_warming_up_moves_nothing(domain: str) -> None:
    """Before the first step, between two windows, and in the middle of one."""
    tiny, sampler = tiny_system(domain=domain, rates=CLIPPED), sampler_of(domain)
    tiny.system.use_fixed_shapes()
    strategy = build(tiny, sampler, "gram-3s")
    twin_tiny, twin_sampler = tiny_system(domain=domain, rates=CLIPPED), sampler_of(domain)
    twin_tiny.system.use_fixed_shapes()
    twin = build(twin_tiny, twin_sampler, "gram-3s")
    for step in range(sampler.total_steps):
        strategy.warm_up(sampler.batch(step))
        found, wanted = strategy.step(sampler.batch(step)), twin.step(twin_sampler.batch(step))
        assert torch.equal(found.loss, wanted.loss)
    assert tiny.system.encode.counts == twin_tiny.system.encode.counts
    assert tiny.system.filter_optimizer.clipped() == twin_tiny.system.filter_optimizer.clipped()
    assert tiny.system.encoder_optimizer.clipped() == twin_tiny.system.encoder_optimizer.clipped()
    for name, value in tiny.parameters().items():
        assert torch.equal(value, twin_tiny.parameters()[name]), name


def test_windows_take_over_their_tensors_so_that_a_graph_stays_valid(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(multi_step, "_ROOM", 10.0)  # tiny windows differ by more than the usual room
    tiny, sampler = tiny_system(), sampler_of("news")
    tiny.system.use_fixed_shapes()
    strategy = build(tiny, sampler, "gram-2s")
    strategy.warm_up(sampler.batch(0))
    strategy.step(sampler.batch(0))
    address, moves = strategy.window.rows.table.data_ptr(), strategy.window.rows.moves
    for step in range(1, sampler.total_steps - 1):
        strategy.step(sampler.batch(step))
        if strategy.window is not None:
            assert strategy.window.rows.table.data_ptr() == address
            assert strategy.window.rows.moves == moves
