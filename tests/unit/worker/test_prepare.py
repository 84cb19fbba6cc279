"""From a specification to mapped arrays, and what the log says about it."""

import json
from pathlib import Path

import pytest

from grambench.config.presets import load_preset
from grambench.config.spec import Spec
from grambench.data.tokenizer import build_wordpiece
from grambench.domains.prepared import open_prepared
from grambench.errors import ConfigError, DataError, MachineError
from grambench.events import types as ev
from grambench.worker.prepare import data_folder, prepare_data

SMALL = (
    "data.synthetic={news = 60, users = 40, train_impressions = 50, dev_impressions = 20}",
    "encoder.architecture={hidden_size = 16, layers = 1, heads = 2}",
    "filter.nrms.heads=2",
)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GRAMBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    return tmp_path / "cache"


def small(*assignments: str) -> Spec:
    return load_preset("demo", (*SMALL, *assignments))


def test_a_second_preparation_maps_the_first(cache: Path) -> None:
    first: list[ev.Event] = []
    second: list[ev.Event] = []
    folder = prepare_data(small(), first.append)
    assert prepare_data(small(), second.append) == folder
    assert folder.is_relative_to(cache)
    made, mapped = first[-1], second[-1]
    assert isinstance(made, ev.DataPrepared)
    assert isinstance(mapped, ev.DataPrepared)
    assert (made.reused, mapped.reused) == (False, True)
    assert (made.fingerprint, made.counts) == (mapped.fingerprint, mapped.counts)
    assert made.folder == str(folder)
    assert set(made.counts) == {"items", "train", "validation", "test"}
    assert {event.phase for event in second[:-1] if isinstance(event, ev.PrepareProgress)} <= {"hash"}
    assert len(open_prepared(folder).parts["test"].users) == 20


def test_other_settings_are_other_arrays() -> None:
    def emit(_: ev.Event) -> None: ...

    folder = prepare_data(small(), emit)
    assert prepare_data(small("data.fields.title=8"), emit) != folder
    assert prepare_data(small("training.epochs=3"), emit) == folder


def test_synthetic_data_are_generated_once_per_law() -> None:
    folder = data_folder(small())
    stamp = (folder / "train" / "news.tsv").stat().st_mtime_ns
    assert data_folder(small()) == folder
    assert (folder / "train" / "news.tsv").stat().st_mtime_ns == stamp
    assert data_folder(small("data.synthetic.seed=1")) != folder


def test_a_folder_that_is_not_there_is_a_data_error(tmp_path: Path) -> None:
    spec = small("data.source=mind", f"data.dir='{tmp_path / 'absent'}'")
    with pytest.raises(DataError, match="does not exist"):
        prepare_data(spec, lambda _: None)


def saved_tokenizer(folder: Path, *texts: str) -> str:
    """A folder with the WordPiece tokenizer of some texts, as pretrained models have them."""
    folder.mkdir()
    build_wordpiece(iter(texts), 100).save(folder)
    names = {"cls_token": "[CLS]", "sep_token": "[SEP]", "unk_token": "[UNK]"}
    config = {"tokenizer_class": "PreTrainedTokenizerFast", **names}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return f"encoder={{model = '{folder}'}}"


def test_a_tokenizer_of_another_script_is_refused_before_training(tmp_path: Path) -> None:
    spec = load_preset(
        "demo", (SMALL[0], saved_tokenizer(tmp_path / "model", "北京 天气"), "filter.nrms.heads=1")
    )
    events: list[ev.Event] = []
    with pytest.raises(ConfigError, match="knows no word in the texts of 60 items: all would look the same"):
        prepare_data(spec, events.append)
    assert not any(isinstance(event, ev.DataPrepared) for event in events)
    with pytest.raises(ConfigError, match="knows no word"):  # nor from the cache
        prepare_data(spec, events.append)


def test_a_tokenizer_that_knows_few_words_and_a_model_of_many_more_are_warned_of(tmp_path: Path) -> None:
    letters = "a b c d e f g"
    spec = load_preset(
        "demo", (SMALL[0], saved_tokenizer(tmp_path / "model", letters), "filter.nrms.heads=1")
    )
    (tmp_path / "model" / "config.json").write_text('{"model_type": "bert", "vocab_size": 500}')
    events: list[ev.Event] = []
    prepare_data(spec, events.append)
    warned = {event.code: event.message for event in events if isinstance(event, ev.Warned)}
    assert "tokens of the items' texts are unknown to the tokenizer" in warned["unknown-tokens"]
    assert warned["small-vocabulary"].endswith("its model has embeddings for 500: do they belong together?")
    assert isinstance(events[-1], ev.DataPrepared)
    counts = events[-1].counts["items"]
    assert counts["text_tokens"] > counts["unknown_tokens"] > 0.5 * counts["text_tokens"]


def test_a_tokenizer_that_is_not_to_be_had_is_an_error_of_the_machine(tmp_path: Path) -> None:
    spec = load_preset("demo", (SMALL[0], "encoder.model=nobody/nothing", "filter.nrms.heads=1"))
    with pytest.raises(MachineError, match="nobody/nothing"):
        prepare_data(spec, lambda _: None)
