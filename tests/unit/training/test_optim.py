"""Adam with a schedule: the rates of the Noam formula, and gradients that are dropped."""

import pytest
import torch
from torch import nn

from grambench.config.optimizer import Optimizer
from grambench.training.optim import ScheduledAdam


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
