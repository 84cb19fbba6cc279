"""Names of trials, and trials with labels and settings of their own: read, merged, refused."""

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grambench.cli.preset_tables import listing
from grambench.config.changes import differences
from grambench.config.kept import as_kept, read_kept
from grambench.config.presets import load_preset, validate
from grambench.config.reads import settings_read
from grambench.config.spec import Spec, Training
from grambench.config.trial_name import TrialName
from grambench.config.trials import TrialEntry
from grambench.errors import ConfigError

TWO_RATES = """
extends = "demo"

[[trials]]
strategy = "e2e"

[[trials]]
label = "fast"
strategy = "gram-1e"
encoder_optimizer.lr = 3e-3
multi_step = { encoder_batch = 32 }
"""


@pytest.fixture
def preset(tmp_path: Path) -> str:
    path = tmp_path / "own.toml"
    path.write_text(TWO_RATES)
    return str(path)


def refusal(*trials: str, preset: str = "demo", sets: tuple[str, ...] = ()) -> str:
    with pytest.raises(ConfigError) as refused:
        load_preset(preset, sets, trials)
    assert refused.value.exit_code == 2
    assert "\n" not in str(refused.value)
    return str(refused.value)


@pytest.mark.parametrize(
    ("label", "repeated"), [("e2e", "e2e"), ("gram-0.5e", "gram-0.5e"), ("a.s1", "a.s1"), ("null-e2e", "e2e")]
)
@given(seed=st.integers(0, 2**31 - 1), repeat=st.integers(1, 1000))
def test_a_name_is_read_as_it_was_printed(label: str, repeated: str, seed: int, repeat: int) -> None:
    name = TrialName(label, seed, repeat)
    assert TrialName.parse(str(name)) == name
    assert name.repeated == TrialName(repeated, seed, repeat)
    assert name.is_null == (label != repeated)


def test_the_first_process_has_the_name_of_version_0_1() -> None:
    assert str(TrialName("e2e", 3)) == "e2e.s3"
    assert str(TrialName("e2e", 3, 2)) == "e2e.s3.r2"
    assert TrialName.parse("e2e.s3") == TrialName("e2e", 3, 1)
    assert TrialName.parse("a.s1.r2.s0") == TrialName("a.s1.r2", 0, 1)


@pytest.mark.parametrize(
    "name",
    [
        "e2e.s0.r1",
        "e2e.s0.r0",
        "e2e.s0.r02",
        "e2e.s0.r",
        "e2e.r2",
        "",
        "setup",
        "e2e",
        "e2e.s",
        ".s0",
        "../e2e.s0",
        "e2e.s-1",
        "e2e.s0\n",
        "a b.s0",
    ],
)
def test_other_names_are_no_trials(name: str) -> None:
    assert TrialName.parse(name) is None


def test_a_preset_names_its_trials(preset: str) -> None:
    spec = load_preset(preset)
    plain, fast = spec.entries
    assert (plain.label, plain.strategy, plain.settings) == ("e2e", "e2e", {})
    assert fast.settings == {"encoder_optimizer.lr": 3e-3, "multi_step.encoder_batch": 32}
    assert spec.training.strategies == ("e2e", "gram-1e")


def test_own_settings_take_the_place_of_the_run_s(preset: str) -> None:
    spec = load_preset(preset)
    own = spec.with_own(spec.entry(TrialName("fast", 4)))
    assert (own.encoder_optimizer.lr, own.multi_step.encoder_batch) == (3e-3, 32)
    assert own.encoder_optimizer.schedule == spec.encoder_optimizer.schedule
    assert (own.data, own.training, own.trials) == (spec.data, spec.training, spec.trials)
    assert spec.with_own(spec.entry(TrialName("null-e2e", 0))) == spec
    with pytest.raises(ConfigError, match=r"no trial gram-1e\.s0"):
        spec.entry(TrialName("gram-1e", 0))


def test_the_list_of_strategies_is_the_short_form() -> None:
    spec = load_preset("demo", ['training.strategies=["e2e", "gram-1s"]'])
    assert [(e.label, e.strategy, e.settings) for e in spec.entries] == [
        ("e2e", "e2e", {}),
        ("gram-1s", "gram-1s", {}),
    ]
    assert spec.trials == ()


def test_the_command_line_says_the_same_as_a_preset(preset: str) -> None:
    words = "fast: gram-1e, encoder_optimizer.lr=3e-3, multi_step.encoder_batch=32"
    assert load_preset("demo", (), ("e2e", words)) == load_preset(preset)


def test_either_form_takes_the_place_of_the_other_of_the_parent(preset: str) -> None:
    assert load_preset(preset, ['training.strategies=["gram-1s"]']).trials == ()
    assert [entry.label for entry in load_preset(preset, (), ("x: gram-1s",)).entries] == ["x"]


def test_strategies_pick_trials_of_the_preset_by_label(preset: str, tmp_path: Path) -> None:
    picked = load_preset(preset, ['training.strategies=["fast", "gram-1s"]'])
    assert [(entry.label, entry.strategy) for entry in picked.entries] == [
        ("fast", "gram-1e"),
        ("gram-1s", "gram-1s"),
    ]
    assert picked.entries[0] == load_preset(preset).entries[1]
    child = tmp_path / "child.toml"
    child.write_text('extends = "own"\n[training]\nstrategies = ["fast", "gram-1s"]\n')
    assert load_preset(str(child)) == picked
    with pytest.raises(ConfigError, match=r"^command line: trials: unknown strategy 'slow'"):
        load_preset(preset, ['training.strategies=["fast", "slow"]'])


def test_both_forms_at_once_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "both.toml"
    path.write_text(TWO_RATES + '\n[training]\nstrategies = ["e2e"]\n')
    both = "training.strategies and trials are both given. Keep one of them"
    assert f"{path}: {both}" in refusal(preset=str(path))
    assert f"command line: {both}" in refusal("e2e", sets=('training.strategies=["e2e"]',))


@pytest.mark.parametrize(
    ("trials", "words"),
    [
        (("a: gram-1e, encoder_optimiser.lr=1",), "Did you mean 'encoder_optimizer.lr'?"),
        (("a: gram-1e, batch_size=1",), "Did you mean 'training.batch_size'?"),
        (("a: gram-1e, data.validation_share=.2",), "a: data.validation_share may not differ"),
        (("a: gram-1e, encoder.dropout=.2",), "a: encoder.dropout may not differ"),
        (("a: gram-1e, evaluation.every=1s",), "a: evaluation.every may not differ"),
        (("a: gram-1e, engine.graphs=on",), "a: engine.graphs may not differ"),
        (("a: gram-1e, training.seeds=1",), "a: training.seeds may not differ"),
        (("a: gram-1e, encoder_optimizer.lr.x=1",), "Did you mean 'encoder_optimizer.lr'?"),
        (("a: gram-1e, multi_step=1",), "there is no setting 'multi_step'. Did you mean 'multi_step."),
        (("a: gram-1e, device=cpu",), "a: device may not differ"),
        (("a: gram-1e, encoder_optimizer.lr=-1",), "a: encoder_optimizer.lr: must be greater than 0, not -1"),
        (("a: gram-1e, training.batch_size=many",), "a: training.batch_size: must be a whole number"),
        (("a: gram-1z",), "unknown strategy 'gram-1z'"),
        (("gram-1s: gram-1e",), "gram-1e is the name of another strategy. Choose"),
        (("../x: gram-1e",), "'../x' cannot be a label, which names a folder."),
        (("null-x: gram-1e",), "'null-x' is reserved"),
        (("setup: gram-1e",), "'setup' is reserved"),
        (("a: gram-1e", "A: gram-1e"), "two trials are called 'A'. Give each its own label."),
        (("gram-1e", "gram-1e"), "two trials are called 'gram-1e'"),
        (("a: gram-1e, lr",), "cannot be read. Write --trial 'label: strategy, table.key=value'"),
        (("a: gram-1e encoder.adapt=lora",), "cannot be read"),
        ((": gram-1e",), "cannot be read"),
        (("",), "cannot be read"),
        (("a: nrms, words.width=8",), "a: words.width may not differ"),
        (("a: lm-kt",), "lm-kt is a system for knowledge-tracing"),
    ],
)
def test_what_cannot_be_a_trial_is_refused_with_the_fix(trials: tuple[str, ...], words: str) -> None:
    assert words in refusal(*trials)


def test_a_wrong_trial_of_a_preset_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "wrong.toml"
    path.write_text(TWO_RATES.replace("encoder_optimizer.lr", "encoder_optimizer.rate"))
    assert refusal(preset=str(path)).startswith(f"{path}: trials: fast: there is no setting")


def test_what_is_shown_of_a_preset_with_trials_is_that_preset(preset: str) -> None:
    text = "\n".join("".join(line) for line in listing(load_preset(preset), 80))
    shown = validate(tomllib.loads(text), "stdout")
    assert list(settings_read(shown)) == list(settings_read(load_preset(preset)))


def test_a_run_with_trials_is_kept_as_it_is(preset: str) -> None:
    spec = load_preset(preset)
    assert read_kept(json.loads(json.dumps(spec.model_dump(mode="json")))) == spec


def test_only_strategies_that_train_the_encoder_adapt_it() -> None:
    spec = load_preset("demo", ["encoder.adapt=freeze"], ("e2e", "nofinetune", "crcf-1s", "speedyfeed"))
    adapt = [spec.with_own(entry).encoder.adapt for entry in spec.trials]
    assert adapt == ["freeze", "full", "full", "freeze"]


def test_a_list_of_a_trial_is_kept_as_it_is() -> None:
    spec = load_preset("demo", (), ('a: gram-1s, encoder.adapt=lora, encoder.lora.targets=["query"]', "e2e"))
    assert spec.with_own(spec.trials[0]).encoder.lora.targets == ("query",)
    assert read_kept(json.loads(json.dumps(spec.model_dump(mode="json")))) == spec


def test_a_changed_setting_of_a_trial_is_named() -> None:
    def dumped(rate: float, *labels: str) -> Any:
        entries = tuple(
            TrialEntry(label=label, strategy="gram-1e", settings={"filter_optimizer.lr": rate})
            for label in labels
        )
        return Spec(trials=entries).model_dump(mode="json")

    words = "trials.fast.settings.filter_optimizer.lr: 0.001, now 0.002"
    assert differences(dumped(1e-3, "fast"), dumped(2e-3, "fast")) == [words]
    assert differences(dumped(1e-3, "fast"), dumped(1e-3, "fast")) == []
    assert len(differences(dumped(1e-3, "a", "b"), dumped(1e-3, "b", "a"))) == 1


def test_a_run_before_trials_had_settings_is_the_same_run() -> None:
    spec = Spec(training=Training(strategies=("e2e",)))
    written = spec.model_dump(mode="json")
    del written["trials"]
    kept = read_kept(written).model_dump(mode="json")
    assert differences(kept, as_kept(spec.model_dump(mode="json"), kept, written)) == []
