"""A model's folder is refused in one sentence before any library reads it, and nothing in it is run."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_models import ENCODERS, REFUSED, encoder_of, plain_model, saved_model

from attacks import encoder_files
from grambench.config.networks import Encoder
from grambench.data.tokenizer import tokenizer_for
from grambench.errors import ConfigError, MachineError
from grambench.hub import hub_errors, require_usable
from grambench.models.encoders.files import model_files
from grambench.models.encoders.load import encoder_width, load_encoder
from grambench.models.encoders.sentence import pooling_of

MODULES = [
    {"idx": 0, "path": "0_Transformer", "type": "sentence_transformers.models.Transformer"},
    {"idx": 1, "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole model, which no test changes; its tokenizer is not read."""
    folder = saved_model(ENCODERS["bert"], tmp_path_factory.mktemp("models") / "bert")
    (folder / "tokenizer.json").write_text("{}")
    return folder


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    for path in whole.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path


def config_with(**changes: Any) -> Callable[[Path], object]:
    def change(folder: Path) -> None:
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**config, **changes}))

    return change


def containing(content: str, name: str = "config.json") -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_text(content)


def adapter(folder: Path) -> None:
    (folder / "config.json").unlink()
    (folder / "model.safetensors").rename(folder / "adapter_model.safetensors")
    (folder / "adapter_config.json").write_text('{"base_model_name_or_path": "org/base"}')


def empty(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()


WRONG: dict[str, tuple[Callable[[Path], object], str]] = {
    "an adapter": (adapter, r"is an adapter of org/base, not a whole model\. Merge it into its base first"),
    "empty": (empty, "is an empty folder"),
    "no config": (lambda folder: (folder / "config.json").unlink(), r"has no config\.json"),
    "no weights": (lambda folder: (folder / "model.safetensors").unlink(), "has no weights"),
    "cut": (containing('{"model_type": "be'), r"has a damaged config\.json: it is not JSON"),
    "a list": (containing("[]"), r"has a damaged config\.json: it is not a JSON object"),
    "null": (containing("null"), r"has a damaged config\.json: it is not a JSON object"),
    "deep": (containing("[" * 100_000), r"has a damaged config\.json: it is nested too deeply"),
    "long": (containing(" " * 17_000_000), r"has a damaged config\.json: it is longer than 16 MiB"),
    "not a number": (config_with(initializer_range=float("nan")), "initializer_range is not a number"),
    "too many layers": (config_with(num_hidden_layers=10**9), "num_hidden_layers = 1e.09 is above 256"),
    "negative": (config_with(num_attention_heads=-1), "num_attention_heads = -1 is negative"),
    "too wide": (config_with(hidden_size=10**12), "hidden_size = 1e.12 is above 16,777,216"),
    "no tokenizer": (lambda folder: (folder / "tokenizer.json").unlink(), r"has no tokenizer\. Put its"),
    "a damaged tokenizer": (containing('{"a', "tokenizer.json"), r"has a damaged tokenizer\.json: it is not"),
    "clip": (config_with(vision_config={}), r"needs more than text: it reads images \(vision_config"),
    "sound": (config_with(num_mel_bins=80), "it reads sound"),
    "layoutlm": (config_with(max_2d_position_embeddings=1024), "it reads the place of every word on a page"),
    "words only": (
        lambda folder: (
            empty(folder),
            (folder / "modules.json").write_text('[{"path": "", "type": "x.BoW"}]'),
        ),
        "is not a transformer: it begins with BoW",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_seen_in_the_files_is_refused_before_they_are_loaded(case: str, folder: Path) -> None:
    damage, words = WRONG[case]
    require_usable(str(folder), None)
    damage(folder)
    with pytest.raises(ConfigError, match=words) as refused:
        require_usable(str(folder), None)
    assert str(folder) in refused.value.message
    assert refused.value.fix.endswith(".")
    for read in (encoder_width, lambda spec: load_encoder(spec, 0, autocast=False)):
        if not case.endswith(("tokenizer", "weights")):
            with pytest.raises(ConfigError, match=str(folder)):
                read(Encoder(model=str(folder)))


def test_what_the_cache_lacks_may_still_be_on_the_hub(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "model.safetensors").unlink()
    monkeypatch.setattr("grambench.hub.model_folder", lambda model, revision: folder)
    require_usable("org/model", None)
    config_with(vision_config={})(folder)
    with pytest.raises(ConfigError, match="needs more than text"):
        require_usable("org/model", None)


def test_layers_that_are_not_one_stack_cannot_be_cut(tmp_path: Path) -> None:
    folder = saved_model(REFUSED["prophetnet"], tmp_path)
    with pytest.raises(
        ConfigError, match=r"layers of a model of type prophetnet .*Leave out encoder\.layers"
    ):
        load_encoder(encoder_of(folder, layers=1), 0, autocast=False)


def test_a_file_is_not_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "model.gguf").touch()
    monkeypatch.chdir(tmp_path)
    for name in ("model.gguf", str(tmp_path / "model.gguf")):
        with pytest.raises(ConfigError, match="is not a folder"):
            require_usable(name, None)


def test_a_pickle_in_place_of_weights_is_not_run(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    bomb = encoder_files.Bomb(folder / encoder_files.MARKER)
    torch.save({"embeddings": bomb}, folder / "pytorch_model.bin")
    with pytest.raises(ConfigError, match="holds more than weights; it was not run"):
        load_encoder(Encoder(model=str(folder)), 0, autocast=False)
    assert not (folder / encoder_files.MARKER).exists()


def test_code_in_the_folder_is_not_run_and_a_model_that_needs_it_is_refused(folder: Path) -> None:
    (folder / "mine.py").write_text(f"open({str(folder / encoder_files.MARKER)!r}, 'w')")
    asks = {"AutoConfig": "mine.Config", "AutoModel": "mine.Model"}
    config_with(auto_map=asks)(folder)
    load_encoder(Encoder(model=str(folder)), 0, autocast=False)  # transformers itself knows a BERT
    config_with(model_type="mine")(folder)
    with pytest.raises(ConfigError, match="needs code of its own"):
        load_encoder(Encoder(model=str(folder)), 0, autocast=False)
    assert not (folder / encoder_files.MARKER).exists()


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (OSError("You are trying to access a gated repo."), MachineError, "is gated on .* `hf auth login`"),
        (
            RuntimeError("DefaultCPUAllocator: can't allocate memory"),
            MachineError,
            "does not fit into memory",
        ),
        (
            ImportError("`tiktoken` is required to read a `tiktoken` file."),
            MachineError,
            "`pip install sentencepiece protobuf tiktoken`",
        ),
        (MemoryError(), MachineError, "does not fit into memory"),
        (KeyError("model_type"), ConfigError, "KeyError 'model_type'"),
    ],
)
def test_errors_of_the_libraries_become_sentences(
    error: Exception, kind: type[Exception], words: str
) -> None:
    with pytest.raises(kind, match=words), hub_errors("some/model"):
        raise error


def test_a_bug_of_ours_and_a_stop_pass_unchanged() -> None:
    for error in (ConfigError("ours"), KeyboardInterrupt()):
        with pytest.raises(type(error)) as passed, hub_errors("some/model"):
            raise error
        assert passed.value is error


def old_layout(whole: Path, folder: Path, pooling: dict[str, Any]) -> Path:
    """A folder of an early sentence-transformers: `0_Transformer/`, and a config.json of its own."""
    (folder / "0_Transformer").mkdir()
    for path in whole.iterdir():
        (folder / "0_Transformer" / path.name).write_bytes(path.read_bytes())
    (folder / "config.json").write_text('{"__version__": "0.2.5"}')
    (folder / "modules.json").write_text(json.dumps(MODULES))
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({"word_embedding_dimension": 16, **pooling}))
    return folder


@pytest.mark.parametrize(
    ("pooling", "taken"),
    [
        ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, "cls"),
        ({"pooling_mode_lasttoken": True}, "last"),
        ({"pooling_mode": "lasttoken"}, "last"),
        ({"pooling_mode": ["mean"], "pooling_mode_cls_token": True}, "mean"),
        ({}, "mean"),
    ],
)
def test_an_old_folder_is_read_and_pooled_as_it_says(
    pooling: dict[str, Any], taken: str, whole: Path, tmp_path: Path
) -> None:
    folder = old_layout(whole, tmp_path, pooling)
    require_usable(str(folder), None)
    spec = encoder_of(folder, pooling="own-or-attention")
    encoder = load_encoder(spec, 0, autocast=False).eval()
    ids, mask = torch.tensor([[5, 6, 7, 0]]), torch.tensor([[True, True, True, False]])
    hidden = plain_model(whole)(input_ids=ids[:, :3]).last_hidden_state[0]
    wanted = {"cls": hidden[0], "last": hidden[-1], "mean": hidden.mean(dim=0)}
    assert torch.allclose(encoder(encoder.lookup(ids), mask)[0], wanted[taken], atol=1e-5)
    assert encoder_width(spec) == encoder.width == 16
    assert {"0_Transformer/model.safetensors", "1_Pooling/config.json"} <= set(model_files(str(folder), None))


def test_what_is_set_wins_and_a_model_that_says_nothing_gets_the_second_choice(
    whole: Path, tmp_path: Path
) -> None:
    said = old_layout(whole, tmp_path, {"pooling_mode": "cls"})
    assert [pooling_of(encoder_of(said, pooling=name)) for name in ("mean", "attention")] == [
        "mean",
        "attention",
    ]
    assert [pooling_of(encoder_of(whole, pooling=f"own-or-{name}")) for name in ("mean", "attention")] == [
        "mean",
        "attention",
    ]


@pytest.mark.parametrize(
    ("pooling", "words"),
    [
        ({"pooling_mode": "weightedmean"}, "by weightedmean, which"),
        ({"pooling_mode_cls_token": True, "pooling_mode_max_tokens": True}, "by cls and max, which"),
        ({"pooling_mode": 3}, r"damaged 1_Pooling/config\.json"),
    ],
)
def test_a_pooling_that_is_not_known_is_refused_with_the_choice(
    pooling: dict[str, Any], words: str, whole: Path, tmp_path: Path
) -> None:
    folder = old_layout(whole, tmp_path, pooling)
    with pytest.raises(ConfigError, match=f"{words}.* --set encoder.pooling=mean"):
        pooling_of(encoder_of(folder, pooling="own-or-mean"))
    assert pooling_of(encoder_of(folder, pooling="mean")) == "mean"


def test_a_path_out_of_the_folder_is_not_followed(whole: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    modules = [{"path": f"../{whole.name}", "type": "a.Transformer"}, {"path": "..", "type": "a.Pooling"}]
    (folder / "modules.json").write_text(json.dumps(modules))
    whole_beside = tmp_path / whole.name
    whole_beside.symlink_to(whole)
    with pytest.raises(ConfigError, match=r"has no config\.json"):
        require_usable(str(folder), None)
    assert pooling_of(encoder_of(folder, pooling="own-or-mean")) == "mean"


def test_a_tokenizer_without_its_unknown_token_is_refused_before_any_text(tmp_path: Path) -> None:
    folder = encoder_files.whole_model(tmp_path / "model")
    encoder_files.load(folder)
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    tokenizer["model"]["unk_token"] = ""
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    with pytest.raises(ConfigError, match=r"WordPiece error: Missing \[UNK\] token"):
        tokenizer_for(Encoder(model=str(folder)))


def test_damaged_folders_are_refused_in_sentences() -> None:
    assert encoder_files.attack(30, seed=0) == []
