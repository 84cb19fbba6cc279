"""The specification: strict, immutable, and the same after a trip through JSON."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from grambench.config.data import FieldLimits
from grambench.config.networks import Architecture, Encoder, Filter
from grambench.config.presets import load_preset, preset_names
from grambench.config.spec import _DROPOUT_OF_RANKS, Spec, Training
from grambench.config.strategies import builtin_row
from grambench.config.table import settings
from grambench.errors import ConfigError


@pytest.mark.parametrize("name", preset_names())
def test_a_specification_survives_json(name: str) -> None:
    spec = load_preset(name)
    assert Spec.model_validate_json(json.dumps(spec.model_dump(mode="json"), allow_nan=False)) == spec


def test_a_specification_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        Spec().training.epochs = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    "names",
    [("e2e",), ("e2e-unique", "gram-1s"), ("gram-10s", "gram-0.5e", "gram-.5e", "gram-2e", "gram-1.25e")],
)
def test_strategies_of_the_paper_are_known(names: tuple[str, ...]) -> None:
    assert Training(strategies=names).strategies == names


@pytest.mark.parametrize(
    "name",
    ["", "gram", "gram-0s", "gram-01s", "gram-0e", "gram-0.0e", "gram-.e", "gram--1s", "gram-1se", "GRAM-1s"],
)
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(ValidationError, match="unknown strategy"):
        Training(strategies=("e2e", name))


@pytest.mark.parametrize("name", ["e2e ", "e2e\n", "gram-1s.s0", "../e2e"])
def test_a_name_that_is_no_safe_folder_is_refused(name: str) -> None:
    with pytest.raises(ValidationError, match="unknown strategy"):
        Training(strategies=(name,))


@pytest.mark.parametrize("names", [(), ("e2e", "e2e")])
def test_strategies_are_some_and_distinct(names: tuple[str, ...]) -> None:
    with pytest.raises(ValidationError):
        Training(strategies=names)


@given(st.text(alphabet="e2gramsunique-.0159/\n", max_size=12))
def test_a_known_name_is_a_safe_folder_name(name: str) -> None:
    try:
        Training(strategies=(name,))
    except ValidationError:
        return
    assert builtin_row(name) is not None
    assert not set(name) & set("/\n\0 ")


@pytest.mark.parametrize(
    ("table", "changes"),
    [
        (Training, {"batch_size": 0}),
        (Training, {"batch_size": True}),
        (Training, {"batch_size": "8"}),
        (Training, {"batch_size": 8.0}),
        (Training, {"micro_batch": "all"}),
        (Training, {"seeds": ()}),
        (Training, {"seeds": (-1,)}),
        (Training, {"seeds": (2**31,)}),
        (Training, {"memory_share": 1.0}),
        (Training, {"epochz": 1}),
        (FieldLimits, {"title": 0}),
        (FieldLimits, {"title": 512, "body": 1}),
        (Architecture, {"hidden_size": 10, "heads": 4}),
        (Encoder, {}),
        (Encoder, {"model": "a", "architecture": Architecture()}),
        (Encoder, {"model": "a", "dropout": 1.0}),
        (Filter, {"history": 0}),
        (Spec, {"device": "cuda:"}),
        (Spec, {"device": "cpu:0"}),
        (Spec, {"schedule": "relay"}),
        (Spec, {"encoder": Encoder(architecture=Architecture()), "filter": Filter(nrms={"heads": 3})}),
    ],
)
def test_values_out_of_their_range_are_refused(table: Any, changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        table(**changes)


@pytest.mark.parametrize(
    ("encoder", "lstm", "needed"),
    [
        (0.0, {"masks": "torch"}, "filter.lstm.masks = counter"),
        (0.1, {"masks": "torch"}, "filter.lstm.masks = counter"),
        (0.1, {}, "encoder.dropout = 0"),
        (0.0, {"masks": "torch", "dropout": 0.0}, None),
        (0.0, {}, None),
    ],
)
def test_several_ranks_draw_the_masks_of_one_process(
    encoder: float, lstm: dict[str, Any], needed: str | None
) -> None:
    tables = {
        "data": {"source": "tables"},
        "encoder": Encoder(model="a", dropout=encoder),
        "filter": Filter(lstm=lstm),
    }
    assert Spec(**tables).ranks.size == 1
    if needed is None:
        assert Spec(**tables, ranks={"nproc": 2}).ranks.size == 2
        return
    words = f"2 ranks would draw other dropout masks than one process: use {needed}, or ranks.nproc = 1"
    with pytest.raises(ValidationError, match=words):
        Spec(**tables, ranks={"nproc": 2})
    if not encoder:
        assert Spec(**{**tables, "data": {}}, ranks={"nproc": 2})  # news reads no LSTM


def test_every_dropout_has_its_condition_for_several_ranks() -> None:
    drops = {key for key, _, _ in settings(Spec()) if key.endswith("dropout")}
    assert set(_DROPOUT_OF_RANKS) == drops - {"filter.lstm.dropout"} | {"filter.lstm.masks"}


@pytest.mark.parametrize(
    "setting",
    [
        "encoder_optimizer.clip_norm=0",
        "filter_optimizer.clip_norm=nan",
        "encoder_optimizer.weight_decay=-0.1",
        "encoder_optimizer.warmup_share=1.0",
        "crcf.optimizer.weight_decay=0.01",
        "nocontent.optimizer.weight_decay=0.01",
        "encoder_optimizer.schedule=step",
    ],
)
def test_an_impossible_setting_of_an_optimiser_is_refused_by_its_name(setting: str) -> None:
    with pytest.raises(ConfigError, match=setting.partition("=")[0]):
        load_preset("demo", [setting])


@pytest.mark.parametrize("value", ["inf", "nan"])
@pytest.mark.parametrize(
    "setting", ["encoder.cache_gib", "encoder.lora.alpha", "training.checkpoint_s", "hang_s"]
)
def test_a_number_that_json_lacks_is_refused(setting: str, value: str) -> None:
    with pytest.raises(ConfigError, match=rf"{setting}: must be a finite number, not {value}\."):
        load_preset("demo", [f"{setting}={value}"])
    if setting.startswith("encoder"):
        with pytest.raises(ConfigError, match=rf"a: {setting}: must be a finite number, not {value}\."):
            load_preset("demo", (), (f"a: gram-1s, {setting}={value}",))


@pytest.mark.parametrize("rate", [0.0, -1e-3, float("inf"), float("nan")])
def test_a_learning_rate_is_positive_and_finite(rate: float) -> None:
    with pytest.raises(ValidationError):
        Spec.model_validate({"encoder_optimizer": {"lr": rate}})
