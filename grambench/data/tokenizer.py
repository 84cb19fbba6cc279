"""Tokenizers for data preparation: a pretrained model's, or a WordPiece or whole words of the corpus."""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grambench.config.baselines import LanguageModel
from grambench.config.networks import Encoder
from grambench.data.prepared.tokens import ItemTokenizer, TokenizerFactory
from grambench.errors import ConfigError
from grambench.hub import hub_errors, hub_options

_SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]


class FastTokenizer:
    """A Rust-backed tokenizer of the `tokenizers` library."""

    def __init__(
        self,
        tokenizer: Any,
        cls_id: int,
        sep_id: int,
        unknown_id: int | None = None,
        embeddings: int | None = None,
    ) -> None:
        """
        Args:
            tokenizer: of the `tokenizers` library.
            cls_id: opens an item.
            sep_id: closes a field.
            unknown_id: the unknown token; None if there is none.
            embeddings: number of token embeddings of its model; None if unknown.
        """
        tokenizer.no_padding()
        tokenizer.no_truncation()
        tokenizer.encode_special_tokens = True  # "[SEP]" in a title is text
        self._tokenizer = tokenizer
        self.cls_id, self.sep_id, self.unknown_id = cls_id, sep_id, unknown_id
        self.embeddings = embeddings
        self.vocabulary_size = int(tokenizer.get_vocab_size(with_added_tokens=True))
        self.fingerprint = hashlib.sha256(tokenizer.to_str().encode()).hexdigest()

    def encode(self, texts: Sequence[str]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """Flat ids of all texts without special tokens, and offsets [len(texts) + 1]."""
        encoded = self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        ids = [encoding.ids for encoding in encoded]
        offsets = np.concatenate(([0], np.cumsum([len(row) for row in ids]))).astype(np.int64)
        return np.fromiter((i for row in ids for i in row), np.int32, int(offsets[-1])), offsets

    def save(self, folder: Path) -> None:
        """Write `tokenizer.json` into the folder."""
        self._tokenizer.save(str(folder / "tokenizer.json"))


def tokenizer_for(encoder: Encoder | LanguageModel) -> tuple[ItemTokenizer | TokenizerFactory, str]:
    """The tokenizer of an encoder or language model, and its cache key.

    Raises:
        MachineError: the model cannot be loaded. ConfigError: it has no fast tokenizer, or one that has no
            words or does not match the model.
    """
    if encoder.architecture is not None:
        size = encoder.architecture.vocabulary
        return lambda corpus: build_wordpiece(corpus, size), f"wordpiece-{size}-v1"
    from transformers import AutoTokenizer

    assert encoder.model is not None
    key = "encoder.model" if isinstance(encoder, Encoder) else "language_model.model"
    with hub_errors(encoder.model, key):
        options = hub_options(encoder.model, encoder.revision)
        wrapped = AutoTokenizer.from_pretrained(encoder.model, use_fast=True, **options)
        embeddings = _embeddings(encoder.model, options)
        unknown_id = wrapped.unk_token_id  # without end if a damaged file names no token
    backend = getattr(wrapped, "backend_tokenizer", None)
    cls_id = wrapped.cls_token_id if wrapped.cls_token_id is not None else wrapped.bos_token_id
    sep_id = wrapped.sep_token_id if wrapped.sep_token_id is not None else wrapped.eos_token_id
    if backend is None or cls_id is None or sep_id is None:
        raise ConfigError(
            f"The tokenizer of {encoder.model!r} has no fast version or no opening and closing token.",
            "Choose an encoder of the BERT, RoBERTa, DeBERTa or MPNet family.",
        )
    _require_words(backend, encoder.model, embeddings)
    tokenizer = FastTokenizer(backend, cls_id, sep_id, unknown_id, embeddings)
    return tokenizer, tokenizer.fingerprint


def _embeddings(model: str, options: dict[str, Any]) -> int | None:
    """Vocabulary size of the model's config; None if there is no config or it has none."""
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(model, **options)
    except (OSError, ValueError):  # loading the model reports it
        return None
    size = getattr(config.get_text_config(), "vocab_size", None)
    return size if isinstance(size, int) else None


def _require_words(tokenizer: Any, model: str, embeddings: int | None) -> None:
    """Reject a vocabulary of special tokens only, which transformers creates if the files are missing.

    Raises:
        ConfigError: there are no words, or a word's id exceeds the model's embeddings.
    """
    special = {token.content for token in tokenizer.get_added_tokens_decoder().values()}
    ids = [number for token, number in tokenizer.get_vocab(True).items() if token not in special]
    if not ids:
        raise ConfigError(
            f"The tokenizer of {model!r} has no words: its vocabulary has {len(special)} special tokens and"
            " nothing else.",
            "Put the model's tokenizer.json (or vocab.txt, or spiece.model) beside its config.json.",
        )
    if embeddings is not None and max(ids) >= embeddings:
        raise ConfigError(
            f"The tokenizer of {model!r} has ids up to {max(ids):,}, but its config.json has embeddings for"
            f" only {embeddings:,} tokens.",
            "Put the tokenizer files and the config.json of the same model into the folder.",
        )


def words_tokenizer(size: int) -> tuple[TokenizerFactory, str]:
    """A tokenizer of whole lower-case words, and its cache key."""
    return lambda corpus: build_words(corpus, size), f"words-{size}-v1"


def build_words(corpus: Iterator[str], size: int) -> FastTokenizer:
    """The `size` most frequent words, ties in alphabetical order; all others are one unknown token."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

    normalizer = normalizers.BertNormalizer(lowercase=True)
    splitter = pre_tokenizers.BertPreTokenizer()
    words = _counted(corpus, normalizer, splitter)
    frequent = sorted(words, key=lambda word: (-words[word], word))[: size - len(_SPECIAL)]
    known = [*_SPECIAL, *(word for word in frequent if word not in _SPECIAL)]
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(known)}, unk_token="[UNK]"))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizer, splitter
    return FastTokenizer(tokenizer, *(known.index(name) for name in ("[CLS]", "[SEP]", "[UNK]")))


def _counted(corpus: Iterator[str], normalizer: Any, splitter: Any) -> dict[str, int]:
    words: dict[str, int] = {}
    for text in corpus:
        for word, _ in splitter.pre_tokenize_str(normalizer.normalize_str(text)):
            words[word] = words.get(word, 0) + 1
    return words


def build_wordpiece(corpus: Iterator[str], size: int) -> FastTokenizer:
    """A lower-casing WordPiece of at most `size` tokens, deterministic for a given corpus.

    The vocabulary holds every character and its continuation, then whole words by descending frequency (ties
    in alphabetical order), so that no word is unknown and nothing depends on a trainer's hash order.
    """
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers

    normalizer = normalizers.BertNormalizer(lowercase=True)
    splitter = pre_tokenizers.BertPreTokenizer()
    words = _counted(corpus, normalizer, splitter)
    letters = sorted({letter for word in words for letter in word})
    pieces = [*_SPECIAL, *letters, *(f"##{letter}" for letter in letters)]
    frequent = sorted(words, key=lambda word: (-words[word], word))
    pieces += [word for word in frequent if len(word) > 1][: max(0, size - len(pieces))]
    longest = max(map(len, words), default=1)  # the library's default of 100 gives [UNK]
    model = models.WordPiece(
        {piece: i for i, piece in enumerate(pieces)}, unk_token="[UNK]", max_input_chars_per_word=longest
    )
    tokenizer = Tokenizer(model)
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizer, splitter
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.add_special_tokens(_SPECIAL)
    return FastTokenizer(tokenizer, *(pieces.index(name) for name in ("[CLS]", "[SEP]", "[UNK]")))
