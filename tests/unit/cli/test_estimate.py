"""Estimates of a run's time against measurements (docs/benchmarks.md, two cores of an AMD EPYC)."""

import json
from pathlib import Path

import pytest

from grambench.cli import estimate
from grambench.config.presets import load_preset
from grambench.config.spec import Spec
from grambench.data.verification import Size

SIX_LAYERS = (
    "encoder.architecture={hidden_size=384, layers=6, heads=12, intermediate_size=1536}",
    "training.batch_size=256",
    "training.epochs=1",
    "filter.nrms.heads=12",
    "cpu_threads=2",
)
MIND = Size(items=4763, samples=19_300, history=32, characters={"title": 66})


@pytest.fixture(autouse=True)
def two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimate, "quota_cpus", lambda: None)


def news(*changes: str) -> Spec:
    return load_preset("mind-small", [*SIX_LAYERS, *changes])


def seconds(spec: Spec, size: Size, on_gpu: bool = False) -> float:
    found = estimate.run_seconds(spec, size, None, on_gpu)
    assert found is not None
    return found - estimate.SETUP_S - estimate.TRIAL_S


@pytest.mark.parametrize(
    ("strategy", "measured_s"),
    [("e2e", 53.9 * 72), ("gram-1e", 59.1 + 10.7)],
)
def test_news_are_estimated_within_a_factor_of_two(strategy: str, measured_s: float) -> None:
    spec = news(f'training.strategies=["{strategy}"]')
    assert measured_s / 2 < seconds(spec, MIND) < 2 * measured_s


def test_knowledge_tracing_is_estimated_within_a_factor_of_two() -> None:
    size = Size(items=1500, samples=32_000, history=1000, characters={"title": 148 * estimate.CHARACTERS})
    spec = load_preset(
        "ednet",
        [*SIX_LAYERS, "training.batch_size=32", 'training.strategies=["gram-1e"]', "data.fields.title=200"],
    )
    steps = 32_000 * (1 - spec.data.validation_share) / 32
    measured_s = 0.321 * steps + 1500 * (2 * 0.0246 + 0.0788)
    assert measured_s / 2 < seconds(spec, size) < 2 * measured_s


def test_cheaper_strategies_and_gpus_take_less() -> None:
    names = ("e2e-gc", "e2e", "gram-1s", "gram-10s", "gram-1e")
    times = [seconds(news(f'training.strategies=["{name}"]'), MIND) for name in names]
    assert times == sorted(times, reverse=True)
    assert seconds(news(), MIND, on_gpu=True) < times[1] / 9
    control = seconds(news('training.strategies=["e2e-cand"]'), MIND)
    assert control == times[2], "it encodes the items of gram-1s"


def test_a_model_is_measured_by_its_config_and_known_models_by_name(tmp_path: Path) -> None:
    spec = load_preset("my-news", ["encoder.model=x/y", "encoder.layers=2"])
    assert estimate.run_seconds(spec, MIND, None, on_gpu=False) is None
    weights = tmp_path / "model.safetensors"
    (tmp_path / "config.json").write_text(json.dumps({"num_hidden_layers": 6, "hidden_size": 384}))
    found = estimate.run_seconds(spec, MIND, weights, on_gpu=False)
    known = load_preset("my-news", ["encoder.layers=2"])
    assert found == estimate.run_seconds(known, MIND, None, on_gpu=False)


def test_data_without_clicks_and_a_null_test_are_estimated() -> None:
    empty = Size(items=1, samples=0, history=0, characters={})
    once = news("training.max_steps=5", 'training.strategies=["e2e"]')
    twice = once.model_copy(update={"null_test": True})
    assert seconds(twice, empty) - seconds(once, empty) == pytest.approx(
        seconds(once, empty) + estimate.TRIAL_S
    )


def test_baselines_have_no_estimate() -> None:
    spec = news('training.strategies=["e2e", "nocontent"]')
    assert estimate.run_seconds(spec, MIND, None, on_gpu=False) is None


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(20, "about a minute"), (150, "about 2 minutes"), (7_200, "about 2 hours"), (3e8, "about 10 years")],
)
def test_durations_are_rough(seconds: float, words: str) -> None:
    assert estimate.in_words(seconds) == words
