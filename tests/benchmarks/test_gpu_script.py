"""The parts of the GPU benchmark that can be right or wrong without a GPU."""

import contextlib
import os
import time
import warnings
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import gpu, gpu_checks, gpu_lab, gpu_speed, gpu_waits
from benchmarks.gpu_checks import CutShort, EnoughError, difference
from benchmarks.gpu_encoder import Cut, Work, encoder_flops, padded_work, real_work
from benchmarks.gpu_lab import SMOKE, Lab, Probe, turns
from benchmarks.gpu_watch import Watcher
from benchmarks.harness import Bench
from grambench import transfer
from grambench.models.encoders import buckets
from grambench.training.strategies import EndToEnd, MultiStep

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def prepared_lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRAMBENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        made = Lab(Bench("gpu", "", smoke=True), CPU, SMOKE, float("inf"), False)
        made.prepare()
    return made


@pytest.fixture
def lab(prepared_lab: Lab) -> Lab:
    prepared_lab.result = Bench("gpu", "", smoke=True)
    return prepared_lab


class FakeCuda:
    """As much of `torch.cuda` as the sections call; the peak is what `use` was told."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.mode, self.base, self.peak = 0, 100, 0
        patch.setattr(Lab, "cuda", True)
        for name in ("synchronize", "empty_cache"):
            patch.setattr(torch.cuda, name, lambda *_: None)
        patch.setattr(torch.cuda, "memory_allocated", lambda _: self.base)
        patch.setattr(torch.cuda, "max_memory_allocated", lambda _: self.peak)
        patch.setattr(torch.cuda, "reset_peak_memory_stats", lambda _: self.use(0, fresh=True))
        patch.setattr(torch.cuda, "get_sync_debug_mode", lambda: self.mode)
        patch.setattr(torch.cuda, "set_sync_debug_mode", self.set_mode)

    def use(self, count: int, fresh: bool = False) -> None:
        self.peak = self.base + count if fresh else max(self.peak, self.base + count)

    def set_mode(self, mode: int | str) -> None:
        self.mode = {"default": 0, "warn": 1, "error": 2}.get(mode, mode)  # type: ignore[assignment, call-overload]


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> FakeCuda:
    return FakeCuda(monkeypatch)


def test_operations_are_those_that_torch_counts(lab: Lab) -> None:
    encoder = lab.trial("gram-1s").modules.encoder
    items, length, shape = 3, 8, SMOKE.encoder
    ids, mask = torch.ones(items, length, dtype=torch.long), torch.ones(items, length, dtype=torch.bool)
    layers = encoder.backbone.encoder
    with FlopCounterMode(display=False) as counter:
        hidden = layers(torch.randn(items, length, shape.hidden_size, requires_grad=True)).last_hidden_state
        hidden.sum().backward()
    products = sum(
        count
        for operator, count in counter.get_flop_counts()["Global"].items()
        if operator.__name__ in ("mm", "addmm")
    )
    work = real_work(np.full(items, length))
    assert encoder_flops(shape, Work(work.tokens, 0, 0)) == products
    attention = 12 * shape.layers * shape.hidden_size * length**2 * items
    assert encoder_flops(shape, work) == products + attention
    assert encoder(encoder.lookup(ids), mask).shape == (items, shape.hidden_size)


@pytest.mark.parametrize("cut", [Cut(64, 8), Cut(512, 2)])
def test_padded_work_is_what_the_encoder_is_called_with(cut: Cut, lab: Lab) -> None:
    system = lab.trial("gram-1s").system
    shapes: list[tuple[int, int]] = []
    handle = system.encode.encoder.register_forward_pre_hook(lambda _, given: shapes.append(given[1].shape))
    items_N = np.arange(60)
    with cut.applied(system):
        system.encode(items_N)
        lengths_N = system.encode.tokens.lengths[items_N]
        work = padded_work(lengths_N, cut.bucket_tokens, system.encode.layout.call_tokens)
    handle.remove()
    tokens, squares = sum(n * length for n, length in shapes), sum(n * length**2 for n, length in shapes)
    assert work == Work(tokens, squares, len(shapes))
    assert real_work(system.encode.tokens.lengths[items_N]).tokens < work.tokens
    assert buckets.LENGTH_STEP == 8


def test_turns_end_when_another_round_would_be_late(monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[str] = []

    def side(name: str) -> float:
        called.append(name)
        return 1.0

    monkeypatch.setattr(gpu_lab, "time", SimpleNamespace(monotonic=lambda: float(len(called))))
    sides = {name: lambda name=name: side(name) for name in "ab"}
    measured = turns(sides, 50, until_s=9.0, warm_ups=1)
    assert "".join(called) == "ba" + "ab" + "ba" + "ab"
    assert [len(sample.values) for sample in measured.values()] == [3, 3]
    called.clear()
    assert len(turns(sides, 50, until_s=0.0)["a"].values) == 1


def test_probe_of_windows_ends_with_one_and_counts_what_it_did(lab: Lab) -> None:
    probe = Probe(lab.trial("gram-10s"), 2).warm_up()
    seconds = probe()
    assert probe.step == 10
    assert probe.samples == 10 * SMOKE.batch
    assert seconds == pytest.approx(probe.train_s / probe.samples)
    assert probe.reuse > 1
    assert probe.finite
    assert 0 < probe.encoder_share[0] < 1


def test_difference_is_relative_and_never_of_numbers_that_are_none() -> None:
    wanted = torch.tensor([4.0, 0.0])
    assert difference(torch.tensor([4.0, 1.0]), wanted) == (0.25, 0.25)
    for found, reference in ((wanted * torch.nan, wanted), (wanted, wanted * 0)):
        with pytest.raises(ArithmeticError):
            difference(found, reference)


def test_closing_is_cut_short_and_the_optimiser_given_back(lab: Lab) -> None:
    made = lab.trial("gram-1s")
    honest = made.system.encoder_optimizer
    gpu_checks._epoch(lab, made, 8)
    assert honest.steps == SMOKE.closing_steps
    assert made.system.encoder_optimizer is honest
    assert all(p.grad is None for p in honest.parameters)
    short = CutShort(honest, 1)
    with pytest.raises(EnoughError):
        short.update()


def test_memory_is_compared_above_the_baseline_and_e2e_shrinks_until_it_fits(
    lab: Lab, cuda: FakeCuda, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = EndToEnd.gradients

    def hungry(strategy, batch):
        if batch.users > 5:
            raise torch.OutOfMemoryError("no")
        cuda.use(2000)
        return honest(strategy, batch)

    def modest(strategy, batch, step=gpu_checks.SingleStep.step):
        cuda.use(100 if strategy.encoder_chunk else 1000)
        return step(strategy, batch)

    monkeypatch.setattr(EndToEnd, "gradients", hungry)
    monkeypatch.setattr(gpu_checks.SingleStep, "step", modest)
    gpu_checks.memory(lab, float("inf"))
    rows = {row["what"]: row for row in lab.result.rows}
    assert [what for what in rows if what.startswith("e2e")] == [
        "e2e with 16 users",
        "e2e with 8 users",
        "e2e, 4 users",
    ]
    assert rows["gram-1s"]["note"].startswith("50.0% of e2e, 4 users")
    (claim,) = lab.result.claims
    assert claim.value == pytest.approx(0.05)
    assert "in chunks of 20" in claim.text
    assert claim.note == "of the absolute peaks 9.5%"


def test_waits_pass_at_marked_points_only_and_everything_is_put_back(cuda: FakeCuda) -> None:
    with contextlib.suppress(ZeroDivisionError), gpu_waits.marked_waits_only("error", True) as marked:
        assert cuda.mode == 2
        with transfer.host_reads():
            assert (cuda.mode, transfer.is_marked()) == (0, True)
            transfer.read(torch.ones(1))
            assert cuda.mode == 0
        assert cuda.mode == 2
        raise ZeroDivisionError
    assert marked.total() == 2
    assert cuda.mode == 0
    transfer.read(torch.ones(1))
    assert marked.total() == 2


@pytest.fixture
def careless(cuda: FakeCuda, monkeypatch: pytest.MonkeyPatch) -> None:
    """Multi-step waits once a step where it should not."""
    honest = MultiStep.step

    def step(strategy, batch):
        message = "called a synchronizing CUDA operation"
        if cuda.mode == 2:
            raise RuntimeError(message)
        if cuda.mode == 1:
            warnings.warn(message, stacklevel=1)
        return honest(strategy, batch)

    monkeypatch.setattr(MultiStep, "step", step)


@pytest.mark.usefixtures("careless")
def test_unmarked_waits_are_counted_and_placed(lab: Lab) -> None:
    gpu_waits.waits(lab, float("inf"))
    assert [claim.value for claim in lab.result.claims] == [0, SMOKE.wait_steps, SMOKE.wait_steps]
    assert lab.result.claims[0].met
    assert not lab.result.claims[1].met
    assert "synchronizing" in lab.result.claims[1].note
    places = lab.result.facts["gram-10s, waits outside marked points"]
    assert all(f"{Path(__file__).name}:" in place for place in places)


def test_section_that_fails_or_finds_no_time_is_a_row(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    def failing(_lab: Lab, _until_s: float) -> None:
        raise RuntimeError("the kernel is wrong")

    lab.result.smoke = False
    gpu.run_section(lab, gpu.Section("broken", failing, 1, 1))
    assert lab.result.rows[-1]["note"] == "left out: RuntimeError: the kernel is wrong"
    assert "the kernel is wrong" in capsys.readouterr().err
    lab.ends_s = time.monotonic() + 5
    try:
        gpu.run_section(lab, gpu.Section("late", failing, 60, 60))
    finally:
        lab.ends_s = float("inf")
    assert "it needs 60" in lab.result.rows[-1]["note"]
    assert len(lab.result.facts["left_out"]) == 2
    assert lab.result.facts["failed"] == ["broken"]


def test_every_section_has_its_time_within_the_whole() -> None:
    assert all(section.needs_s <= section.share_s for section in gpu.SECTIONS)
    before = sum(section.share_s for section in gpu.SECTIONS if section.name != "compile")
    assert before <= gpu.SECONDS
    assert gpu.SECONDS + gpu.LATE_S <= 8 * 60 - 20


def test_watcher_samples_on_request_only() -> None:
    watcher = Watcher(os.getpid(), 0.1)
    try:
        assert watcher.ask("on") == "sampling"
        seen = watcher.ask("off")
        assert seen["events"]
        assert watcher.ask("on") == "sampling"
    finally:
        watcher.close()
    assert watcher.process.returncode == 0


def test_sampling_is_judged_against_nobody_by_another_process(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = iter([0.5, *[4.0, 5.0, 8.0, 4.0] * 2, *[4.0, 8.0, 5.0, 4.0] * 20])
    monkeypatch.setattr(Probe, "__call__", lambda _: next(seconds))
    monkeypatch.setattr(Watcher, "ask", lambda _, word: {"reasons": {}} if word == "off" else "sampling")
    gpu_waits.nvml(lab, float("inf"))
    (claim,) = lab.result.claims
    assert (claim.value, claim.met) == (0.8, False)
    assert "nobody again over nobody: 1 " in claim.note


def test_compiler_that_fails_leaves_the_other_modes(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    def compare(_lab: Lab, strategy: str, *_rest: object) -> None:
        if strategy == "gram-1e":
            raise RuntimeError("overwritten by a subsequent run")
        _lab.row("compared", 1)

    monkeypatch.setattr(gpu_speed, "_compare_compiled", compare)
    gpu_speed.compiled(lab, float("inf"))
    assert [row["measured"] for row in lab.result.rows] == ["1", "failed", "1"]
    assert "overwritten" in lab.result.rows[1]["note"]


def test_without_a_device_only_a_smoke_run_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["gpu", "--device", "cpu"])
    assert gpu.main() == gpu.NO_GPU
    monkeypatch.setattr("sys.argv", ["gpu", "--smoke", "--only", "rates,nothing"])
    assert gpu.main() == 2
