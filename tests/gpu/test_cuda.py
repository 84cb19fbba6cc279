"""Everything that runs on a CPU runs on CUDA: exactness, bf16, event timing, planning, a whole run."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from cuda_waits import marked_waits_only, sync_mode
from tiny_systems import (
    HEADS,
    LR,
    QUERY,
    VOCABULARY,
    WIDTH,
    encoder_spec,
    news_sampler,
    ragged_tokens,
    random_part,
    tiny_data,
    widen,
)
from torch import Tensor, nn

import grambench
from grambench.config.networks import Filter
from grambench.config.optimizer import Optimizer
from grambench.config.spec import MultiStep as MultiStepSpec
from grambench.config.spec import Spec, Training
from grambench.domains.news.sampler import NewsSampler
from grambench.models.encoders.buckets import ItemEncoder
from grambench.models.encoders.free import free_vectors
from grambench.models.encoders.load import load_encoder
from grambench.models.encoders.tokens import ItemTokens
from grambench.models.filters.nrms import NRMS
from grambench.training.memory_plan import plan_graphs
from grambench.training.optim import ScheduledAdam
from grambench.training.phases import System
from grambench.training.strategies import EndToEnd, EndToEndUnique, SingleStep, make_strategy
from grambench.training.system import Modules, build_system
from grambench.training.timing import TrainClock
from grambench.transfer import read

pytestmark = pytest.mark.gpu

CHECKOUT = Path(grambench.__file__).parents[1]
BUILD: dict[str, Callable[[System], object]] = {
    "e2e in micro-batches": lambda system: EndToEnd(system, 4),
    "e2e-unique": EndToEndUnique,
    "gram-1s": SingleStep,
    "gram-1s in chunks": lambda system: SingleStep(system, 5),
}


@pytest.fixture(scope="module")
def first_device() -> torch.device:
    """The first CUDA device."""
    if not torch.cuda.is_available():
        pytest.skip(f"torch {torch.__version__} sees no CUDA device")
    return torch.device("cuda", 0)


@pytest.fixture(autouse=True)
def device(first_device: torch.device) -> Iterator[torch.device]:
    """The same; afterwards the check for waits is as it was before."""
    with sync_mode("default"):
        yield first_device


def system_on(device: torch.device, dtype: torch.dtype = torch.float32, autocast: bool = False) -> System:
    """The tiny system of the other tests, on a device."""
    torch.manual_seed(0)
    encoder = load_encoder(encoder_spec(), VOCABULARY, autocast=autocast).to(dtype)
    user_model = NRMS(WIDTH, HEADS, QUERY).to(dtype)
    for module in (encoder, user_model):
        widen(module)
        module.to(device).train()
    return System(
        ItemEncoder(encoder, ItemTokens(*ragged_tokens(), device), 128),
        user_model,
        ScheduledAdam(encoder.parameters(), Optimizer(lr=LR)),
        ScheduledAdam(user_model.parameters(), Optimizer(lr=LR)),
        TrainClock(device),
    )


def gradients(system: System, strategy: object, device: torch.device) -> dict[str, Tensor]:
    """The gradients of the first batch by module, as one vector each; they are dropped."""
    strategy.gradients(news_sampler(random_part(), device=device).batch(0))  # type: ignore[attr-defined]
    return {"encoder": taken(system.encode.encoder), "filter": taken(system.filter)}


def taken(module: nn.Module) -> Tensor:
    found = [torch.zeros_like(p) if p.grad is None else p.grad for p in module.parameters()]
    module.zero_grad(set_to_none=True)
    return torch.cat([gradient.double().flatten() for gradient in found])


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-4)])
@pytest.mark.parametrize("name", BUILD)
def test_exact_strategies_have_the_gradient_of_e2e(
    name: str, dtype: torch.dtype, tolerance: float, device: torch.device
) -> None:
    system = system_on(device, dtype)
    wanted = gradients(system, EndToEnd(system, 6), device)
    found = gradients(system, BUILD[name](system), device)
    for module, gradient in wanted.items():
        scale = float(gradient.abs().max())
        assert scale > 1e-4
        assert float((found[module] - gradient).abs().max()) <= tolerance * max(scale, 1.0), module


def test_the_device_finds_the_gradient_that_the_cpu_finds(device: torch.device) -> None:
    system, on_cpu = system_on(device, torch.float64), system_on(torch.device("cpu"), torch.float64)
    found = gradients(system, SingleStep(system), device)
    wanted = gradients(on_cpu, SingleStep(on_cpu), torch.device("cpu"))
    for module, gradient in wanted.items():
        assert torch.allclose(found[module].cpu(), gradient, rtol=0, atol=1e-9)


def test_data_kept_on_the_host_give_the_same_batches_and_vectors(device: torch.device) -> None:
    part, items = random_part(), np.arange(12)
    here = news_sampler(part, device=device)
    there = news_sampler(part, device=device, resident=False)
    for step in range(here.total_steps):
        wanted, found = here.batch(step), there.batch(step)
        assert found.history_BH.device.type == "cuda"
        assert torch.equal(found.candidates_BC, wanted.candidates_BC)
        assert torch.equal(found.history_BH, wanted.history_BH)
        assert found.unique().host_items_N.tolist() == wanted.unique().host_items_N.tolist()
    system = system_on(device, torch.float64)
    vectors = system.encode(items)
    system.encode.tokens = ItemTokens(*ragged_tokens(), device, resident=False)
    assert torch.allclose(system.encode(items), vectors, atol=1e-12)


def test_check_for_waits_sees_one(device: torch.device) -> None:
    """Or the tests below would see nothing."""
    values = torch.ones(2, device=device)
    with marked_waits_only():
        with pytest.raises(RuntimeError, match="synchronizing"):
            float(values.sum())
        assert read(values).tolist() == [1, 1]


@pytest.mark.parametrize("name", ["e2e", "gram-1s", "gram-3s", "gram-1e", "gram-auto"])
def test_host_waits_at_marked_points_only(name: str, device: torch.device) -> None:
    system, sampler = system_on(device), news_sampler(random_part(), device=device)
    assert_waits_are_marked(name, system, sampler)


@pytest.mark.parametrize("name", ["nocontent", "crcf-1s", "crcf-1e"])
def test_host_waits_at_marked_points_only_where_rows_are_free(name: str, device: torch.device) -> None:
    system, _ = free_system(name, device, torch.float32)
    assert_waits_are_marked(name, system, news_sampler(random_part(), device=device))


def assert_waits_are_marked(name: str, system: System, sampler: NewsSampler) -> None:
    spec = Spec(multi_step=MultiStepSpec(encoder_batch=8), gram_auto={"floor": 3})
    strategy = make_strategy(name, system, sampler, spec=spec, micro_batch=4, encoder_chunk=None, seed=0)
    strategy.step(sampler.batch(0))  # Adam makes its state in the first step
    with marked_waits_only():
        for step in range(1, sampler.total_steps):
            strategy.step(sampler.batch(step))


def free_system(name: str, device: torch.device, dtype: torch.dtype) -> tuple[System, Modules]:
    """A baseline whose free rows are updated where they are touched."""
    spec = Spec(
        encoder=encoder_spec(),
        filter=Filter(nrms={"heads": HEADS, "query": QUERY}),
        filter_optimizer=Optimizer(lr=0.01),
        training=Training(free_rows="touched"),
    )
    return build_system(spec, tiny_data(), device, seed=0, strategy=name, dtype=dtype)


def rows_of(modules: Modules) -> Tensor:
    """The free rows as they are now."""
    free = free_vectors(modules.encoder)
    assert free is not None
    return free.rows_ID.detach().clone()


@pytest.mark.parametrize("name", ["nocontent", "crcf-1s"])
def test_touched_rows_move_as_on_the_cpu(name: str, device: torch.device) -> None:
    moved = []
    for place in (device, torch.device("cpu")):
        system, modules = free_system(name, place, torch.float64)
        sampler = news_sampler(random_part(), device=place)
        strategy = make_strategy(
            name, system, sampler, spec=Spec(), micro_batch=4, encoder_chunk=None, seed=0
        )
        before = rows_of(modules)
        for step in range(3):
            strategy.step(sampler.batch(step))
        moved.append((rows_of(modules) - before).cpu())
    assert torch.allclose(*moved, rtol=0, atol=1e-8)
    assert float(moved[1].abs().max()) > 1e-3


def test_bad_loss_changes_no_touched_row(device: torch.device, monkeypatch: pytest.MonkeyPatch) -> None:
    system, modules = free_system("nocontent", device, torch.float32)
    sampler, strategy = news_sampler(random_part(), device=device), SingleStep(system)
    strategy.step(sampler.batch(0))
    before, loss = rows_of(modules), modules.filter.loss
    monkeypatch.setattr(modules.filter, "loss", lambda *given: loss(*given) * float("nan"))
    strategy.step(sampler.batch(1))
    assert torch.equal(rows_of(modules), before)
    assert system.guard.bad_step() is not None


def test_bf16_autocast_gives_vectors_in_fp32_near_those_without(device: torch.device) -> None:
    if not torch.cuda.is_bf16_supported(including_emulation=False):
        pytest.skip("the device has no bf16")
    items = np.arange(12)
    rounded, exact = system_on(device, autocast=True).encode(items), system_on(device).encode(items)
    assert rounded.dtype == torch.float32
    assert torch.isfinite(rounded).all()
    assert not torch.equal(rounded, exact)
    assert float((rounded - exact).detach().norm() / exact.detach().norm()) < 0.1


@pytest.mark.parametrize("name", ["e2e", "e2e-unique", "gram-1s", "gram-2s", "gram-1e"])
@pytest.mark.parametrize("autocast", [False, True])
def test_every_family_trains_and_its_clock_counts_the_encoder(
    name: str, autocast: bool, device: torch.device
) -> None:
    system, sampler = system_on(device, autocast=autocast), news_sampler(random_part(), device=device)
    multi_step = MultiStepSpec(encoder_batch=8)
    strategy = make_strategy(
        name, system, sampler, spec=Spec(multi_step=multi_step), micro_batch=4, encoder_chunk=7, seed=0
    )
    strategy.warm_up(sampler.batch(0))
    assert system.clock.read() == (0.0, 0.0)
    before = [p.detach().clone() for p in system.encode.encoder.parameters()]
    system.clock.start()
    for step in range(sampler.steps_per_epoch):
        assert torch.isfinite(strategy.step(sampler.batch(step)).loss)
    system.clock.stop()
    train_s, encode_s = system.clock.read()
    assert 0 < encode_s <= train_s
    after = list(system.encode.encoder.parameters())
    assert any(not torch.equal(old, new) for old, new in zip(before, after, strict=True))
    assert all(parameter.dtype == torch.float32 for parameter in after)


def test_graphs_are_planned_for_the_free_memory_of_the_device(device: torch.device) -> None:
    system, batch = system_on(device), news_sampler(random_part(), device=device).batch(0)
    roomy = plan_graphs(system, batch, Training(), device)
    assert (roomy.micro_batch, roomy.encoder_chunk) == (batch.users, None)
    tight = plan_graphs(system, batch, Training(memory_share=1e-9), device)
    assert (tight.micro_batch, tight.encoder_chunk) == (1, 1)
    assert all(p.grad is None for p in system.encode.encoder.parameters())


@pytest.fixture(scope="module")
def ended_run(
    first_device: torch.device, tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[str, Any], str]:
    """The report of a run on the device, and the supervisor's log."""
    assert first_device.index == 0  # the one that `--device cuda` means
    folder = tmp_path_factory.mktemp("run")
    preset, out = folder / "tiny.toml", folder / "runs"
    preset.write_text(
        'extends = "demo"\n'
        "data.synthetic = { news = 200, users = 200, train_impressions = 600, dev_impressions = 60 }\n"
        "training = { epochs = 20, patience = 20, batch_size = 32 }\n"
    )
    options = (
        "--strategies",
        "e2e,gram-1s,gram-1e",
        "--device",
        "cuda",
        "--foreground",
        "--json",
        "--out",
        out,
    )
    path = os.pathsep.join(filter(None, (str(CHECKOUT), os.environ.get("PYTHONPATH"))))
    ended = subprocess.run(
        [sys.executable, "-P", "-m", "grambench", "run", "--preset", preset, *options],
        env={**os.environ, "GRAMBENCH_CACHE": str(folder / "cache"), "PYTHONPATH": path},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=380,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    log = next(out.glob("*/supervisor.jsonl"))
    return json.loads(ended.stdout), log.read_text()


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_run_on_the_device_trains_there(ended_run: tuple[dict[str, Any], str]) -> None:
    report, _ = ended_run
    assert report["audit"]["equivalent"]
    assert len(report["trials"]) == 3
    for trial in report["trials"]:
        assert trial["outcome"] in ("completed", "early-stopped")
        assert trial["worker"]["device"] == "cuda:0"
        assert trial["worker"]["gpu_uuid"].startswith(("GPU-", "MIG-"))
        memory = trial["memory"]
        assert 0 < memory["torch_peak_allocated_bytes"] <= memory["torch_peak_reserved_bytes"]
        assert 0 < trial["times"]["encoder_s"] <= trial["times"]["train_s"]
        for name in ("nvml_device_peak_bytes", "nvml_process_peak_bytes"):
            assert memory[name] is not None or memory["reasons"][name]
        assert trial["energy"]["joules"] is not None or trial["energy"]["reasons"]["joules"]
    first, second = (trial["validations"][0]["auc"] for trial in report["trials"][:2])
    assert first == pytest.approx(second, abs=0.05)  # bf16: equal up to rounding only


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_run_reports_what_nvml_saw(ended_run: tuple[dict[str, Any], str]) -> None:
    report, log = ended_run
    host = report["environment"]["host"]
    if not host["gpus"]:
        pytest.skip(f"NVML shows no GPU: {host['reasons']['gpus']}")
    assert all(gpu["uuid"].startswith("GPU-") for gpu in host["gpus"])
    if any(trial["worker"]["gpu_uuid"].startswith("MIG-") for trial in report["trials"]):
        pytest.skip("NVML is asked for whole GPUs, and the run had a part of one")
    assert any(trial["memory"]["nvml_device_peak_bytes"] for trial in report["trials"])
    assert any(json.loads(line).get("type") == "gpu_sample" for line in log.splitlines())
