"""The method as a library, against plain autograd and against grambench's own strategies."""

import ast
import copy
import re
import subprocess
import sys
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_systems import ITEMS, WIDTH, Tiny, assert_same, news_sampler, random_part, tiny_system
from torch import Tensor, nn
from torch.nn import functional

import grambench
from grambench import Hooks, ItemTable, MultiStep, Optimizers, SingleStep
from grambench.config.spec import MultiStep as MultiStepSpec
from grambench.config.spec import Spec
from grambench.data.batches import counter
from grambench.training.strategies import make_strategy

USERS, CLICKS, CANDIDATES = 6, 4, 3
CATALOGUE, FEATURES, D = 30, 5, 4
OPTIMIZERS = {
    "adam": lambda parameters: torch.optim.Adam(parameters, lr=1e-2),
    "sgd": lambda parameters: torch.optim.SGD(parameters, lr=0.1, momentum=0.9),
    "adamw": lambda parameters: torch.optim.AdamW(parameters, lr=1e-2, weight_decay=0.1),
}


class World:
    """A tanh encoder of item features and a linear filter, in float64."""

    def __init__(self, dropout: float = 0.0) -> None:
        torch.manual_seed(0)
        self.features = torch.randn(CATALOGUE, FEATURES, dtype=torch.float64)
        self.encoder = nn.Sequential(nn.Linear(FEATURES, D), nn.Tanh(), nn.Dropout(dropout)).double()
        self.filter = nn.Linear(D, D).double()
        self.encoded: list[tuple[int, bool]] = []

    def encode(self, items_N: Tensor) -> Tensor:
        self.encoded.append((len(items_N), torch.is_grad_enabled()))
        return self.encoder(self.features[items_N])

    def loss(self, vectors_BKD: Tensor, clicked_B: Tensor) -> Tensor:
        history_BHD, candidates_BCD = vectors_BKD.split([CLICKS, CANDIDATES], dim=1)
        scores_BC = torch.einsum("bd,bcd->bc", self.filter(history_BHD).mean(dim=1), candidates_BCD)
        return functional.cross_entropy(scores_BC, clicked_B, reduction="sum")

    def optimizers(self, name: str = "adam") -> Optimizers:
        make = OPTIMIZERS[name]
        return Optimizers(make(self.encoder.parameters()), make(self.filter.parameters()))

    def weights(self) -> list[Tensor]:
        return [p.detach().clone() for p in (*self.encoder.parameters(), *self.filter.parameters())]

    def gradients(self) -> list[Tensor]:
        return [p.grad.clone() for p in (*self.encoder.parameters(), *self.filter.parameters())]


def batches(count: int = 6) -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(1)
    shape = (USERS, CLICKS + CANDIDATES)
    return [
        (
            torch.randint(CATALOGUE, shape, generator=generator),
            torch.randint(CANDIDATES, (USERS,), generator=generator),
        )
        for _ in range(count)
    ]


def close(found: list[Tensor], wanted: list[Tensor]) -> bool:
    return all(float((a - b).abs().max()) < 1e-10 for a, b in zip(found, wanted, strict=True))


@pytest.mark.parametrize("chunk", [None, 7])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_single_step_is_plain_training_with_each_item_encoded_once(optimizer: str, chunk: int | None) -> None:
    world, plain = World(), World()
    method = SingleStep(world.encode, world.loss, world.optimizers(optimizer), chunk)
    optimizers = plain.optimizers(optimizer)
    start = world.weights()
    for items_BK, clicked_B in batches():
        world.encoded.clear()
        found = method.step(items_BK, clicked_B, USERS)
        loss = plain.loss(plain.encode(items_BK.flatten()).view(*items_BK.shape, D), clicked_B)
        (loss / USERS).backward()
        for each in optimizers:
            each.step()
            each.zero_grad()
        assert float(found) == pytest.approx(loss.item(), abs=1e-10)
        unique = len(items_BK.unique())
        assert sum(count for count, graph in world.encoded if graph) == unique
        assert sum(count for count, graph in world.encoded if not graph) == (unique if chunk else 0)
        assert max(count for count, graph in world.encoded if graph) <= (chunk or unique)
    assert close(world.weights(), plain.weights())
    assert not close(world.weights(), start)


def test_parts_of_a_batch_add_up_to_its_gradient() -> None:
    """The divisor is that of the whole batch, so that micro-batches, or ranks, only have to be summed."""
    whole, parts = World(), World()
    items_BK, clicked_B = batches(1)[0]
    SingleStep(whole.encode, whole.loss, whole.optimizers()).gradients(items_BK, clicked_B, USERS)
    method = SingleStep(parts.encode, parts.loss, parts.optimizers())
    for rows in (slice(0, 1), slice(1, USERS)):
        method.gradients(items_BK[rows], clicked_B[rows], USERS)
    assert close(parts.gradients(), whole.gradients())


def test_chunks_draw_the_dropout_of_one_pass_and_leave_the_generator_behind_it() -> None:
    world, plain = World(dropout=0.5), World(dropout=0.5)
    items_BK, clicked_B = batches(1)[0]
    items_U, place = items_BK.unique(return_inverse=True)
    torch.manual_seed(3)
    vectors_UD = torch.cat([plain.encode(part) for part in items_U.split(7)])
    (plain.loss(vectors_UD[place], clicked_B) / USERS).backward()
    after = torch.get_rng_state()
    torch.manual_seed(3)
    SingleStep(world.encode, world.loss, world.optimizers(), 7).gradients(items_BK, clicked_B, USERS)
    assert close(world.gradients(), plain.gradients())
    assert torch.equal(torch.get_rng_state(), after)


def of_a_run(tiny: Tiny) -> tuple[Callable[[Tensor], Tensor], Callable[[Tensor, Any], Tensor], Optimizers]:
    """A tiny system's encoder, its loss over occurrences, and torch's own Adam."""

    def encode(items_N: Tensor) -> Tensor:
        return tiny.system.encode(items_N.numpy())

    def loss(vectors_ND: Tensor, batch: Any) -> Tensor:
        return tiny.filter.loss(vectors_ND, batch.occurrences())

    adams = [torch.optim.Adam(m.parameters(), lr=1e-3, fused=True) for m in (tiny.encoder, tiny.filter)]
    return encode, loss, Optimizers(*adams)


@pytest.mark.parametrize("chunk", [None, 7])
def test_single_step_is_the_strategy_of_that_name(chunk: int | None) -> None:
    sampler, library, run = news_sampler(random_part()), tiny_system(), tiny_system()
    method = SingleStep(*of_a_run(library), chunk)
    strategy = make_strategy(
        "gram-1s", run.system, sampler, spec=Spec(), micro_batch=1, encoder_chunk=chunk, seed=0
    )
    for step in range(sampler.steps_per_epoch):
        batch = sampler.batch(step)
        found = method.step(batch.occurrences().items_N, batch, batch.users)
        assert float(found) == pytest.approx(float(strategy.step(batch).loss), abs=1e-10)
    assert_same(library.parameters(), run.parameters())


@pytest.mark.parametrize("rule", ["adagrad", "sgd"])
def test_multi_step_is_the_strategy_of_that_name(rule: str) -> None:
    """Through an epoch's end in mid-window, with the accumulators of the table reset there."""
    sampler, library, run = news_sampler(random_part(), batch_size=8), tiny_system(), tiny_system()
    seed, windows = 11, iter(range(100))

    def order(count: int) -> Tensor:
        return counter.permutation(
            counter.key(seed, counter.Purpose.WINDOW_END, next(windows), 0), count, torch.device("cpu")
        )

    table = ItemTable(ITEMS, WIDTH, rule, lr=0.1, dtype=torch.float64)
    method = MultiStep(*of_a_run(library), table, steps=2, encoder_batch=7, order=order)
    spec = MultiStepSpec(table_optimizer=rule, table_lr=0.1, encoder_batch=7)
    strategy = make_strategy(
        "gram-2s",
        run.system,
        sampler,
        spec=Spec(multi_step=spec),
        micro_batch=1,
        encoder_chunk=None,
        seed=seed,
    )
    assert sampler.steps_per_epoch % method.steps == 1
    for step in range(sampler.total_steps):
        batch = sampler.batch(step)
        if step % sampler.steps_per_epoch == 0:
            table.begin_epoch()
        found = method.step(batch.occurrences().items_N, batch, batch.users)
        assert float(found) == pytest.approx(float(strategy.step(batch).loss), abs=1e-10)
        if batch.ends_epoch:
            assert method.close() is not None
    assert method.close() is None
    assert_same(library.parameters(), run.parameters())


def test_a_window_that_is_resumed_ends_as_if_it_had_gone_on() -> None:
    def method_of(world: World) -> MultiStep:
        table = ItemTable(CATALOGUE, D, dtype=torch.float64)
        return MultiStep(
            world.encode, world.loss, world.optimizers("sgd"), table, steps=3, order=torch.arange
        )

    world, again = World(), World()
    method = method_of(world)
    first, *rest = batches(3)
    method.step(*first, USERS)
    kept = copy.deepcopy(
        (method.state_dict(), world.filter.state_dict(), method.optimizers.filter.state_dict())
    )
    resumed = method_of(again)
    resumed.load_state_dict(kept[0])
    again.filter.load_state_dict(kept[1])
    resumed.optimizers.filter.load_state_dict(kept[2])
    for items_BK, clicked_B in rest:
        method.step(items_BK, clicked_B, USERS)
        resumed.step(items_BK, clicked_B, USERS)
    assert method.taken == resumed.taken == 0
    assert all(torch.equal(a, b) for a, b in zip(world.weights(), again.weights(), strict=True))


def test_hooks_see_every_pass_loss_and_item() -> None:
    world, inside, losses, items = World(), [], [], []

    @contextmanager
    def encoding() -> object:
        inside.append("in")
        yield
        inside.append("out")

    hooks = Hooks(encoding, lambda loss, gradient: losses.append((loss.item(), gradient)), items.append)
    (items_BK, clicked_B), (next_BK, next_B) = batches(2)
    SingleStep(world.encode, world.loss, world.optimizers(), hooks=hooks).step(items_BK, clicked_B, USERS)
    assert inside == ["in", "out"] * 2
    assert items == [len(items_BK.unique())]
    assert losses[0][1].shape == (items[0], D)
    table = ItemTable(CATALOGUE, D, dtype=torch.float64)
    MultiStep(world.encode, world.loss, world.optimizers(), table, 1, hooks=hooks).step(
        next_BK, next_B, USERS
    )
    assert items[1:] == [len(next_BK.unique())] * 2  # once without a graph, once to follow
    assert [gradient is None for _, gradient in losses] == [False, False, True]


def test_mistakes_are_named() -> None:
    world = World()
    items_BK, clicked_B = batches(1)[0]
    wrong = SingleStep(lambda ids: world.encode(ids)[1:], world.loss, world.optimizers())
    with pytest.raises(ValueError, match=r"returned \[\d+, 4\] for \d+ ids: return one row for each id"):
        wrong.step(items_BK, clicked_B, USERS)
    frozen = SingleStep(torch.no_grad()(world.encode), world.loss, world.optimizers())
    with pytest.raises(ValueError, match="vectors without a graph: leave gradients on"):
        frozen.step(items_BK, clicked_B, USERS)
    deaf = SingleStep(world.encode, lambda _vectors, _batch: world.filter.weight.sum(), world.optimizers())
    with pytest.raises(ValueError, match="does not depend on the item vectors"):
        deaf.step(items_BK, clicked_B, USERS)
    with pytest.raises(ValueError, match="Unknown table rule 'adam': use 'adagrad' or 'sgd'"):
        ItemTable(CATALOGUE, D, "adam")
    with pytest.raises(ValueError, match="A window of 0 steps"):
        MultiStep(world.encode, world.loss, world.optimizers(), ItemTable(CATALOGUE, D), 0)


def test_public_names_are_documented_and_cost_no_torch_until_used() -> None:
    assert set(grambench.__all__) >= {"SingleStep", "MultiStep", "ItemTable", "Optimizers", "Hooks"}
    for name in set(grambench.__all__) - {"__version__"}:
        assert len(getattr(grambench, name).__doc__) > 40
    code = "import grambench, sys; print('torch' in sys.modules)"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout == "False\n"
    with pytest.raises(AttributeError, match="has no attribute 'EndToEnd'"):
        _ = grambench.EndToEnd


def test_every_backward_pass_of_the_package_goes_through_the_method() -> None:
    package = Path(grambench.__file__).parent
    calls = [
        f"{path.relative_to(package)}:{node.lineno}"
        for path in package.rglob("*.py")
        if re.search(r"\.(backward|grad)\(", text := path.read_text())
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Call) and getattr(node.func, "attr", "") in ("backward", "grad")
    ]
    places = sorted(call.partition(":")[0] for call in calls)
    # cut.py asks autograd which weights a state depends on, once, and trains nothing
    assert places == ["gram.py", "gram.py", *["models/encoders/cut.py"] * 2], calls
