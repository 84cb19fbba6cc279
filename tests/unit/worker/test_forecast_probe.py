"""Forecasts of trials: what is counted is what an epoch then does, and nothing changes."""

import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny_systems import (
    CPU,
    HEADS,
    QUERY,
    Tiny,
    encoder_spec,
    news_sampler,
    random_part,
    sampler_of,
    tiny_data,
    tiny_system,
)

from grambench.config.baselines import GPTArchitecture, LanguageModel
from grambench.config.networks import Filter, Lora
from grambench.config.spec import MultiStep, Spec
from grambench.errors import ExitCode
from grambench.events import types as ev
from grambench.models.encoders.lora import add_lora
from grambench.models.encoders.states import CachedItemEncoder, LayerStates
from grambench.models.filters.lm_kt import LMKT
from grambench.training.memory_plan import GraphPlan
from grambench.training.phases import System
from grambench.training.strategies import make_strategy, multi_step
from grambench.training.system import build_system
from grambench.worker import dry_run, forecast
from grambench.worker.forecast import Parts, Probe, used_bytes
from grambench.worker.resume import collect

STEPS = 7
SMALL = {
    "data": {
        "source": "synthetic",
        "fields": {"title": 6},
        "synthetic": {"news": 60, "users": 80, "train_impressions": 120, "dev_impressions": 40},
    },
    "encoder": {
        "pooling_query": 8,
        "architecture": {
            "hidden_size": 16,
            "layers": 1,
            "heads": 2,
            "intermediate_size": 16,
            "vocabulary": 500,
        },
    },
    "filter": {"history": 4, "nrms": {"heads": 2, "query": 8}},
    "cpu_threads": 1,
}


@pytest.fixture(autouse=True)
def every_batch_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Means over batches are exact."""
    monkeypatch.setattr(forecast, "_LOOKED_AT", STEPS)


SPEC = Spec(
    encoder=encoder_spec(),
    filter=Filter(nrms={"heads": HEADS, "query": QUERY}),
    multi_step=MultiStep(encoder_batch=8, encoder_passes=2),
)


def probe_of(name: str) -> tuple[Probe, Tiny]:
    tiny = tiny_system(dtype=torch.float32)
    sampler = news_sampler(random_part(), batch_size=7)
    assert sampler.samples == STEPS * 7
    plan = GraphPlan(2, None, "")
    strategy = make_strategy(name, tiny.system, sampler, spec=SPEC, micro_batch=2, encoder_chunk=None, seed=0)
    return Probe(SPEC, name, tiny.system, sampler, strategy, plan, used_bytes(CPU), 0.01), tiny


@pytest.mark.parametrize("name", ["e2e", "e2e-unique", "gram-1s", "gram-3s", "gram-1e", "gram-2e"])
def test_counts_are_those_of_the_epoch_that_follows(name: str) -> None:
    probe, tiny = probe_of(name)
    before, drawn = tiny.parameters(), torch.get_rng_state()
    found = probe.forecast(counts_epoch=True)
    assert all(torch.equal(before[key], value) for key, value in tiny.parameters().items())
    assert torch.equal(torch.get_rng_state(), drawn)
    assert tiny.spy.counts.items == 0
    epochs = 2 if name == "gram-2e" else 1
    results = [probe.strategy.step(probe.sampler.batch(step)) for step in range(epochs * STEPS)]
    close = 0.03 if name in ("gram-3s", "gram-2e") else 1e-9  # the first window and epoch stand for all
    items, tokens = tiny.spy.counts.items / epochs, tiny.spy.counts.tokens / epochs
    assert found.items_per_epoch == pytest.approx(items, rel=close)
    assert found.tokens_per_epoch == pytest.approx(tokens, rel=close)
    encoded = sum(result.unique_items for result in results)
    occurrences = sum(result.occurrences for result in results)
    assert found.reuse_ratio == pytest.approx(occurrences / encoded, rel=close)
    assert found.epoch_s > 0
    assert found.reuse_of_batch < found.reuse_of_epoch


@pytest.mark.parametrize(
    "name", ["e2e-gc", "gram-3s", "gram-auto", "nofinetune", "crcf-1s", "crcf-1e", "nocontent", "speedyfeed"]
)
def test_training_after_a_probe_is_the_same_bit_by_bit(name: str) -> None:
    found = []
    for probes in (False, True):
        sampler = news_sampler(random_part(), batch_size=7)
        system, modules = build_system(SPEC, tiny_data(), CPU, seed=0, strategy=name)
        strategy = make_strategy(name, system, sampler, spec=SPEC, micro_batch=2, encoder_chunk=None, seed=0)
        if probes:
            Probe(SPEC, name, system, sampler, strategy, GraphPlan(2, None, ""), 0, 0.01).forecast()
        for step in range(STEPS + 2):
            strategy.step(sampler.batch(step))
        found.append(collect(system, modules, strategy))
    (tensors, numbers), (probed, probed_numbers) = found
    assert numbers == probed_numbers
    assert tensors.keys() == probed.keys()
    assert [key for key, value in tensors.items() if not torch.equal(value, probed[key])] == []


def test_a_step_that_keeps_vectors_encodes_nothing() -> None:
    probe, tiny = probe_of("gram-3s")
    assert isinstance(probe.strategy, multi_step.MultiStep)
    probe.strategy.rehearse(probe.sampler.batch(0))
    assert tiny.spy.counts.items == 0
    assert (probe.strategy.window, probe.strategy.table_optimizer.accumulator_I.any()) == (None, False)


def test_an_update_of_more_numbers_than_are_timed_costs_in_proportion(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    probe, tiny = probe_of("gram-1s")
    monkeypatch.setattr(Probe, "_seconds", lambda _, call: (call(), 1.0)[1])
    optimizer = tiny.system.encoder_optimizer
    assert probe._update_seconds(optimizer) == 1.0
    monkeypatch.setattr(forecast, "_SAMPLE", 16)
    sizes = [parameter.numel() for parameter in optimizer.parameters]
    assert probe._update_seconds(optimizer) == pytest.approx(sum(sizes) / sum(min(16, n) for n in sizes))


def test_lm_kt_costs_what_its_calls_are_large() -> None:
    data, sampler = tiny_data(), sampler_of("answers")
    data.manifest.tokenizer.cls_id, data.manifest.tokenizer.sep_id = 2, 3
    model = LanguageModel(architecture=GPTArchitecture(hidden_size=8, layers=1, heads=2, positions=48))
    spec = SPEC.model_copy(update={"language_model": model})
    system, _ = build_system(spec, data, CPU, seed=0, strategy="lm-kt")
    strategy = make_strategy("lm-kt", system, sampler, spec=spec, micro_batch=2, encoder_chunk=None, seed=0)
    probe = Probe(spec, "lm-kt", system, sampler, strategy, GraphPlan(2, None, ""), 0, 0.01)
    batch = sampler.batch(0)
    read: list[int] = []
    assert isinstance(system.filter, LMKT)
    system.filter.language_model.transformer.register_forward_hook(
        lambda _module, _args, named, _out: read.append(named["input_ids"].numel()), with_kwargs=True
    )
    with torch.no_grad():
        system.filter.loss(torch.empty(0), batch.occurrences())
    assert probe._size(batch) == sum(read) > 0
    found = probe.forecast()
    assert (found.epoch_s > 0, found.reuse_ratio, found.items_per_epoch) == (True, None, 0)


def test_states_in_a_mapped_file_take_no_memory_of_the_device() -> None:
    probe, tiny = probe_of("gram-1s")
    tiny.encoder.freeze_below(1)
    states = LayerStates(tiny.encoder, tiny.system.encode.tokens, 128, in_fp16=True)
    tiny.system.encode = CachedItemEncoder(states, 128)
    found = []
    for place in ({"cache": "device"}, {"cache": "host"}, {"cache_gib": 1.0}, {"cache_gib": 0.0}):
        spec = probe.spec.model_copy(update={"encoder": encoder_spec(adapt="freeze", **place)})
        found.append(replace(probe, spec=spec)._memory(0.0, []).vectors)
    assert found[0] - found[1] == states.file_bytes > 0
    assert found[2:] == found[:2]


def test_parts_grow_until_the_time_is_up(monkeypatch: pytest.MonkeyPatch) -> None:
    probe, _ = probe_of("gram-1s")
    now, called = [0.0], []
    monkeypatch.setattr(Probe, "_now_s", lambda _: now[0])

    def seconds(_: Probe, call: Callable[[], None]) -> float:
        call()
        now[0] += 0.0001 * called[-1]
        return 0.0001 * called[-1]

    monkeypatch.setattr(Probe, "_seconds", seconds)
    assert probe._grown(Parts(100, int, called.append, float), 100.0) == pytest.approx(0.01)
    assert called == [1, 4, 16, 64]  # all would take more than .01 s
    called.clear()
    assert probe._grown(Parts(3, int, called.append, float), 30.0) == pytest.approx(0.003)
    assert called == [1, 3, 3, 3]


def answered(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], spec: Spec
) -> tuple[int, dict]:
    monkeypatch.setattr("sys.stdin", io.StringIO(spec.model_dump_json()))
    code = dry_run.main(["0.05"])
    return code, json.loads(capsys.readouterr().out.splitlines()[-1])


def test_a_dry_run_measures_every_trial_and_says_which_it_cannot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GRAMBENCH_CACHE", str(tmp_path))
    strategies = [
        "e2e",
        "gram-1e",
        "gram-auto",
        "nofinetune",
        "nocontent",
        "crcf-1s",
        "crcf-1e",
        "speedyfeed",
    ]
    monkeypatch.setattr(dry_run, "use_graphs", lambda spec, system, modules: _fail_on(system, "nocontent"))
    spec = Spec.model_validate(
        {**SMALL, "training": {"strategies": strategies, "batch_size": 16, "epochs": 2}}, strict=False
    )
    code, answer = answered(monkeypatch, capsys, spec)
    assert (code, answer["threads"]) == (0, 1)
    assert answer["failed"] == {"nocontent": "no such kernel"}
    found = {label: ev.TrialForecast.from_fields(fields) for label, fields in answer["trials"].items()}
    assert list(found) == [name for name in strategies if name != "nocontent"]
    auto = found.pop("gram-auto")
    assert all(each.epoch_s > 0 and each.peak_bytes > 0 for each in found.values())
    assert (auto.epoch_s, auto.reuse_ratio) == (None, None)
    assert auto.note.endswith(" s an epoch: the drift decides how long windows are")
    assert found["gram-1e"].reuse_ratio == pytest.approx(found["e2e"].reuse_of_epoch)
    once = {label: each.once_s for label, each in found.items() if each.once_s}
    assert list(once) == ["nofinetune"]
    words = " s more: a frozen part encodes every item once"
    assert found["nofinetune"].note == f"before or in the first epoch {once['nofinetune']:.2g}{words}"
    assert "upper bound" in found["speedyfeed"].note


def _fail_on(system: System, strategy: str) -> None:
    if type(system.encode).__name__ == "FreeItemEncoder":
        assert strategy == "nocontent"
        raise RuntimeError("no such kernel\nof this device")


def test_a_refusal_is_the_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data = {"source": "mind", "dataset": "none", "dir": str(tmp_path / "nowhere")}
    code, answer = answered(
        monkeypatch, capsys, Spec.model_validate({"data": data, "cpu_threads": 1}, strict=False)
    )
    assert code == ExitCode.DATA
    assert str(tmp_path / "nowhere") in answer["message"]


@pytest.mark.parametrize("name", ["gram-1s", "gram-3s"])
def test_no_part_of_a_batch_is_captured_as_a_graph(name: str) -> None:
    probe, tiny = probe_of(name)
    tiny.system.use_fixed_shapes()
    fixed = tiny.system.fixed
    probe.forecast()
    assert (fixed.filter_steps, fixed.encoder_steps, fixed._places) == (True, True, {})
    probe.strategy.step(probe.sampler.batch(0))
    assert fixed._places


@pytest.mark.parametrize(("call_s", "parts"), [(0.01, [1, 4, 16, 64, 100]), (0.1, [1, 2]), (0.6, [1])])
def test_what_a_call_costs_by_itself_does_not_grow_where_there_is_hardly_time(
    monkeypatch: pytest.MonkeyPatch, call_s: float, parts: list[int]
) -> None:
    """A call of one item on a large model is nearly all gradients of its weights."""
    probe, now, called = replace(probe_of("gram-1s")[0], budget_s=0.12), [0.0], []

    def call(items: int) -> None:
        called.append(items)
        now[0] += call_s + items / 10_000

    monkeypatch.setattr(Probe, "_now_s", lambda _: now[0])
    found = probe._grown(Parts(100, int, call, float), 100.0)
    assert sorted(set(called)) == parts
    assert found == pytest.approx(call_s + 0.01 if len(parts) > 1 else 100 * (call_s + 1e-4))


def test_frozen_weights_that_the_backward_pass_reads_are_no_graph() -> None:
    probe, tiny = probe_of("gram-1s")
    backbone = tiny.encoder.backbone
    assert isinstance(backbone, torch.nn.Module)
    add_lora(backbone, Lora(rank=1))
    part = next(probe.sampler.batch(0).split(2))
    held = probe._held_by(lambda: probe.strategy.warm_up(part))
    for weight in backbone.parameters():
        if not weight.requires_grad:  # the same numbers in twice the bytes
            weight.data = torch.cat([weight.data, torch.zeros_like(weight.data)])[: len(weight)]
    assert probe._held_by(lambda: probe.strategy.warm_up(part)) == held


def test_copies_of_weights_do_not_grow_with_a_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    probe, _ = probe_of("gram-1s")
    monkeypatch.setattr(Probe, "_held_by", lambda _, run: run())
    sizes = {2: 1000.0 + 2 * 30, 4: 1000.0 + 4 * 30}
    found = probe._held(Parts(100, sizes.__getitem__, float, lambda held: (held - 1000) / 30), 64)
    assert found == pytest.approx(1000 + 64 * 30)
