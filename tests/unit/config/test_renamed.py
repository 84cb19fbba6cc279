"""Old names of settings are read with a warning, and give the same run."""

import json
import warnings
from pathlib import Path

import pytest

from grambench.config.kept import read_kept
from grambench.config.presets import load_preset
from grambench.config.renamed import RENAMED, new_key, with_new_names
from grambench.config.spec import Spec
from grambench.config.table import settings
from grambench.errors import ConfigError

VALUES = {
    "filter.heads": "2",
    "filter.query": "24",
    "filter.layers": "1",
    "filter.dropout": "0.5",
    "data.track": "fr_en",
    "multi_step.auto_measure": "norm",
    "multi_step.auto_drift": "0.4",
    "multi_step.auto_floor": "3",
    "multi_step.auto_ceiling": "9",
    "multi_step.pull": "0.1",
    "crcf_optimizer.lr": "0.3",
    "nocontent_optimizer.lr": "0.3",
}


def tables(key: str, value: str) -> str:
    """A preset with one setting."""
    table, _, name = key.rpartition(".")
    quoted = value if value[0].isdigit() else f'"{value}"'
    return f'extends = "demo"\n[{table}]\n{name} = {quoted}\n'


def test_every_old_name_has_a_value_here() -> None:
    assert {old for old in RENAMED if old not in VALUES and f"{old}.lr" not in VALUES} == set()
    known = {key for key, _, _ in settings(Spec())}
    assert all(new_key(old) in known for old in VALUES)


@pytest.mark.parametrize("old", VALUES)
def test_an_old_name_is_read_with_one_warning_that_names_the_new_one(old: str, tmp_path: Path) -> None:
    wanted = load_preset("demo", [f"{new_key(old)}={VALUES[old]}"])
    assert wanted != load_preset("demo")
    path = tmp_path / "own.toml"
    path.write_text(tables(old, VALUES[old]))
    for name, sets in ((str(path), ()), ("demo", (f"{old}={VALUES[old]}",))):
        with pytest.warns(FutureWarning, match="until version 0.3") as caught:
            assert load_preset(name, sets) == wanted
        assert len(caught) == 1
        assert f"{old.removesuffix('.lr')} is now {new_key(old).removesuffix('.lr')}" in str(
            caught[0].message
        )


@pytest.mark.parametrize("old", VALUES)
def test_both_names_in_one_place_are_refused(old: str) -> None:
    both = [f"{old}={VALUES[old]}", f"{new_key(old)}={VALUES[old]}"]
    with pytest.raises(ConfigError, match="are the same setting, and both are given; keep"):
        load_preset("demo", both)


def test_a_new_name_on_the_command_line_is_above_an_old_one_in_the_preset(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text(tables("filter.heads", "2"))
    with pytest.warns(FutureWarning):
        assert load_preset(str(path), ["filter.nrms.heads=1"]).filter.nrms.heads == 1


@pytest.mark.parametrize("written", ["multi_step.auto_drift=0.3", "crcf_optimizer.lr=0.3"])
def test_old_names_in_a_trial_are_read(written: str) -> None:
    old = written.partition("=")[0]
    strategy = "gram-auto" if "auto" in written else "crcf-1s"
    with pytest.warns(FutureWarning, match=f"{new_key(old)};"):
        (trial,) = load_preset("demo", (), [f"x: {strategy}, {written}"]).trials
    assert trial.settings == {new_key(old): 0.3}


def test_a_kept_specification_is_read_without_a_warning() -> None:
    old = {
        **Spec().model_dump(mode="json"),
        "filter": {"heads": 2, "query": 8, "history": 5},
        "data": {"source": "duolingo", "track": "fr_en"},
    }
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        spec = read_kept(json.loads(json.dumps(old)))
    assert (spec.filter.nrms.heads, spec.filter.history, spec.data.duolingo.track) == (2, 5, "fr_en")
    assert with_new_names(spec.model_dump(mode="json")) == (spec.model_dump(mode="json"), {})
