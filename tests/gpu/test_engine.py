"""What only CUDA can show of the engine: graphs that replay plain steps, packed rows, attention."""

import dataclasses
import warnings
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from cuda_waits import marked_waits_only, sync_mode
from tiny_systems import (
    CPU,
    answer_sampler,
    encoder_spec,
    news_sampler,
    random_part,
    random_sequences,
    tiny_data,
)

from grambench.config.networks import Filter
from grambench.config.spec import Engine, MultiStep, Spec
from grambench.models.attention import attention_in_use, choose_attention
from grambench.training.phases import System
from grambench.training.protocols import Strategy
from grambench.training.strategies import make_strategy
from grambench.training.system import build_system
from grambench.worker.planning import use_graphs

pytestmark = pytest.mark.gpu
KINDS = ("cudnn", "flash", "mem_efficient", "math")
NAMES = ("gram-1s", "gram-2s", "gram-1e", "gram-auto")


@pytest.fixture(autouse=True)
def device() -> Iterator[torch.device]:
    """The first CUDA device; afterwards torch's switches are as they were."""
    if not torch.cuda.is_available():
        pytest.skip(f"torch {torch.__version__} sees no CUDA device")
    switches = {kind: getattr(torch.backends.cuda, f"{kind}_sdp_enabled", None) for kind in KINDS}
    before = {kind: switch() for kind, switch in switches.items() if switch is not None}
    with sync_mode("default"):
        yield torch.device("cuda", 0)
    for kind, enabled in before.items():
        getattr(torch.backends.cuda, f"enable_{kind}_sdp")(enabled)


def driven(name: str, device: torch.device, dtype: torch.dtype, graphs: str) -> tuple[System, Strategy]:
    spec = Spec(
        encoder=encoder_spec(layout="packed"),
        filter=Filter(history=5, nrms={"heads": 4, "query": 8}),
        multi_step=MultiStep(encoder_batch=8),
        gram_auto={"floor": 2},
        engine=Engine(graphs=graphs),
    )
    choose_attention(device)
    system, modules = build_system(spec, tiny_data(), device, seed=3, dtype=dtype)
    use_graphs(spec, system, modules)
    sampler = news_sampler(random_part(), device=device)
    strategy = make_strategy(name, system, sampler, spec=spec, micro_batch=6, encoder_chunk=None, seed=3)
    strategy.warm_up(sampler.batch(0))
    return system, strategy


def losses(name: str, device: torch.device, dtype: torch.dtype, graphs: str) -> tuple[System, torch.Tensor]:
    system, strategy = driven(name, device, dtype, graphs)
    sampler = news_sampler(random_part(), device=device)
    found = [strategy.step(sampler.batch(step)).loss for step in range(sampler.total_steps)]
    return system, torch.stack(found)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-6), (torch.float32, 1e-3)])
@pytest.mark.parametrize("name", NAMES)
def test_graphs_replay_the_plain_steps(
    name: str, dtype: torch.dtype, tolerance: float, device: torch.device
) -> None:
    """The rate lies in fp32 on the device: that alone is a relative 6e-8 a step."""
    system, found = losses(name, device, dtype, "on")
    assert system.fixed.trouble == ""
    assert system.fixed._graphs, "nothing was captured"
    _, wanted = losses(name, device, dtype, "off")
    assert torch.allclose(found, wanted, rtol=tolerance)


@pytest.mark.parametrize("name", NAMES)
def test_replayed_steps_wait_at_marked_points_only(name: str, device: torch.device) -> None:
    system, strategy = driven(name, device, torch.float32, "on")
    sampler = news_sampler(random_part(), device=device)
    strategy.step(sampler.batch(0))
    with marked_waits_only():
        for step in range(1, sampler.steps_per_epoch - 1):
            strategy.step(sampler.batch(step))
    assert system.fixed.trouble == ""


def dropped(device: torch.device, graphs: str) -> tuple[System, torch.Tensor]:
    """Losses of two epochs of knowledge tracing with dropout in the LSTM."""
    tables = {"data": {"source": "tables"}, "encoder": encoder_spec(layout="packed")}
    spec = Spec(**tables, multi_step=MultiStep(encoder_batch=8), engine=Engine(graphs=graphs))
    choose_attention(device)
    data = tiny_data(domain="knowledge-tracing")
    data = dataclasses.replace(data, parts=dict.fromkeys(data.parts, random_sequences()))
    system, modules = build_system(spec, data, device, seed=3, dtype=torch.float64)
    use_graphs(spec, system, modules)
    sampler = answer_sampler(random_sequences(), device=device)
    made = make_strategy("gram-1e", system, sampler, spec=spec, micro_batch=6, encoder_chunk=None, seed=3)
    found = [made.step(sampler.batch(step)).loss for step in range(sampler.total_steps)]
    return system, torch.stack(found).cpu()


def test_dropout_by_counter_is_that_of_the_cpu_and_is_redrawn_by_graphs(device: torch.device) -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="RNN module weights")  # laid out otherwise than cuDNN's
        plain, graphs = dropped(device, "off"), dropped(device, "on")
    assert graphs[0].fixed.trouble == ""
    assert "step" in graphs[0].fixed._graphs
    _, wanted = dropped(CPU, "off")
    for _, found in (plain, graphs):
        assert torch.allclose(found, wanted, rtol=1e-6)


def test_packed_vectors_are_those_of_buckets(device: torch.device) -> None:
    made = [
        build_system(
            Spec(encoder=encoder_spec(layout=layout), filter=Filter(nrms={"heads": 4, "query": 8})),
            tiny_data(),
            device,
            seed=3,
            dtype=torch.float64,
        )[0]
        for layout in ("packed", "buckets")
    ]
    items = np.arange(40)
    assert torch.allclose(made[0].encode(items), made[1].encode(items), atol=1e-12)


@pytest.mark.parametrize("attention", ["efficient", "math"])
def test_attention_never_takes_cudnn(attention: str, device: torch.device) -> None:
    choose_attention(device, attention)
    assert attention_in_use(device, torch.bfloat16) in ("unknown", attention)
