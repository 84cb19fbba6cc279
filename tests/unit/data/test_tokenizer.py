"""Tokenizers: the same for the same corpus, no unknown word, ragged rows as told."""

import json
import os
import subprocess
import sys
import textwrap
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_systems import encoder_spec
from tokenizers import Tokenizer

from grambench.config.baselines import LanguageModel
from grambench.config.networks import Encoder
from grambench.data.tokenizer import FastTokenizer, build_wordpiece, tokenizer_for
from grambench.errors import ConfigError

CORPUS = [
    "The cat's pyjamas: 10 reasons — naïve or not?",
    "the CAT sat on the mat, and the mat sat still",
    "北京 weather; Ünïcödé “quotes” and emoji 🙂",
]
texts_st = st.lists(st.text(max_size=60), min_size=1, max_size=8)


def rows(tokenizer: FastTokenizer, texts: list[str]) -> list[list[int]]:
    flat, offsets = tokenizer.encode(texts)
    assert offsets[0] == 0
    assert offsets[-1] == len(flat)
    return [flat[start:stop].tolist() for start, stop in pairwise(offsets)]


def test_wordpiece_is_the_same_in_processes_that_hash_differently() -> None:
    script = f"""
        from grambench.data.tokenizer import build_wordpiece
        print(build_wordpiece(iter({CORPUS!r}), 90).fingerprint)
    """
    found = {
        subprocess.run(
            [sys.executable, "-c", textwrap.dedent(script)],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for seed in ("0", "1")
    }
    assert found == {build_wordpiece(iter(CORPUS), 90).fingerprint}


@settings(max_examples=60)
@given(texts_st, st.integers(4, 200))
def test_no_word_of_its_own_corpus_is_unknown(texts: list[str], size: int) -> None:
    tokenizer = build_wordpiece(iter(texts), size)
    unknown = tokenizer._tokenizer.token_to_id("[UNK]")
    assert all(unknown not in row for row in rows(tokenizer, texts))


def test_word_of_any_length_is_known() -> None:
    text = "rindfleischetikettierung" * 20
    tokenizer = build_wordpiece(iter([text, "a b c"]), 10)
    (row,) = rows(tokenizer, [text])
    assert tokenizer._tokenizer.token_to_id("[UNK]") not in row


@settings(max_examples=30)
@given(texts_st)
def test_texts_encoded_together_are_those_encoded_alone(texts: list[str]) -> None:
    tokenizer = build_wordpiece(iter(texts), 100)
    assert rows(tokenizer, texts) == [rows(tokenizer, [text])[0] for text in texts]
    assert all(0 <= token < tokenizer.vocabulary_size for row in rows(tokenizer, texts) for token in row)


def test_frequent_words_are_whole_and_case_does_not_matter() -> None:
    tokenizer = build_wordpiece(iter(CORPUS), 4 + 2 * 60 + 4)
    assert [len(row) for row in rows(tokenizer, ["the", "THE", "sat", ""])] == [1, 1, 1, 0]
    assert rows(tokenizer, ["The Mat"]) == rows(tokenizer, ["the mat"])


def test_vocabulary_is_no_larger_than_asked() -> None:
    for size in (80, 90, 100):
        assert build_wordpiece(iter(CORPUS), size).vocabulary_size <= max(size, 80)


def test_special_tokens_are_known_and_never_added() -> None:
    tokenizer = build_wordpiece(iter(CORPUS), 100)
    names = [tokenizer._tokenizer.id_to_token(i) for i in (tokenizer.cls_id, tokenizer.sep_id)]
    assert names == ["[CLS]", "[SEP]"]
    found = {token for row in rows(tokenizer, CORPUS) for token in row}
    assert not found & {tokenizer.cls_id, tokenizer.sep_id}


def test_saved_tokenizer_encodes_alike(tmp_path: Path) -> None:
    tokenizer = build_wordpiece(iter(CORPUS), 100)
    tokenizer.save(tmp_path)
    again = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    assert [again.encode(text, add_special_tokens=False).ids for text in CORPUS] == rows(tokenizer, CORPUS)


def test_long_text_is_not_cut() -> None:
    tokenizer = build_wordpiece(iter(CORPUS), 100)
    tokenizer._tokenizer.enable_truncation(4)
    again = FastTokenizer(tokenizer._tokenizer, tokenizer.cls_id, tokenizer.sep_id)
    assert len(rows(again, ["cat " * 1000])[0]) >= 1000


def test_architecture_gets_a_tokenizer_of_its_corpus() -> None:
    factory, key = tokenizer_for(encoder_spec())
    assert key == "wordpiece-4000-v1"
    assert factory(iter(CORPUS)).fingerprint == build_wordpiece(iter(CORPUS), 4000).fingerprint


def saved_bert_tokenizer(folder: Path, **special: str) -> Encoder:
    build_wordpiece(iter(CORPUS), 100).save(folder)
    config = {"tokenizer_class": "PreTrainedTokenizerFast", **special}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return Encoder(model=str(folder))


def test_pretrained_tokenizer_is_read_from_its_folder(tmp_path: Path) -> None:
    spec = saved_bert_tokenizer(tmp_path, cls_token="[CLS]", sep_token="[SEP]", unk_token="[UNK]")
    tokenizer, key = tokenizer_for(spec)
    assert key == tokenizer.fingerprint
    assert rows(tokenizer, CORPUS) == rows(build_wordpiece(iter(CORPUS), 100), CORPUS)


def test_begin_and_end_tokens_stand_in_for_cls_and_sep(tmp_path: Path) -> None:
    spec = saved_bert_tokenizer(tmp_path, bos_token="[CLS]", eos_token="[SEP]")
    tokenizer, _ = tokenizer_for(spec)
    assert (tokenizer.cls_id, tokenizer.sep_id) == (2, 3)


def test_tokenizer_without_closing_token_is_a_config_error(tmp_path: Path) -> None:
    spec = saved_bert_tokenizer(tmp_path, cls_token="[CLS]")
    with pytest.raises(ConfigError, match="has no token that closes a text"):
        tokenizer_for(spec)


def test_a_tokenizer_without_opening_token_closes_as_it_does_itself(tmp_path: Path) -> None:
    """Qwen has EOS alone; the tokenizer of its embedding models closes a text by another token."""
    from tokenizers.processors import TemplateProcessing

    spec = saved_bert_tokenizer(tmp_path, eos_token="[SEP]")
    tokenizer, _ = tokenizer_for(spec)
    assert (tokenizer.cls_id, tokenizer.sep_id) == (None, 3)
    file = str(tmp_path / "tokenizer.json")
    closing = Tokenizer.from_file(file)
    closing.post_processor = TemplateProcessing(single="$A [PAD]", special_tokens=[("[PAD]", 0)])
    closing.save(file)
    assert tokenizer_for(spec)[0].sep_id == 0


@pytest.mark.parametrize("kind", ["bert", "roberta", "gpt2"])
def test_a_folder_without_tokenizer_files_is_refused(kind: str, tmp_path: Path) -> None:
    """transformers makes a tokenizer of special tokens only of it, which reads every item as unknown."""
    from transformers import AutoConfig

    AutoConfig.for_model(kind).save_pretrained(tmp_path)
    with pytest.raises(ConfigError, match=r"has no words: its vocabulary has \d special tokens") as refused:
        tokenizer_for(Encoder(model=str(tmp_path)))
    assert "tokenizer.json" in refused.value.fix


def test_a_tokenizer_of_a_larger_model_is_refused(tmp_path: Path) -> None:
    from transformers import BertConfig

    spec = saved_bert_tokenizer(tmp_path, cls_token="[CLS]", sep_token="[SEP]", unk_token="[UNK]")
    size = tokenizer_for(spec)[0].vocabulary_size
    BertConfig(vocab_size=size - 1).save_pretrained(tmp_path)
    expected = f"ids up to {size - 1}, but .* embeddings for only {size - 1} tokens"
    with pytest.raises(ConfigError, match=expected):
        tokenizer_for(spec)
    BertConfig(vocab_size=size).save_pretrained(tmp_path)
    found = tokenizer_for(spec)[0]
    assert (found.embeddings, found.unknown_id) == (size, 1)


def test_a_gpt2_tokenizer_opens_and_closes_with_its_end_of_text(tmp_path: Path) -> None:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import GPT2Config, PreTrainedTokenizerFast

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    ids = {letter: number for number, letter in enumerate([*letters, "ab", "<|endoftext|>"])}
    tokenizer = Tokenizer(models.BPE(ids, [("a", "b")]))
    tokenizer.pre_tokenizer, tokenizer.decoder = (
        pre_tokenizers.ByteLevel(add_prefix_space=False),
        decoders.ByteLevel(),
    )
    end = "<|endoftext|>"
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=end, eos_token=end, unk_token=end
    ).save_pretrained(tmp_path)
    GPT2Config(vocab_size=len(ids)).save_pretrained(tmp_path)
    found, key = tokenizer_for(LanguageModel(model=str(tmp_path)))
    assert isinstance(found, FastTokenizer)
    assert key == found.fingerprint
    assert (found.cls_id, found.sep_id) == (ids[end], ids[end])
    tokens, offsets = found.encode(["abä", ""])
    assert tokens[: offsets[1]].tolist() == [ids["ab"], ids["Ã"], ids["¤"]]
    assert offsets.tolist() == [0, 3, 3]
