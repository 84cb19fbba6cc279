"""Everything that runs on a CPU runs on CUDA: exactness, bf16, event timing, planning, a whole run."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
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
    widen,
)
from torch import Tensor, nn

from grambench import transfer
from grambench.config.spec import MultiStep as MultiStepSpec
from grambench.config.spec import Optimizer, Training
from grambench.models.encoders.buckets import ItemEncoder
from grambench.models.encoders.load import load_encoder
from grambench.models.encoders.tokens import ItemTokens
from grambench.models.filters.nrms import NRMS
from grambench.training.memory import plan_graphs
from grambench.training.optim import ScheduledAdam
from grambench.training.phases import System
from grambench.training.strategies import EndToEnd, EndToEndUnique, SingleStep, make_strategy
from grambench.training.timing import TrainClock

pytestmark = pytest.mark.gpu

BUILD: dict[str, Callable[[System], object]] = {
    "e2e in micro-batches": lambda system: EndToEnd(system, 4),
    "e2e-unique": EndToEndUnique,
    "gram-1s": SingleStep,
    "gram-1s in chunks": lambda system: SingleStep(system, 5),
}


@pytest.fixture(autouse=True)
def device() -> torch.device:
    """The first CUDA device."""
    if not torch.cuda.is_available():
        pytest.skip(f"torch {torch.__version__} sees no CUDA device")
    return torch.device("cuda", 0)


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


@pytest.mark.parametrize("name", ["e2e", "gram-1s", "gram-3s", "gram-1e", "gram-auto"])
def test_host_waits_at_marked_points_only(
    name: str, device: torch.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextmanager
    def quiet() -> Iterator[None]:
        before = torch.cuda.get_sync_debug_mode()
        torch.cuda.set_sync_debug_mode("default")
        try:
            yield
        finally:
            torch.cuda.set_sync_debug_mode(before)

    honest = transfer.host_reads
    for module_name, module in list(sys.modules.items()):
        if module_name.startswith("grambench") and vars(module).get("host_reads") is honest:
            monkeypatch.setattr(module, "host_reads", quiet)
    assert transfer.host_reads is quiet
    system, sampler = system_on(device), news_sampler(random_part(), device=device)
    spec = MultiStepSpec(encoder_batch=8, auto_floor=3)
    strategy = make_strategy(
        name, system, sampler, multi_step=spec, micro_batch=4, encoder_chunk=None, seed=0
    )
    strategy.step(sampler.batch(0))
    torch.cuda.set_sync_debug_mode("error")
    try:
        for step in range(1, sampler.total_steps):
            strategy.step(sampler.batch(step))
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_bf16_autocast_gives_vectors_in_fp32_near_those_without(device: torch.device) -> None:
    if not torch.cuda.is_bf16_supported(including_emulation=False):
        pytest.skip("the device has no bf16")
    items = np.arange(12)
    rounded, exact = system_on(device, autocast=True).encode(items), system_on(device).encode(items)
    assert rounded.dtype == torch.float32
    assert torch.isfinite(rounded).all()
    assert not torch.equal(rounded, exact)
    assert float((rounded - exact).norm() / exact.norm()) < 0.1


@pytest.mark.parametrize("name", ["e2e", "e2e-unique", "gram-1s", "gram-2s", "gram-1e"])
@pytest.mark.parametrize("autocast", [False, True])
def test_every_family_trains_and_its_clock_counts_the_encoder(
    name: str, autocast: bool, device: torch.device
) -> None:
    system, sampler = system_on(device, autocast=autocast), news_sampler(random_part(), device=device)
    multi_step = MultiStepSpec(encoder_batch=8)
    strategy = make_strategy(
        name, system, sampler, multi_step=multi_step, micro_batch=4, encoder_chunk=7, seed=0
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


@pytest.mark.slow
def test_a_run_on_the_device_reports_what_nvml_saw(tmp_path: Path) -> None:
    preset = tmp_path / "tiny.toml"
    preset.write_text(
        'extends = "demo"\n'
        "data.synthetic = { news = 200, users = 200, train_impressions = 600, dev_impressions = 60 }\n"
        "training = { epochs = 60, patience = 60, batch_size = 32 }\n"
    )
    out = tmp_path / "runs"
    options = ("--strategies", "e2e,gram-1s,gram-1e", "--device", "cuda", "--json", "--out", out)
    ended = subprocess.run(
        [Path(sys.executable).with_name("grambench"), "run", "--preset", preset, *options],
        env={**os.environ, "GRAMBENCH_CACHE": str(tmp_path / "cache")},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    report = json.loads(ended.stdout)
    assert report["audit"]["equivalent"]
    (host_gpu, *_) = report["environment"]["host"]["gpus"]
    for trial in report["trials"]:
        assert trial["outcome"] in ("completed", "early-stopped")
        assert trial["worker"]["device"] == "cuda:0"
        assert trial["worker"]["gpu_uuid"].startswith(("GPU-", "MIG-"))
        assert host_gpu["uuid"].startswith("GPU-")
        memory = trial["memory"]
        assert 0 < memory["torch_peak_allocated_bytes"] <= memory["torch_peak_reserved_bytes"]
        assert 0 < trial["times"]["encoder_s"] <= trial["times"]["train_s"]
        for name in ("nvml_device_peak_bytes", "nvml_process_peak_bytes"):
            assert memory[name] is not None or memory["reasons"][name]
        assert trial["energy"]["joules"] is not None or trial["energy"]["reasons"]["joules"]
    assert any(trial["memory"]["nvml_device_peak_bytes"] for trial in report["trials"])
    first, second = ([scores["auc"] for scores in trial["validations"][:1]] for trial in report["trials"][:2])
    assert first == pytest.approx(second, abs=0.05)  # bf16: equal up to rounding only
    samples = (next(out.iterdir()) / "supervisor.jsonl").read_text()
    assert '"type": "gpu_sample"' in samples or '"type":"gpu_sample"' in samples
