"""Adam and AdamW: the rates of the Noam formula, weight decay, clipping, and gradients that are dropped."""

import math
from typing import Any

import pytest
import torch
from torch import nn

from grambench.config.optimizer import Optimizer, RowOptimizer
from grambench.models.encoders.free import FreeVectors
from grambench.training.guard import NonFiniteGuard
from grambench.training.optim import ScheduledAdam, decaying

CPU = torch.device("cpu")


def rates(spec: Optimizer, steps: int) -> list[float]:
    parameter = nn.Parameter(torch.zeros(2))
    adam = ScheduledAdam([parameter], spec)
    found = []
    for _ in range(steps):
        parameter.grad = torch.ones(2)
        found.append(adam.rate())
        adam.step()
    return found


def test_noam_rises_to_its_peak_and_falls_with_the_inverse_square_root() -> None:
    found = rates(Optimizer(lr=1e-3, schedule="noam", warmup_steps=4), 16)
    assert found[:4] == pytest.approx([0.25e-3, 0.5e-3, 0.75e-3, 1e-3])
    assert found[4] == pytest.approx(1e-3 * (4 / 5) ** 0.5)
    assert found[15] == pytest.approx(0.5e-3)
    assert max(found) == found[3]


def test_noam_is_the_published_formula_up_to_a_factor() -> None:
    """Vaswani et al. (2017), eq. 3: d^-0.5 · min(step^-0.5, step · warmup^-1.5)."""
    found = rates(Optimizer(lr=1.0, schedule="noam", warmup_steps=40), 100)
    published = [min(step**-0.5, step * 40**-1.5) for step in range(1, 101)]
    factors = [a / b for a, b in zip(found, published, strict=True)]
    assert factors == pytest.approx([40**0.5] * 100)


def test_constant_rate_stays() -> None:
    assert rates(Optimizer(lr=0.5), 5) == [0.5] * 5


def test_rate_of_the_schedule_reaches_the_parameters() -> None:
    """Adam's first step has the length of its rate, whatever the gradient."""
    parameter = nn.Parameter(torch.zeros(1, dtype=torch.float64))
    adam = ScheduledAdam([parameter], Optimizer(lr=1e-2, schedule="noam", warmup_steps=4))
    parameter.grad = torch.full((1,), 37.0, dtype=torch.float64)
    adam.step()
    assert float(parameter.detach()) == pytest.approx(-0.25e-2, rel=1e-6)


def test_updates_are_those_of_torch_s_adam() -> None:
    torch.manual_seed(0)
    ours, theirs = nn.Linear(3, 2).double(), nn.Linear(3, 2).double()
    theirs.load_state_dict(ours.state_dict())
    adam, reference = (
        ScheduledAdam(ours.parameters(), Optimizer(lr=1e-2)),
        torch.optim.Adam(theirs.parameters(), 1e-2),
    )
    for _ in range(5):
        inputs = torch.randn(4, 3, dtype=torch.float64)
        for model in (ours, theirs):
            model(inputs).square().sum().backward()
        adam.step()
        reference.step()
        reference.zero_grad()
    assert torch.allclose(ours.weight, theirs.weight, atol=1e-12)
    assert adam.steps == 5


def test_step_drops_the_gradients() -> None:
    parameter = nn.Parameter(torch.zeros(2))
    adam = ScheduledAdam([parameter], Optimizer())
    parameter.grad = torch.ones(2)
    adam.step()
    assert parameter.grad is None


def test_restored_moments_keep_their_addresses_for_graphs() -> None:
    parameter = nn.Parameter(torch.zeros(3))
    adam = ScheduledAdam([parameter], Optimizer(lr=0.1))
    adam.make_capturable(torch.device("cpu"))
    fresh = [tensor.data_ptr() for tensor in adam.touched()]
    parameter.grad = torch.ones(3)
    adam.step()
    state = {name: tensor.clone() for name, tensor in adam.state_dict().items()}
    parameter.grad = torch.full((3,), 5.0)
    adam.step()
    adam.load_state_dict(state)
    assert [tensor.data_ptr() for tensor in adam.touched()] == fresh
    assert all(torch.equal(adam.state_dict()[name], tensor) for name, tensor in state.items())


@pytest.mark.parametrize("capturable", [False, True])
def test_without_weight_decay_an_update_is_bit_equal_to_adam_s(capturable: bool) -> None:
    """Also where the guard skips one, and with tensors that were allocated beforehand."""
    torch.manual_seed(0)
    ours, theirs = nn.Linear(5, 3), nn.Linear(5, 3)
    theirs.load_state_dict(ours.state_dict())
    adam = ScheduledAdam(ours.parameters(), Optimizer(lr=1e-2), decayed=decaying(ours))
    guard = NonFiniteGuard(CPU)
    reference: Any = torch.optim.Adam(theirs.parameters(), lr=1e-2, fused=True)
    reference.found_inf = torch.zeros(())
    adam.attach_guard(guard)
    if capturable:
        adam.make_capturable(CPU)
    for step in range(5):
        for found in (guard.found, reference.found_inf):
            found.fill_(step == 2)
        inputs = torch.randn(4, 5)
        for model in (ours, theirs):
            model(inputs).square().sum().backward()
        adam.step()
        reference.step()
        reference.zero_grad()
    for number, (mine, other) in enumerate(zip(ours.parameters(), theirs.parameters(), strict=True)):
        assert torch.equal(mine, other)
        for name, moment in reference.state[other].items():
            assert torch.equal(adam.state_dict()[f"{number}.{name}"], moment)


def test_weight_decay_is_decoupled_and_of_matrices_alone() -> None:
    """θ ← θ − lr λ θ − lr m̂ / (√v̂ + ε): after one step Adam's part is lr · sign(g)."""
    model, (lr, decay) = nn.Linear(3, 2).double(), (0.1, 0.5)
    before = [parameter.detach().clone() for parameter in model.parameters()]
    adam = ScheduledAdam(model.parameters(), Optimizer(lr=lr, weight_decay=decay), decayed=decaying(model))
    for parameter in model.parameters():
        parameter.grad = torch.full_like(parameter, 7.0)
    adam.step()
    weight, bias = model.parameters()
    assert torch.allclose(weight, before[0] * (1 - lr * decay) - lr, atol=1e-8)
    assert torch.allclose(bias, before[1] - lr, atol=1e-8)


def test_norms_of_other_names_gates_and_free_rows_do_not_decay() -> None:
    class Rescale(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight, self.gate = nn.Parameter(torch.ones(4)), nn.Parameter(torch.zeros(()))
            self.up = nn.Parameter(torch.ones(1, 4))  # as LoRA's of rank 1

    own = Rescale()
    module = nn.Sequential(own, nn.RMSNorm(4), nn.LayerNorm((2, 2)), FreeVectors(3, 4))
    assert decaying(module) == {own.up}


def test_a_checkpoint_without_decay_is_taken_over_with_it() -> None:
    """Moments are numbered by parameter, whatever group it is in."""
    old, new = nn.Linear(3, 2), nn.Linear(3, 2)
    plain = ScheduledAdam(old.parameters(), Optimizer())
    other = ScheduledAdam(new.parameters(), Optimizer(weight_decay=0.1), decayed=decaying(new))
    old(torch.ones(1, 3)).sum().backward()
    plain.step()
    other.load_state_dict(plain.state_dict())
    assert other.state_dict().keys() == plain.state_dict().keys()
    assert all(torch.equal(other.state_dict()[name], kept) for name, kept in plain.state_dict().items())


def test_a_gradient_is_scaled_down_to_the_norm_over_all_weights_of_a_module() -> None:
    one, two = nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(1))
    adam = ScheduledAdam([one, two], Optimizer(lr=0.1, clip_norm=1.0))
    norms = []
    for scale in (1.0, 0.01):
        one.grad, two.grad = torch.tensor([2.0, 4.0]) * scale, torch.tensor([4.0]) * scale  # of length 6
        adam.clip()
        adam.clip()  # of an update that was clipped before
        norms.append(math.hypot(*one.grad.tolist(), *two.grad.tolist()))
        if scale == 0.01:
            assert torch.equal(one.grad, torch.tensor([2.0, 4.0]) * scale)
        adam.step()
    assert norms == pytest.approx([6 / (6 + 1e-6), 0.06], rel=1e-6)
    assert adam.clipped() == pytest.approx((0.5, 3.03))
    assert ScheduledAdam([one], Optimizer()).clipped() == (None, None)


@pytest.mark.parametrize("touched_only", [False, True])
def test_free_rows_are_clipped_apart_and_do_not_shrink_the_filter_s_gradient(touched_only: bool) -> None:
    rows, weight = FreeVectors(5, 2, touched_only).double(), nn.Parameter(torch.zeros(1, dtype=torch.float64))
    free_spec = RowOptimizer(lr=0.1, clip_norm=2.0)
    adam = ScheduledAdam([weight], Optimizer(lr=0.1, clip_norm=3.0), rows, free_spec)
    weight.grad = torch.tensor([2.0], dtype=torch.float64)
    items, gradient = torch.tensor([3, 1, 3]), torch.tensor([[1.0, 0.0], [0.0, 8.0], [5.0, 0.0]]).double()
    rows(items).backward(gradient)
    adam.clip()
    assert weight.grad.tolist() == [2.0]
    wanted = torch.zeros(5, 2).double().index_add_(0, items, gradient) * 2.0 / (10 + 1e-6)
    found = rows.rows_ID.grad
    if touched_only:
        found = torch.zeros(5, 2).double()
        for ids, part in rows.row_gradients:
            found.index_add_(0, ids, part)
    assert torch.allclose(found, wanted, rtol=0, atol=1e-12)
