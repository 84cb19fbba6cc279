"""The parts of the measurement on a GPU that can be right or wrong without one."""

import contextlib
import dataclasses
import json
import os
import subprocess
import sys
import tarfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import gpu_checks, gpu_prepared, gpu_probe, gpu_waits, measure, trials
from benchmarks.gpu_checks import CutShort, EnoughError, difference
from benchmarks.gpu_encoder import Work, encoder_flops, real_work
from benchmarks.gpu_lab import Lab, cudnn_attention, tf32
from benchmarks.gpu_prepared import Store
from benchmarks.gpu_probe import Novelties, Probe, turns
from benchmarks.gpu_sizes import SMOKE
from benchmarks.gpu_watch import Watcher
from benchmarks.harness import Bench, Sample
from benchmarks.targets import ENCODER, EPOCH, RUN, START
from grambench import transfer
from grambench.training.strategies import EndToEnd, MultiStep

CPU = torch.device("cpu")
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRAMBENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def lab(cache: None, tmp_path: Path) -> Lab:
    result = Bench("measure", "", smoke=True, folder=tmp_path)
    result.place = {"machine": {}, "commit": "abc"}
    return Lab(result, CPU, SMOKE, False, Store(True))


def written(lab: Lab) -> dict[str, Any]:
    return json.loads(lab.result.path.read_text())


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
    assert encoder_flops(shape, Work(work.tokens, 0)) == products
    attention = 12 * shape.layers * shape.hidden_size * length**2 * items
    assert encoder_flops(shape, work) == products + attention
    assert encoder(encoder.lookup(ids), mask).shape == (items, shape.hidden_size)


def test_turns_end_when_another_round_would_be_late(monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[str] = []

    def side(name: str) -> float:
        called.append(name)
        return 1.0

    monkeypatch.setattr(gpu_probe, "time", SimpleNamespace(monotonic=lambda: float(len(called))))
    sides = {name: lambda name=name: side(name) for name in "ab"}
    measured = turns(sides, 50, until_s=9.0, warm_ups=1)
    assert "".join(called) == "ba" + "ab" + "ba" + "ab"
    assert [len(sample.values) for sample in measured.values()] == [3, 3]
    called.clear()
    assert len(turns(sides, 50, until_s=0.0)["a"].values) == 1


def test_probe_of_windows_ends_with_one_and_its_warm_up_does_not_count(lab: Lab) -> None:
    probe = Probe(lab.trial("gram-4s"), 2).warm_up()
    assert (probe.step, probe.occurrences, probe.novelties) == (4, 0, [])
    assert probe() > 0
    assert probe.step == 8
    assert probe.reuse > 1
    assert probe.finite
    assert len(probe.novelties) == 1


def test_new_shapes_of_the_encoder_are_counted_once(lab: Lab) -> None:
    made, met = lab.trial("gram-1s"), Novelties(CPU)
    for wanted in (True, False):
        with met.counted(made.modules.encoder):
            made.system.encode(np.arange(40))
        assert bool(met.shapes) is wanted
    made.system.encode(np.arange(7))
    with met.counted(made.modules.encoder):
        pass
    assert str(met) == "new shapes 0, device allocations unknown"


@pytest.mark.parametrize("switched", [True, False])
def test_switches_are_put_back_even_when_the_work_fails(switched: bool) -> None:
    def state() -> tuple[bool, bool, bool]:
        backends = torch.backends
        return backends.cuda.cudnn_sdp_enabled(), backends.cuda.matmul.allow_tf32, backends.cudnn.allow_tf32

    before = state()
    with contextlib.suppress(ZeroDivisionError), cudnn_attention(switched), tf32(switched):
        assert state() == (switched,) * 3
        raise ZeroDivisionError
    assert state() == before


def test_predicted_stands_beside_found_and_is_on_disk_at_once(lab: Lab) -> None:
    lab.section = "plans"
    lab.found("first call", Sample((1.0, 2.0, 4.0)), "ms", "a note", "110 to 140 ms")
    document = written(lab)
    assert document["rows"] == [
        {
            "section": "plans",
            "what": "first call",
            "measured": "2 (1 to 4) ms",
            "predicted": "110 to 140 ms",
            "note": "a note",
        }
    ]
    assert document["samples"] == {"plans: first call, ms": [1.0, 2.0, 4.0]}


def test_the_better_of_two_sections_is_claimed(lab: Lab) -> None:
    for target, values, best in ((ENCODER, (0.3, 0.45, 0.4), 0.45), (EPOCH, (6.0, 4.0, 5.0), 4.0)):
        for value in values:
            lab.claim(target, value)
        assert [claim["value"] for claim in written(lab)["claims"] if claim["text"] == target.text] == [best]


def test_a_number_that_is_not_finite_is_no_claim_and_loses_no_file(lab: Lab) -> None:
    lab.found("loss", Sample((float("nan"), 1.0)), "")
    lab.claim(EPOCH, float("nan"))
    document = written(lab)
    assert (document["claims"], document["samples"]) == ([], {})
    assert "nan is not finite" in document["facts"]["left_out"][0]


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
    gpu_checks.memory(lab)
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
    gpu_waits.waits(lab)
    assert [claim.value for claim in lab.result.claims] == [0, SMOKE.wait_steps, SMOKE.wait_steps]
    assert lab.result.claims[0].met
    assert not lab.result.claims[1].met
    assert "synchronizing" in lab.result.claims[1].note
    places = lab.result.facts["gram-10s, waits outside marked points"]
    assert all(f"{Path(__file__).name}:" in place for place in places)


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


def test_sampling_is_judged_by_another_process_in_slices(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    lab.sizes = dataclasses.replace(SMOKE, sampled_rounds=5)
    slices = [4.0, 5.0, 5.0, 4.0, 4.0, 5.0, 5.0, 4.0, 4.0, 5.0]  # with nobody: 4.0
    seconds = iter([1.0, 1.0, *(value for each in slices for value in (9.0, each))])
    monkeypatch.setattr(gpu_waits, "seconds_of", lambda _made, _work: next(seconds))
    monkeypatch.setattr(Watcher, "ask", lambda _, word: {"reasons": {}} if word == "off" else "sampling")
    gpu_waits.nvml(lab)
    (claim,) = lab.result.claims
    assert (claim.value, claim.met) == (0.8, False)
    assert "in 10 slices" in claim.note


def test_carried_data_are_those_of_the_cache_and_nothing_is_prepared(
    cache: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = {name: gpu_prepared.prepared(True, name) for name in gpu_prepared.specs(True)}
    gpu_prepared.pack(True, tmp_path / "archives")
    monkeypatch.setenv("GRAMBENCH_CACHE", str(tmp_path / "elsewhere"))
    monkeypatch.setattr(trials, "prepare_data", lambda *_: pytest.fail("something was prepared"))
    store = gpu_prepared.unpack(True, tmp_path / "archives", tmp_path / "unpacked")
    for name, data in wanted.items():
        assert store.open(name).manifest.fingerprint == data.manifest.fingerprint
        assert np.array_equal(store.open(name).tokens, data.tokens)
    assert not (tmp_path / "elsewhere").exists()
    assert [path.name for path in (tmp_path / "unpacked").glob("*/synthetic")] == ["synthetic"]


def test_archives_of_other_data_are_refused(
    cache: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ValueError, match="make it with --prepare"):
        gpu_prepared.unpack(True, tmp_path, tmp_path / "unpacked")
    gpu_prepared.pack(True, tmp_path)
    asked = gpu_prepared._asked
    monkeypatch.setattr(gpu_prepared, "_asked", lambda spec: {**asked(spec), "data": "other"})
    with pytest.raises(ValueError, match="holds other data"):
        gpu_prepared.unpack(True, tmp_path, tmp_path / "unpacked")


@pytest.mark.slow
def test_the_file_itself_runs_on_carried_data(tmp_path: Path) -> None:
    """Elsewhere than in the checkout, and without a cache: what is missing would be prepared into one."""
    command = [sys.executable, str(ROOT / "benchmarks" / "measure.py"), "--smoke"]
    environment = {**os.environ, "GRAMBENCH_CACHE": str(tmp_path / "cache")}

    def run(*options: object) -> subprocess.CompletedProcess[str]:
        words = [*command, *map(str, options)]
        return subprocess.run(
            words, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )

    assert run("--prepare", "archives").returncode == 0
    ended = run("--prepared", "archives", "--out", "found")
    assert ended.returncode == 0, ended.stderr
    assert not (tmp_path / "cache").exists()
    document = json.loads((tmp_path / "found" / "measure.json").read_text())
    assert document["facts"]["processes"] == "fork"
    assert "failed" not in document["facts"], ended.stdout
    assert {RUN.text, START.text} < {claim["text"] for claim in document["claims"]}
    assert {path.name for path in (tmp_path / "found").iterdir()} == {
        "measure.json", "report.json", "run.log", "run.tgz", "toeic_cuda.json",
    }  # fmt: skip
    assert json.loads((tmp_path / "found" / "report.json").read_text())["partial"] is False
    with tarfile.open(tmp_path / "found" / "run.tgz") as archive:
        log = archive.extractfile("run/setup/events.jsonl")
        assert log is not None
        events = [json.loads(line) for line in log]
    assert [event["reused"] for event in events if event["type"] == "data_prepared"] == [True]


def test_options_that_cannot_be_met(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("sys.argv", ["measure", "--smoke", "--only", "plans,nothing"])
    assert measure.main() == 2
    monkeypatch.setattr("sys.argv", ["measure", "--smoke", "--prepared", str(tmp_path)])
    assert measure.main() == 2


def test_every_claim_of_the_page_has_a_section_that_may_measure_it() -> None:
    names = [section.name for section in measure.SECTIONS]
    assert len(set(names)) == len(names)
    assert all(section.needs_s <= section.limit_s for section in measure.SECTIONS)
    first = names[: names.index("run") + 1]
    assert {"plans", "strategies", "epoch", "encoder", "exactness"} < set(first)
