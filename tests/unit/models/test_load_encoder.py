"""Encoders from scratch, from folders of every family, and the sentences where there is none."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch
from tiny_systems import VOCABULARY, encoder_spec, vectors_of
from transformers import (
    BertConfig,
    BertForMaskedLM,
    BertModel,
    DistilBertConfig,
    DistilBertModel,
    RobertaConfig,
    RobertaModel,
)

from grambench.config.networks import Encoder
from grambench.errors import ConfigError
from grambench.hub import hub_errors
from grambench.models.encoders.load import load_encoder

SMALL = {"vocab_size": VOCABULARY, "hidden_size": 16, "num_attention_heads": 4, "intermediate_size": 32}
IDS = torch.tensor([[5, 6, 7, 8, 0], [9, 10, 0, 0, 0]])
MASK = torch.tensor([[True] * 4 + [False], [True] * 2 + [False] * 3])


def bert() -> BertModel:
    return BertModel(BertConfig(**SMALL, num_hidden_layers=3))


def distilbert() -> DistilBertModel:
    return DistilBertModel(
        DistilBertConfig(vocab_size=VOCABULARY, dim=16, n_heads=4, hidden_dim=32, n_layers=3)
    )


def roberta() -> RobertaModel:
    return RobertaModel(RobertaConfig(**SMALL, num_hidden_layers=3, max_position_embeddings=66))


FAMILIES = {"bert": bert, "distilbert": distilbert, "roberta": roberta}


def save(model: torch.nn.Module, folder: Path, file: str) -> None:
    model.save_pretrained(folder)
    if file == "pytorch_model.bin":
        (folder / "model.safetensors").unlink()
        torch.save(model.state_dict(), folder / file)


@pytest.mark.parametrize("file", ["model.safetensors", "pytorch_model.bin"])
@pytest.mark.parametrize("family", FAMILIES)
def test_saved_model_loads_with_its_weights(family: str, file: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    saved = FAMILIES[family]().eval()
    save(saved, tmp_path, file)
    encoder = load_encoder(Encoder(model=str(tmp_path), pooling="mean"), 0, autocast=False)
    with torch.no_grad():
        hidden = saved(input_ids=IDS, attention_mask=MASK.long()).last_hidden_state
        found = vectors_of(encoder, IDS, MASK)
    assert encoder.width == 16
    for row, length in enumerate((4, 2)):
        assert torch.allclose(found[row], hidden[row, :length].mean(dim=0), atol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_dropout_is_off_everywhere_and_on_when_asked(family: str, tmp_path: Path) -> None:
    save(FAMILIES[family](), tmp_path, "model.safetensors")
    encoder = load_encoder(Encoder(model=str(tmp_path)), 0, autocast=False)
    with torch.no_grad():
        assert torch.equal(vectors_of(encoder.train(), IDS, MASK), vectors_of(encoder.eval(), IDS, MASK))
        asked = load_encoder(Encoder(model=str(tmp_path), dropout=0.3), 0, autocast=False)
        assert not torch.equal(vectors_of(asked.train(), IDS, MASK), vectors_of(asked.train(), IDS, MASK))


def test_dropout_is_off_from_scratch() -> None:
    encoder = load_encoder(encoder_spec(), VOCABULARY, autocast=False)
    with torch.no_grad():
        assert torch.equal(vectors_of(encoder.train(), IDS, MASK), vectors_of(encoder.eval(), IDS, MASK))


@pytest.mark.parametrize("family", FAMILIES)
def test_every_parameter_is_read(family: str, tmp_path: Path) -> None:
    save(FAMILIES[family](), tmp_path, "model.safetensors")
    encoder = load_encoder(Encoder(model=str(tmp_path)), 0, autocast=False)
    vectors_of(encoder, IDS, MASK).square().sum().backward()
    assert [name for name, p in encoder.named_parameters() if p.grad is None] == []
    assert not any("pooler" in name for name, _ in encoder.named_parameters())


@pytest.mark.parametrize("family", FAMILIES)
def test_layers_cuts_the_model_to_its_first(family: str, tmp_path: Path) -> None:
    save(FAMILIES[family](), tmp_path, "model.safetensors")
    sizes = []
    for layers in (1, 2, 3, 9):
        encoder = load_encoder(Encoder(model=str(tmp_path), layers=layers), 0, autocast=False)
        sizes.append(sum(p.numel() for p in encoder.parameters()))
    assert sizes[1] - sizes[0] == sizes[2] - sizes[1] > 0
    assert sizes[3] == sizes[2]


def test_first_layer_keeps_its_weights(tmp_path: Path) -> None:
    saved = bert()
    save(saved, tmp_path, "model.safetensors")
    encoder = load_encoder(Encoder(model=str(tmp_path), layers=1), 0, autocast=False)
    kept = encoder.backbone.state_dict()
    assert all(torch.equal(value, saved.state_dict()[name]) for name, value in kept.items())


def test_head_of_a_language_model_is_left_behind(tmp_path: Path) -> None:
    saved = BertForMaskedLM(BertConfig(**SMALL, num_hidden_layers=2)).eval()
    save(saved, tmp_path, "model.safetensors")
    encoder = load_encoder(Encoder(model=str(tmp_path), pooling="mean"), 0, autocast=False)
    with torch.no_grad():
        wanted = saved.bert(input_ids=IDS[:1, :4]).last_hidden_state.mean(dim=1)
        assert torch.allclose(vectors_of(encoder, IDS, MASK)[:1], wanted, atol=1e-5)


def test_from_scratch_follows_the_seed() -> None:
    states = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        states.append(load_encoder(encoder_spec(), VOCABULARY, autocast=False).state_dict())
    first, again, other = states
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


def test_folder_without_a_model_is_a_config_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds no model that transformers can read"):
        load_encoder(Encoder(model=str(tmp_path)), 0, autocast=False)


def test_folder_without_weights_is_a_config_error(tmp_path: Path) -> None:
    save(bert(), tmp_path, "model.safetensors")
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(ConfigError, match=r"needs config\.json, a tokenizer and model\.safetensors"):
        load_encoder(Encoder(model=str(tmp_path)), 0, autocast=False)


def test_damaged_weights_are_a_config_error(tmp_path: Path) -> None:
    save(bert(), tmp_path, "model.safetensors")
    file = tmp_path / "model.safetensors"
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(ConfigError, match="holds no model that transformers can read"):
        load_encoder(Encoder(model=str(tmp_path)), 0, autocast=False)


def test_damaged_cache_says_how_to_fetch_the_model_again() -> None:
    with (
        pytest.raises(ConfigError, match="hf download --force-download some/model"),
        hub_errors("some/model"),
    ):
        raise RuntimeError("PytorchStreamReader failed")


def test_weights_of_another_model_are_a_config_error(tmp_path: Path) -> None:
    save(bert(), tmp_path, "model.safetensors")
    distilbert().save_pretrained(tmp_path / "other")
    (tmp_path / "other" / "model.safetensors").replace(tmp_path / "model.safetensors")
    with pytest.raises(ConfigError, match="no weights for"):
        load_encoder(Encoder(model=str(tmp_path)), 0, autocast=False)


def test_path_that_is_no_folder_is_a_config_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is not a folder"):
        load_encoder(Encoder(model=str(tmp_path / "absent")), 0, autocast=False)


def test_model_outside_the_cache_while_offline_is_one_sentence_with_the_fix(tmp_path: Path) -> None:
    """In a process of its own: huggingface_hub reads the variable once, at import."""
    script = """
        from grambench.config.networks import Encoder
        from grambench.errors import MachineError
        from grambench.models.encoders.load import load_encoder

        try:
            load_encoder(Encoder(model="nobody/no-such-model"), 0, autocast=False)
        except MachineError as error:
            print(error)
    """
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        env={**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout == (
        "The model 'nobody/no-such-model' is not in the Hugging Face cache and could not be fetched from"
        " the hub (HF_HUB_OFFLINE is set). Run `hf download nobody/no-such-model` where there is a"
        " network, or name a local folder with --set encoder.model=/path/to/model.\n"
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_gives_its_own_vectors_from_words_and_with_a_ready_mask(
    family: str, tmp_path: Path
) -> None:
    FAMILIES[family]().save_pretrained(tmp_path)
    encoder = load_encoder(Encoder(model=str(tmp_path), pooling="mean"), VOCABULARY, autocast=False)
    ids = torch.randint(5, VOCABULARY, (3, 9))
    mask = torch.arange(9) < torch.tensor([9, 4, 2])[:, None]
    found = vectors_of(encoder, ids, mask)
    encoder.ready_mask = False
    assert torch.allclose(found, vectors_of(encoder, ids, mask), atol=1e-5)
    hidden = encoder.backbone(input_ids=ids, attention_mask=mask.long()).last_hidden_state
    assert torch.allclose(found, encoder.pool(hidden, mask), atol=1e-5)
