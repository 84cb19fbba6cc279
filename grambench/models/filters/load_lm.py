"""Build LM-KT from the specification: a GPT-2 of the hub or a folder, or one from scratch."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from grambench.config.baselines import LanguageModel
from grambench.errors import ConfigError
from grambench.models.encoders.load import read_pretrained, set_dropout
from grambench.models.filters.histories import Markers
from grambench.models.filters.lm_kt import LMKT

if TYPE_CHECKING:
    from transformers import GPT2LMHeadModel

_KEY = "language_model.model"


def load_lm_kt(
    spec: LanguageModel,
    vocabulary_size: int,
    tokens: NDArray[np.int32],
    token_offsets: NDArray[np.int64],
    *,
    dropout: float,
    call_tokens: int,
    autocast: bool,
) -> LMKT:
    """The model with its weights, on the CPU, in fp32.

    Weights from scratch and those of the markers come from torch's global generator: seed it first.

    Args:
        spec: the `language_model` table.
        vocabulary_size: tokens of the tokenizer.
        tokens: token ids of all items, without special ones.
        token_offsets: [I + 1] item i's tokens lie between offsets i and i + 1.
        dropout: everywhere in the model.
        call_tokens: most token positions in one call.
        autocast: run the model in bf16 autocast (CUDA only).

    Raises:
        MachineError: the model is neither a folder nor in the cache, and the hub cannot be reached.
        ConfigError: it is not a GPT-2, has fewer positions than `language_model.context`, or no embedding for
            one of the tokens.
    """
    model = _from_scratch(spec, vocabulary_size, dropout) if spec.architecture else _pretrained(spec, dropout)
    largest = int(tokens.max(initial=0))
    if largest >= model.config.vocab_size:
        raise ConfigError(
            f"The items' tokens go up to id {largest:,}, but {_KEY} = {spec.model!r} has embeddings for"
            f" {model.config.vocab_size:,} tokens only.",
            "Give the model and the tokenizer files of one and the same language model.",
        )
    known = max(vocabulary_size, model.config.vocab_size)
    model.resize_token_embeddings(known + 4, mean_resizing=False)
    positions = int(model.config.n_positions)
    if spec.context is not None and spec.context > positions:
        raise ConfigError(
            f"language_model.context = {spec.context:,} is above the model's {positions:,} positions.",
            f"Use `--set language_model.context={positions}` or leave it unset.",
        )
    return LMKT(
        model,
        Markers.after(known),
        tokens,
        token_offsets,
        context=spec.context,
        call_tokens=call_tokens,
        autocast=autocast,
    )


def _from_scratch(spec: LanguageModel, vocabulary_size: int, dropout: float) -> "GPT2LMHeadModel":
    from transformers import GPT2Config, GPT2LMHeadModel

    shape = spec.architecture
    assert shape is not None
    config = GPT2Config(
        vocab_size=vocabulary_size,
        n_positions=shape.positions,
        n_embd=shape.hidden_size,
        n_layer=shape.layers,
        n_head=shape.heads,
        bos_token_id=0,
        eos_token_id=0,
        attn_implementation="sdpa",
    )
    set_dropout(config, dropout)
    return GPT2LMHeadModel(config)


def _pretrained(spec: LanguageModel, dropout: float) -> "GPT2LMHeadModel":
    from transformers import GPT2LMHeadModel

    assert spec.model is not None

    def shaped(config: Any) -> None:
        if config.model_type != "gpt2":
            raise ConfigError(
                f"{_KEY} = {spec.model!r} is a {config.model_type}, not a GPT-2.",
                f"Use `--set {_KEY}=openai-community/gpt2` or another model of its family.",
            )
        set_dropout(config, dropout)

    model: GPT2LMHeadModel = read_pretrained(GPT2LMHeadModel, spec.model, spec.revision, shaped, key=_KEY)
    return model
