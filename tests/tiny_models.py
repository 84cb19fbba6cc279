"""Random models of real architectures, so small that saving, loading and reading one takes milliseconds."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from transformers import CONFIG_MAPPING, AutoConfig, AutoModel

from grambench.config.networks import Encoder

WIDTH, LAYERS, HEADS, POSITIONS, WORDS = 16, 2, 4, 160, 60
SMALL = {
    "vocab_size": WORDS,
    "hidden_size": WIDTH,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
    "intermediate_size": 24,
    "max_position_embeddings": POSITIONS,
}
ROBERTA = SMALL | {"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2}
GROUPED = SMALL | {"num_key_value_heads": 2, "head_dim": 4, "bos_token_id": 1, "eos_token_id": 2}
GPT = {"vocab_size": WORDS, "n_embd": WIDTH, "n_layer": LAYERS, "n_head": HEADS, "n_positions": POSITIONS}
WINDOWS = {"layer_types": ["sliding_attention", "full_attention"]}

ENCODERS: dict[str, tuple[str, dict[str, Any]]] = {
    "bert": ("bert", SMALL),
    "roberta": ("roberta", ROBERTA),
    "data2vec-text": ("data2vec-text", ROBERTA),
    "xmod": ("xmod", ROBERTA | {"languages": ["en_XX"], "default_language": "en_XX"}),
    "distilbert": (
        "distilbert",
        {"vocab_size": WORDS, "dim": WIDTH, "n_layers": LAYERS, "n_heads": HEADS, "hidden_dim": 24}
        | {"max_position_embeddings": POSITIONS},
    ),
    "electra": ("electra", SMALL | {"embedding_size": 8}),
    "albert": ("albert", SMALL | {"embedding_size": 8}),
    "mobilebert": (
        "mobilebert",
        SMALL | {"embedding_size": 8, "true_hidden_size": 8, "intra_bottleneck_size": 8},
    ),
    "nomic_bert": ("nomic_bert", SMALL | {"head_dim": 4}),
    "eurobert": ("eurobert", GROUPED | {"pad_token_id": 0}),
    "modernbert": ("modernbert", SMALL | {"pad_token_id": 0, "local_attention": 4} | WINDOWS),
    "gemma3 both ways": (
        "gemma3_text",
        GROUPED | WINDOWS | {"sliding_window": 5, "use_bidirectional_attention": True},
    ),
}
CAUSAL: dict[str, tuple[str, dict[str, Any]]] = {
    "bert as a decoder": ("bert", SMALL | {"is_decoder": True}),
    "gpt2": ("gpt2", GPT),
    "gpt_neox": ("gpt_neox", SMALL | {"rotary_pct": 0.5}),
    "opt": ("opt", ROBERTA | {"ffn_dim": 24, "word_embed_proj_dim": 8}),
    "llama": ("llama", GROUPED),
    "qwen3": ("qwen3", GROUPED),
    "mistral": ("mistral", GROUPED | {"sliding_window": 4}),
    "gemma3": ("gemma3_text", GROUPED | WINDOWS | {"sliding_window": 4}),
    "modernbert-decoder": (
        "modernbert-decoder",
        SMALL | {"pad_token_id": 0, "local_attention": 8} | WINDOWS,
    ),
    "lfm2": ("lfm2", GROUPED | {"layer_types": ["conv", "full_attention"], "pad_token_id": 0}),
}
NOT_YET: dict[str, tuple[str, dict[str, Any]]] = {
    "mpnet": ("mpnet", ROBERTA),
    "deberta": ("deberta", SMALL | {"relative_attention": True, "pos_att_type": ["c2p", "p2c"]}),
    "deberta-v2": ("deberta-v2", SMALL | {"relative_attention": True, "pos_att_type": ["c2p", "p2c"]}),
    "gemma2": ("gemma2", GROUPED | WINDOWS | {"sliding_window": 4, "attn_logit_softcapping": 1.0}),
}
"""Families without fused attention in transformers: refused as long as nothing else loads them."""
FAMILIES = ENCODERS | CAUSAL
ESM = ("esm", ROBERTA | {"mask_token_id": 4, "token_dropout": True, "position_embedding_type": "rotary"})
"""Scales embeddings only where it is given token ids, so that no encoder can read it by word embeddings."""


def saved_model(family: tuple[str, dict[str, Any]], folder: Path) -> Path:
    """Save a model of a family with weights wide enough to make every position, mask and neighbour matter."""
    kind, sizes = family
    if kind not in CONFIG_MAPPING:
        pytest.skip(f"this version of transformers has no {kind}")
    torch.manual_seed(0)
    model = AutoModel.from_config(AutoConfig.for_model(kind, **sizes))
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:  # also the padding token's row, which pretrained models do not leave at 0
                parameter.normal_(std=0.3)
    model.save_pretrained(folder)
    return folder


def plain_model(folder: Path, layers: int | None = None) -> nn.Module:
    """What `AutoModel` makes of the folder, with eager attention; of its layers only the first so many."""
    model = AutoModel.from_pretrained(folder, attn_implementation="eager").eval()
    if layers is not None:
        for name, module in model.named_modules():
            if isinstance(module, nn.ModuleList) and len(module) == LAYERS:
                model.set_submodule(name, module[:layers])
        model.config.num_hidden_layers = layers
    return model


def encoder_of(folder: Path, **changes: Any) -> Encoder:
    """The `encoder` table of a saved model."""
    return Encoder(**{"model": str(folder), "pooling": "mean", **changes})
