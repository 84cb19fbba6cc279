"""Which settings a run reads."""

import pytest

from grambench.config.presets import load_preset, preset_names
from grambench.config.reads import _ONLY_WHERE, is_read, settings_read
from grambench.config.spec import Spec
from grambench.config.strategies import ROWS
from grambench.config.table import settings
from grambench.errors import ConfigError


def read(preset: str, *sets: str) -> set[str]:
    return {key for key, _, _ in settings_read(load_preset(preset, sets))}


def test_every_condition_and_every_row_names_settings() -> None:
    known = {key for key, _, _ in settings(Spec())} | {"encoder.architecture", "language_model.architecture"}
    tables = {key.rpartition(".")[0] for key in known} | {"filter", "multi_step", "crcf", "nocontent"}
    for key in (*_ONLY_WHERE, *(key for row in ROWS for key in row.reads)):
        assert key in known | tables, key


@pytest.mark.parametrize("name", preset_names())
def test_a_preset_shows_nothing_of_other_domains_sources_and_strategies(name: str) -> None:
    spec, shown = load_preset(name), read(name)
    assert any(key.startswith("data.synthetic.") for key in shown) == (spec.data.source == "synthetic")
    assert any(key.startswith("filter.nrms.") for key in shown) == (spec.data.domain == "news")
    assert any(key.startswith("filter.lstm.") for key in shown) == (spec.data.domain != "news")
    assert ("training.negatives" in shown) == (spec.data.domain == "news")
    assert not any(key.startswith(("speedyfeed.", "words.", "language_model.")) for key in shown)


@pytest.mark.parametrize(
    ("strategy", "key"),
    [
        ("e2e", "training.micro_batch"),
        ("gram-1s", "training.encoder_chunk"),
        ("gram-3s", "multi_step.table_lr"),
        ("gram-auto", "gram_auto.drift"),
        ("nofinetune", "nofinetune.pooling"),
        ("nocontent", "nocontent.optimizer.lr"),
        ("crcf-1e", "crcf.pull"),
        ("nrms", "words.dropout"),
        ("speedyfeed", "speedyfeed.beta"),
    ],
)
def test_a_strategy_s_own_settings_are_read_with_it_alone(strategy: str, key: str) -> None:
    assert key in read("demo", f'training.strategies=["{strategy}"]')
    assert key not in read("demo", 'training.strategies=["e2e-unique"]')


@pytest.mark.parametrize(
    ("preset", "kind"), [("demo", "mean"), ("demo", "naml"), ("demo", "sasrec"), ("demo-kt", "sakt")]
)
def test_a_run_shows_the_table_of_its_filter_alone(preset: str, kind: str) -> None:
    shown = {key for key in read(preset, f"filter.kind={kind}") if key.startswith("filter.")}
    tables = {key.split(".")[1] for key in shown if key.count(".") == 2}
    assert tables == (set() if kind == "mean" else {kind})


def test_free_vectors_read_no_more_of_the_encoder_than_its_width() -> None:
    shown = read("demo", 'training.strategies=["nocontent"]')
    assert {key for key in shown if key.startswith("encoder.")} == {
        f"encoder.architecture.{name}"
        for name in ("hidden_size", "layers", "heads", "intermediate_size", "vocabulary")
    }
    assert not any(key.startswith("encoder_optimizer") for key in shown)


def test_a_strategy_that_replaces_the_filter_reads_none() -> None:
    assert not any(key.startswith("filter") for key in read("demo-kt", 'training.strategies=["lm-kt"]'))


@pytest.mark.parametrize(
    ("words", "key"),
    [
        ("x: e2e, multi_step.table_lr=0.3", "multi_step.table_lr has no effect on this trial of e2e"),
        ("x: gram-1e, gram_auto.drift=0.3", "gram_auto.drift has no effect on this trial of gram-1e"),
        ("x: gram-1e, multi_step.relative_lr=2.0", "multi_step.relative_lr has no effect"),
        ("x: e2e, encoder_optimizer.warmup_steps=9", "encoder_optimizer.warmup_steps has no effect"),
        ("x: e2e, filter_optimizer.warmup_share=0.2", "filter_optimizer.warmup_share has no effect"),
        ("x: gram-1s, training.micro_batch=4", "training.micro_batch has no effect"),
    ],
)
def test_a_trial_s_setting_that_its_strategy_does_not_read_is_refused(words: str, key: str) -> None:
    with pytest.raises(ConfigError, match=f"command line: trials: x: {key}.*Remove it"):
        load_preset("demo", (), [words])


def test_a_setting_of_another_way_to_adapt_names_the_way() -> None:
    with pytest.raises(ConfigError, match=r"this trial of e2e\. Set encoder\.adapt=lora beside it"):
        load_preset("demo", (), ["x: e2e, encoder.lora.rank=4"])


@pytest.mark.parametrize("table", ["encoder_optimizer", "filter_optimizer", "crcf.optimizer"])
@pytest.mark.parametrize(
    ("schedule", "warm_up"),
    [("constant", set()), ("noam", {"steps"}), ("linear", {"share"}), ("cosine", {"share"})],
)
def test_a_schedule_reads_its_own_warm_up(schedule: str, warm_up: set[str], table: str) -> None:
    shown = read("demo", 'training.strategies=["crcf-1s"]', f"{table}.schedule={schedule}")
    assert {key.rpartition("_")[2] for key in shown if f"{table}.warmup" in key} == warm_up
    assert f"{table}.clip_norm" in shown
    assert (f"{table}.weight_decay" in shown) == (table != "crcf.optimizer")


def test_a_trial_may_set_what_another_of_its_settings_makes_it_read() -> None:
    words = "x: gram-1e, multi_step.table_optimizer=relative, multi_step.relative_lr=2.0"
    (trial,) = load_preset("demo", (), [words]).trials
    assert trial.settings["multi_step.relative_lr"] == 2.0
    assert is_read(load_preset("demo"), "multi_step.relative_lr") is False
