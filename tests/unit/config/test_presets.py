"""Presets: found, extended, changed, and refused with the nearest valid key."""

from pathlib import Path

import pytest

from grambench.config.labels import data_label, model_label
from grambench.config.networks import Encoder
from grambench.config.presets import find_preset, load_preset, preset_names
from grambench.config.spec import Spec
from grambench.config.table import settings
from grambench.errors import ConfigError


def write(folder: Path, name: str, text: str) -> str:
    path = folder / f"{name}.toml"
    path.write_text(text)
    return str(path)


def refusal(name: str, *assignments: str) -> str:
    with pytest.raises(ConfigError) as refused:
        load_preset(name, assignments)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_the_presets_of_the_package_are_those_of_the_readme() -> None:
    assert preset_names() == [
        "assist2009",
        "demo",
        "demo-kt",
        "demo-modern",
        "duolingo-es",
        "duolingo-fr",
        "ednet",
        "goodreads",
        "mind-large",
        "mind-large-body",
        "mind-small",
        "mind-small-body",
        "modern",
        "modern-goodreads",
        "modern-mind-small",
        "modern-my-news",
        "my-kt",
        "my-news",
        "poj",
    ]
    assert all(load_preset(name).name == name for name in preset_names())
    assert all(find_preset(name).is_file() for name in preset_names())


def test_the_paper_preset_has_the_papers_settings() -> None:
    spec = load_preset("mind-small")
    assert spec.encoder.model == "nreimers/TinyBERT_L-6_H-768_v2"
    assert (spec.filter.nrms.heads, spec.filter.nrms.query, spec.filter.history) == (16, 200, 50)
    assert (spec.training.batch_size, spec.training.negatives, spec.training.patience) == (256, 4, 10)
    assert (spec.encoder_optimizer.warmup_steps, spec.filter_optimizer.warmup_steps) == (40, 4000)
    assert (spec.encoder.dropout, spec.data.fields.title) == (0.0, 24)


@pytest.mark.parametrize("name", [name for name in preset_names() if "modern" in name])
def test_the_modern_presets_race_every_adaptation_with_every_strategy(name: str) -> None:
    spec = load_preset(name)
    found = {(spec.with_own(trial).encoder.adapt, trial.strategy): trial.label for trial in spec.trials}
    strategies = ("e2e", "gram-1s", "gram-1e")
    assert found.keys() == {(adapt, s) for adapt in ("full", "freeze", "lora", "side") for s in strategies}
    assert found["full", "gram-1e"] == "gram-1e"
    assert found["lora", "gram-1e"] == "lora-1e"
    assert spec.reference == "e2e"


@pytest.mark.parametrize(
    ("name", "warm_up", "cold_items"),
    [("duolingo-es", 40, 200), ("duolingo-fr", 40, 200), ("poj", 400, 200), ("ednet", 4000, 684)],
)
def test_the_papers_knowledge_tracing_has_the_papers_settings(
    name: str, warm_up: int, cold_items: int
) -> None:
    spec = load_preset(name)
    assert (spec.data.domain, spec.data.cold_items) == ("knowledge-tracing", cold_items)
    assert (spec.filter.sequence, spec.filter.lstm.layers, spec.filter.lstm.dropout) == (100, 2, 0.2)
    assert (spec.training.batch_size, spec.training.patience, spec.encoder.pooling) == (32, 10, "mean")
    assert spec.encoder_optimizer.warmup_steps == spec.filter_optimizer.warmup_steps == warm_up
    assert spec.data.duolingo.track == ("fr_en" if name == "duolingo-fr" else "es_en")


def test_a_child_overrides_single_keys_of_its_parent(tmp_path: Path) -> None:
    path = write(tmp_path, "child", 'extends = "demo"\nname = "child"\n[data.synthetic]\nnews = 77\n')
    child, parent = load_preset(path), load_preset("demo")
    assert (child.name, child.data.synthetic.news) == ("child", 77)
    assert child.data.synthetic.users == parent.data.synthetic.users
    assert child.encoder == parent.encoder


def test_a_sibling_file_goes_before_a_preset_of_the_same_name(tmp_path: Path) -> None:
    write(tmp_path, "demo", 'extends = "mind-small"\nname = "own"\n')
    path = write(tmp_path, "child", 'extends = "demo"\n')
    assert load_preset(path).name == "own"
    assert load_preset(path).encoder.model == load_preset("mind-small").encoder.model


def test_presets_in_a_circle_are_refused(tmp_path: Path) -> None:
    write(tmp_path, "a", 'extends = "b"\n')
    path = write(tmp_path, "b", 'extends = "a"\n')
    assert "b.toml -> a.toml -> b.toml" in refusal(path)


def test_a_model_takes_the_place_of_an_architecture_and_the_other_way_round(tmp_path: Path) -> None:
    path = write(tmp_path, "child", 'extends = "demo"\nencoder.model = "some/model"\n')
    assert load_preset(path).encoder.architecture is None
    changed = load_preset("demo", ["encoder.model=some/model"])
    assert (changed.encoder.model, changed.encoder.architecture) == ("some/model", None)
    changed = load_preset("mind-small", ["encoder.architecture.hidden_size=32"])
    assert changed.encoder.model is None
    both = refusal("demo", "encoder.model=x", "encoder.architecture.layers=1")
    assert "exactly one of model and architecture" in both


@pytest.mark.parametrize(
    ("assignment", "read"),
    [
        ("training.epochs=3", lambda spec: spec.training.epochs == 3),
        (" training.epochs = 3 ", lambda spec: spec.training.epochs == 3),
        ("training.max_steps=none", lambda spec: spec.training.max_steps is None),
        ("encoder_optimizer.lr=1e-5", lambda spec: spec.encoder_optimizer.lr == 1e-5),
        ("training.seeds=[1, 2]", lambda spec: spec.training.seeds == (1, 2)),
        ("data.dir=/a b/c=d", lambda spec: spec.data.dir == "/a b/c=d"),
        ("device=cuda:1", lambda spec: spec.device == "cuda:1"),
        ('name="3"', lambda spec: spec.name == "3"),
    ],
)
def test_set_reads_toml_else_plain_words(assignment: str, read: object) -> None:
    assert callable(read)
    assert read(load_preset("demo", [assignment]))


def test_a_later_set_wins() -> None:
    assert load_preset("demo", ["training.epochs=3", "training.epochs=4"]).training.epochs == 4


@pytest.mark.parametrize(
    ("assignment", "words"),
    [
        ("training.epoch=3", "there is no setting 'training.epoch'. Did you mean 'training.epochs'?"),
        ("trainig.epochs=3", "Did you mean 'training'?"),
        ("data.synthetic.nws=3", "Did you mean 'data.synthetic.news'?"),
        (
            "training.batch_size=-1",
            "training.batch_size: must be at least 1, not -1.",
        ),
        ("training.batch_size=2.5", "training.batch_size: "),
        ("training.batch_size=many", "not 'many'"),
        ("training.seeds=[1, 1]", "each once"),
        ("device=gpu", "unknown device 'gpu'"),
        ("training=3", "training: "),
        ("training.epochs.x=3", "training.epochs"),
        ("training.epochs", "has no value"),
        ("=3", "has no value"),
        ("name.x.y=3", "name"),
    ],
)
def test_a_wrong_set_names_the_command_line_or_key_and_the_fix(assignment: str, words: str) -> None:
    assert words in refusal("demo", assignment)


def test_an_error_says_whether_the_file_or_the_command_line_is_wrong(tmp_path: Path) -> None:
    path = write(tmp_path, "own", 'extends = "demo"\n[training]\nbatch_size = 0\n')
    assert refusal(path).startswith(f"{path}: training.batch_size: ")
    assert refusal("demo", "training.batch_size=0").startswith("command line: training.batch_size: ")
    assert "It means: Users (training samples) in a batch." in refusal("demo", "training.batch_size=0")
    several_lines = refusal("demo", "encoder.layout=rows")
    assert "pads items of like length to one length" in several_lines
    assert "\n" not in several_lines


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"a = ", "is not valid TOML"),
        (b"\xff", "cannot be read"),
        (b"extends = 3", "extends must name one preset, not 3"),
        (b"extends = 'dmo'", "Did you mean 'demo'?"),
        (b"colour = 'red'", "there is no setting 'colour'"),
    ],
)
def test_a_damaged_file_is_refused(tmp_path: Path, text: bytes, words: str) -> None:
    path = tmp_path / "own.toml"
    path.write_bytes(text)
    assert words in refusal(str(path))


def test_a_byte_order_mark_is_harmless(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_bytes(b"\xef\xbb\xbfextends = 'demo'\nname = 'marked'\n")
    assert load_preset(str(path)).name == "marked"


@pytest.mark.parametrize("name", ["dmo", "zzz", "no/such.toml", "absent.toml", "_base", "../presets/demo"])
def test_an_unknown_preset_is_refused(name: str) -> None:
    assert refusal(name)


def test_every_setting_is_explained() -> None:
    listed = list(settings(Spec()))
    assert len({key for key, _, _ in listed}) == len(listed)
    assert [key for key, _, meaning in listed if not meaning] == []


def test_labels_say_model_and_data_in_words() -> None:
    assert model_label(load_preset("demo")) == "BERT from scratch, 2 layers × 48"
    assert model_label(Spec(encoder=Encoder(model="a/b", layers=2))) == "a/b, first 2 layers"
    assert model_label(Spec(encoder=Encoder(model="/home/me/models/minilm/v2"))) == "minilm/v2"
    assert data_label(load_preset("demo")) == "demo (synthetic), title"
    assert data_label(load_preset("goodreads")) == "goodreads, title + abstract"


def test_a_key_cannot_be_a_table_and_a_value() -> None:
    both = refusal("demo", "schedule.turn_s=0.3", 'schedule="race"')
    assert both.startswith("schedule is given as a table")
    assert "schedule is not a table" in refusal("demo", 'schedule="race"', "schedule.turn_s=0.3")


def test_several_devices_train_in_parallel_unless_the_schedule_is_set(tmp_path: Path) -> None:
    devices = "device=cuda:0,cuda:1"
    for preset in ("demo", "goodreads", write(tmp_path, "own", "extends = 'mind-small'")):
        assert load_preset(preset, [devices]).schedule == "parallel"
    assert load_preset(write(tmp_path, "two", "extends = 'demo'\ndevice = 'cpu,cpu'")).schedule == "parallel"
    assert load_preset("demo", ["device=cuda:1"]).schedule == "race"
    assert "schedule = race uses one device" in refusal("demo", devices, "schedule=race")
    assert "race uses one" in refusal(write(tmp_path, "race", "extends='demo'\nschedule = 'race'"), devices)
    write(tmp_path, "child", "extends = 'race'")
    assert "race uses one" in refusal(str(tmp_path / "child.toml"), devices)
