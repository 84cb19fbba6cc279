"""LM-KT from scratch, from folders, and the sentences where there is no GPT-2."""

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertModel, GPT2Config, GPT2LMHeadModel

from grambench.config.baselines import GPTArchitecture, LanguageModel
from grambench.errors import ConfigError
from grambench.models.filters.lm_kt import LMKT
from grambench.models.filters.load_lm import load_lm_kt

WORDS = 30
TOKENS, OFFSETS = np.arange(4, 12, dtype=np.int32), np.array([0, 3, 8])


def load(spec: LanguageModel, vocabulary_size: int = WORDS, dropout: float = 0.0) -> LMKT:
    torch.manual_seed(0)
    return load_lm_kt(spec, vocabulary_size, TOKENS, OFFSETS, dropout=dropout, call_tokens=64, autocast=False)


def saved(folder: Path, **changes: int) -> GPT2LMHeadModel:
    torch.manual_seed(1)
    shape = {"vocab_size": WORDS, "n_positions": 32, "n_embd": 8, "n_layer": 2, "n_head": 2}
    model = GPT2LMHeadModel(GPT2Config(**{**shape, **changes}, bos_token_id=0, eos_token_id=0))
    model.save_pretrained(folder)
    return model


def test_a_saved_gpt2_keeps_its_weights_and_gains_four_markers(tmp_path: Path) -> None:
    original = saved(tmp_path)
    model = load(LanguageModel(model=str(tmp_path)))
    words = model.language_model.get_input_embeddings().weight
    assert words.shape == (WORDS + 4, 8)
    assert torch.equal(words[:WORDS], original.get_input_embeddings().weight)
    assert model.language_model.lm_head.weight is words
    assert torch.equal(
        model.language_model.transformer.h[1].mlp.c_fc.weight, original.transformer.h[1].mlp.c_fc.weight
    )
    assert (model.context, model.markers.question, model.markers.wrong) == (32, WORDS, WORDS + 3)
    assert model.revision is None


def test_markers_stand_behind_the_tokenizers_ids_and_the_models(tmp_path: Path) -> None:
    saved(tmp_path)
    assert load(LanguageModel(model=str(tmp_path)), vocabulary_size=40).markers.question == 40
    assert load(LanguageModel(model=str(tmp_path)), vocabulary_size=20).markers.question == WORDS


def test_tokens_of_another_model_are_refused_instead_of_drawn_at_random(tmp_path: Path) -> None:
    saved(tmp_path, vocab_size=11)
    with pytest.raises(ConfigError, match=r"tokens go up to id 11, but .* has embeddings for 11 tokens only"):
        load(LanguageModel(model=str(tmp_path)))


def test_from_scratch_the_shape_is_the_specified_one_and_the_seed_draws_it() -> None:
    shape = GPTArchitecture(hidden_size=12, layers=1, heads=3, positions=20)
    one, other = (load(LanguageModel(architecture=shape, context=16), dropout=0.3) for _ in range(2))
    config = one.language_model.config
    assert (config.n_embd, config.n_layer, config.n_head, config.n_positions) == (12, 1, 3, 20)
    assert (config.resid_pdrop, config.embd_pdrop, config.attn_pdrop, one.context) == (0.3, 0.3, 0.3, 16)
    for left, right in zip(one.parameters(), other.parameters(), strict=True):
        assert torch.equal(left, right)


def test_another_family_is_refused(tmp_path: Path) -> None:
    shape = {"vocab_size": WORDS, "hidden_size": 8, "num_attention_heads": 2, "intermediate_size": 8}
    BertModel(BertConfig(**shape, num_hidden_layers=1)).save_pretrained(tmp_path)
    with pytest.raises(ConfigError, match=r"language_model\.model = .* is a bert, not a GPT-2") as caught:
        load(LanguageModel(model=str(tmp_path)))
    assert "openai-community/gpt2" in str(caught.value)


def test_a_context_above_the_positions_is_refused(tmp_path: Path) -> None:
    saved(tmp_path)
    with pytest.raises(ConfigError, match="context = 33 is above the model's 32 positions"):
        load(LanguageModel(model=str(tmp_path), context=33))
    with pytest.raises(ValueError, match="context = 33 is above positions = 32"):
        LanguageModel(architecture=GPTArchitecture(positions=32), context=33)


def test_a_missing_folder_names_the_setting() -> None:
    with pytest.raises(ConfigError, match=r"language_model\.model = './nowhere' is not a folder"):
        load(LanguageModel(model="./nowhere"))


def test_exactly_one_of_model_and_architecture() -> None:
    with pytest.raises(ValueError, match="exactly one of model and architecture"):
        LanguageModel()
