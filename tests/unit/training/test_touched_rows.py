"""Adam of touched rows: dense Adam where every row is touched, and nothing of the catalogue's size moves."""

import math
from collections import Counter
from typing import Any

import pytest
import torch
from tiny_systems import CPU, HEADS, ITEMS, QUERY, WIDTH, encoder_spec, sampler_of, tiny_data
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from grambench.config.networks import Filter
from grambench.config.optimizer import Optimizer
from grambench.config.spec import Spec, Training
from grambench.models.encoders.free import FreeVectors, free_vectors
from grambench.training.optim import ScheduledAdam
from grambench.training.phases import System, dry_run
from grambench.training.strategies import make_strategy
from grambench.training.strategies import networks as building
from grambench.training.system import Modules, build_system
from grambench.training.touched_rows import coalesced

NAMES = ("nocontent", "crcf-1s")
NOAM = Optimizer(lr=0.02, schedule="noam", warmup_steps=4)
IN_PLACE = {"index_copy_", "index_fill_", "index_put_", "_index_put_impl_"}
READS = {"embedding", "index", "detach"}
"""Operators that may be given a tensor of the catalogue's size: they gather rows, or view."""


def built(name: str, rule: str, dtype: torch.dtype = torch.float64) -> tuple[System, Modules]:
    training = Training(free_rows=rule)
    spec = Spec(
        encoder=encoder_spec(),
        filter=Filter(nrms={"heads": HEADS, "query": QUERY}),
        filter_optimizer=NOAM,
        crcf={"optimizer": NOAM},
        nocontent={"optimizer": NOAM},
        training=training,
    )
    return build_system(spec, tiny_data(), CPU, seed=0, strategy=name, dtype=dtype)


def strategy_of(name: str, system: System) -> Any:
    options = {"spec": Spec(), "micro_batch": 4, "encoder_chunk": None, "seed": 5}
    return make_strategy(name, system, sampler_of("news"), **options)


def free_of(modules: Modules) -> FreeVectors:
    found = free_vectors(modules.encoder)
    assert found is not None
    return found


def rows_state(system: System) -> dict[str, Tensor]:
    """Moments and steps of the touched rows, which stand behind the dense parameters."""
    prefix = f"{len(system.filter_optimizer.parameters)}."
    state = system.filter_optimizer.state_dict().items()
    return {key.removeprefix(prefix): tensor.clone() for key, tensor in state if key.startswith(prefix)}


def pair(dtype: torch.dtype, rows: int = 7) -> tuple[FreeVectors, FreeVectors]:
    """The same vectors, to be updated densely and by touched rows."""
    both = []
    for touched_only in (False, True):
        torch.manual_seed(3)
        both.append(FreeVectors(rows, 5, touched_only).to(dtype))
    return both[0], both[1]


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-6)])
def test_rows_touched_at_every_step_move_as_by_dense_adam(dtype: torch.dtype, tolerance: float) -> None:
    dense, touched = pair(dtype)
    items = torch.tensor([6, 0, 3])
    before = dense.rows_ID.detach().clone()
    for vectors in (dense, touched):
        adam = ScheduledAdam([], NOAM, vectors)
        torch.manual_seed(0)
        for _ in range(20):
            target = torch.randn(3, 5, dtype=dtype)
            (vectors(items) - target).square().sum().backward()
            adam.step()
        assert adam.steps == 20
    assert touched.rows_ID.dtype == dtype
    difference = (dense.rows_ID - touched.rows_ID).detach().abs().max()
    assert float(difference) <= tolerance
    assert float((dense.rows_ID - before).detach().abs().max()) > 0.1


@pytest.mark.parametrize("name", NAMES)
def test_untouched_rows_stay_bit_equal_and_no_dense_gradient_is_made(name: str) -> None:
    system, modules = built(name, "touched")
    free, strategy, sampler = free_of(modules), strategy_of(name, system), sampler_of("news")
    before = free.rows_ID.detach().clone()
    met = torch.zeros(ITEMS, dtype=torch.bool)
    for step in range(3):
        batch = sampler.batch(step)
        now = free.rows_ID.detach().clone()
        strategy.step(batch)
        assert free.rows_ID.grad is None
        touched = torch.zeros(ITEMS, dtype=torch.bool)
        touched[batch.unique().items_N] = True
        assert not touched.all()
        changed = (free.rows_ID != now).any(dim=1)
        assert not changed[~touched].any()
        assert changed[touched].float().mean() > 0.8  # a user without clicks is 0 at first: no gradient
        met |= touched
    assert torch.equal(free.rows_ID[~met], before[~met])
    mean = rows_state(system)["exp_avg"]
    assert not mean[~met].any()
    assert mean[met].any(dim=1).float().mean() > 0.8


@pytest.mark.parametrize("name", NAMES)
def test_first_step_is_that_of_dense_adam(name: str) -> None:
    """In the first step all moments are 0, so dense Adam moves no untouched row either."""
    found = []
    for rule in ("dense", "touched"):
        system, modules = built(name, rule)
        strategy_of(name, system).step(sampler_of("news").batch(0))
        found.append(modules.state_dict())
    for key, wanted in found[0].items():
        assert torch.allclose(found[1][key].double(), wanted.double(), rtol=0, atol=1e-12), key


def test_repeated_ids_add_up_as_in_a_dense_gradient() -> None:
    dense, touched = pair(torch.float64)
    weights = torch.arange(1.0, 6.0, dtype=torch.float64)[:, None]
    for vectors in (dense, touched):
        adam = ScheduledAdam([], Optimizer(lr=0.1), vectors)
        for items in ([4, 1, 4, 4, 2], [1, 1, 0, 4, 1]):
            for _ in range(2):  # gradients of several backward passes are accumulated
                (weights * vectors(torch.tensor(items)).square()).sum().backward()
            adam.step()
    assert torch.allclose(dense.rows_ID[[1, 4]], touched.rows_ID[[1, 4]], rtol=0, atol=1e-12)
    assert torch.equal(dense.rows_ID[[3, 5, 6]], touched.rows_ID[[3, 5, 6]])


def test_coalesced_gradients_are_those_of_a_dense_matrix() -> None:
    torch.manual_seed(0)
    pieces = [(torch.tensor(ids).long(), torch.randn(len(ids), 3)) for ids in ([5, 2, 5], [], [2, 0])]
    items, gradient = coalesced(pieces)
    dense = torch.zeros(6, 3)
    for ids, rows in pieces:
        dense.index_add_(0, ids, rows)
    assert items.tolist() == [0, 2, 2, 5, 5]
    assert torch.allclose(gradient, dense[items])


class LargeOperands(TorchDispatchMode):
    """Counts by name the operators that read or write a tensor with a row for every item."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: Counter[str] = Counter()
        self.made: Counter[str] = Counter()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = function.overloadpacket.__name__
        given = [leaf for leaf in tree_leaves((args, kwargs or {})) if isinstance(leaf, Tensor)]
        found = function(*args, **(kwargs or {}))
        storages = {tensor.untyped_storage().data_ptr() for tensor in given}
        if any(tensor.shape[:1] == (ITEMS,) for tensor in given):
            self.seen[name] += 1
        for tensor in tree_leaves(found):
            is_new = isinstance(tensor, Tensor) and tensor.untyped_storage().data_ptr() not in storages
            if is_new and tensor.shape[:1] == (ITEMS,):
                self.made[name] += 1
        return found


def large_operands(name: str, rule: str) -> LargeOperands:
    system, _ = built(name, rule)
    strategy, sampler = strategy_of(name, system), sampler_of("news")
    strategy.step(sampler.batch(0))  # dense Adam makes its moments in the first step
    batch = sampler.batch(1)
    assert len(batch.unique().items_N) not in (ITEMS, ITEMS + 1)  # or a batch's tensors would look like it
    with LargeOperands() as mode:
        strategy.step(batch)
    return mode


@pytest.mark.parametrize("name", NAMES)
def test_no_operator_of_a_step_works_on_the_whole_catalogue(name: str) -> None:
    found = large_operands(name, "touched")
    assert set(found.seen) <= READS | IN_PLACE
    assert found.seen["index_copy_"] == (4 if name == "crcf-1s" else 3)  # CRCF's rows start at their texts
    assert not found.made
    dense = large_operands(name, "dense")
    assert "_fused_adam_" in dense.seen
    assert dense.made["embedding_dense_backward"] >= 1  # or the test would see nothing


def test_dry_run_and_discard_drop_the_gradients_of_rows() -> None:
    system, modules = built("nocontent", "touched")
    free, strategy, batch = free_of(modules), strategy_of("nocontent", system), sampler_of("news").batch(0)
    before = free.rows_ID.detach().clone()
    with dry_run(system):
        strategy.gradients(batch)
        assert free.row_gradients
    assert not free.row_gradients
    strategy.gradients(batch)
    system.filter_optimizer.discard()
    system.filter_optimizer.step()
    assert torch.equal(free.rows_ID, before)
    assert float(rows_state(system)["step"]) == 0


@pytest.mark.parametrize("name", NAMES)
def test_a_non_finite_loss_changes_no_row(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    system, modules = built(name, "touched")
    strategy, sampler = strategy_of(name, system), sampler_of("news")
    strategy.step(sampler.batch(0))
    met_I = torch.zeros(ITEMS, dtype=torch.bool)
    met_I[sampler.batch(0).unique().items_N] = True

    def weights() -> dict[str, Tensor]:
        """Of the rows those that have been trained: the others are set when an item is first met."""
        found = {key: tensor for key, tensor in modules.state_dict().items() if "met_I" not in key}
        return {key: tensor[met_I] if "rows_ID" in key else tensor for key, tensor in found.items()}

    before = {key: tensor.clone() for key, tensor in weights().items()}
    state = rows_state(system)
    assert float(state["step"]) == 1
    loss = modules.filter.loss
    monkeypatch.setattr(modules.filter, "loss", lambda *given: loss(*given) * math.nan)
    for step in range(1, 4):
        strategy.step(sampler.batch(step))
    assert system.guard.bad_step() is not None
    after = weights()
    assert all(torch.equal(after[key], tensor) for key, tensor in before.items())
    assert all(torch.equal(rows_state(system)[key], tensor) for key, tensor in state.items())


def test_a_checkpoint_with_dense_moments_is_taken_over() -> None:
    """Version 0.1 wrote such: there was no other rule."""
    dense, touched = pair(torch.float64)
    items, before = torch.tensor([6, 0, 3]), dense.rows_ID.detach().clone()
    old, new = (ScheduledAdam([], NOAM, vectors) for vectors in (dense, touched))
    for adam, vectors in ((old, dense), (old, dense), (new, touched), (old, dense)):
        if adam is new:
            new.load_state_dict(old.state_dict())
            with torch.no_grad():
                touched.rows_ID.copy_(dense.rows_ID)
        vectors(items).square().sum().backward()
        adam.step()
    assert torch.allclose(dense.rows_ID, touched.rows_ID, rtol=0, atol=1e-12)
    assert not torch.equal(dense.rows_ID, before)


@pytest.mark.parametrize("name", NAMES)
def test_the_rule_follows_from_the_size_and_from_nothing_else(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert building.DENSE_NUMBERS == 2**24
    for most, touched_only in ((ITEMS * WIDTH, False), (ITEMS * WIDTH - 1, True)):
        monkeypatch.setattr(building, "DENSE_NUMBERS", most)
        system, modules = built(name, "auto")
        free = free_of(modules)
        assert free.touched_only is touched_only
        dense = [parameter is free.rows_ID for parameter in system.filter_optimizer.parameters]
        assert any(dense) is not touched_only
        assert not any(parameter is free.rows_ID for parameter in system.encoder_optimizer.parameters)
        for rule in ("dense", "touched"):
            assert free_of(built(name, rule)[1]).touched_only is (rule == "touched")
