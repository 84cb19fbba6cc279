"""Random models of real architectures, so small that saving, loading and reading one takes milliseconds."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from transformers import CONFIG_MAPPING, AutoConfig, AutoModel

from grambench.config.networks import Encoder
from grambench.models.encoders.lora import lora_modules

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

RELATIVE = SMALL | {"relative_attention": True, "pos_att_type": ["c2p", "p2c"]}
T5 = {"vocab_size": WORDS, "d_model": WIDTH, "d_kv": 4, "d_ff": 24, "num_layers": LAYERS, "num_heads": HEADS}
BART = {"vocab_size": WORDS, "d_model": WIDTH, "max_position_embeddings": POSITIONS} | {
    f"{half}_{name}": value
    for half in ("encoder", "decoder")
    for name, value in (("layers", LAYERS), ("attention_heads", HEADS), ("ffn_dim", 24))
}
BART |= {"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2, "scale_embedding": True}
XLM = {"vocab_size": WORDS, "emb_dim": WIDTH, "n_layers": LAYERS, "n_heads": HEADS}
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
    "xlm-roberta": ("xlm-roberta", ROBERTA),
    "xlm-roberta-xl": ("xlm-roberta-xl", ROBERTA),
    "camembert": ("camembert", ROBERTA),
    "roberta-prelayernorm": ("roberta-prelayernorm", ROBERTA),
    "ernie": ("ernie", SMALL),
    "bert-generation": ("bert-generation", SMALL),
    "megatron-bert": ("megatron-bert", SMALL),
    "rembert": ("rembert", SMALL | {"input_embedding_size": 8}),
    "roformer": ("roformer", SMALL | {"embedding_size": WIDTH}),
    "squeezebert": ("squeezebert", SMALL | {"embedding_size": WIDTH}),
    "mpnet": ("mpnet", ROBERTA),
    "deberta": ("deberta", RELATIVE),
    "deberta-v2": ("deberta-v2", RELATIVE),
    "deberta-v3": (
        "deberta-v2",
        RELATIVE
        | {"position_buckets": 32, "norm_rel_ebd": "layer_norm", "share_att_key": True}
        | {"position_biased_input": False, "type_vocab_size": 0},
    ),
    "big_bird": ("big_bird", SMALL | {"attention_type": "original_full", "pad_token_id": 0}),
    "big_bird sparse": ("big_bird", SMALL | {"pad_token_id": 0}),
    "longformer": ("longformer", ROBERTA | {"attention_window": 8}),
    "xlnet": (
        "xlnet",
        {"vocab_size": WORDS, "d_model": WIDTH, "n_layer": LAYERS, "n_head": HEADS, "d_inner": 24},
    ),
    "xlm": ("xlm", XLM | {"max_position_embeddings": POSITIONS}),
    "flaubert": ("flaubert", XLM | {"max_position_embeddings": POSITIONS}),
    "t5": ("t5", T5),
    "mt5": ("mt5", T5 | {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False}),
    "umt5": ("umt5", T5),
    "longt5": ("longt5", T5 | {"local_radius": 4}),
    "bart": ("bart", BART),
    "mbart": ("mbart", BART),
    "blenderbot": ("blenderbot", BART),
    "m2m_100": ("m2m_100", BART),
    "marian": ("marian", BART),
    "pegasus": ("pegasus", BART),
    "led": ("led", BART | {"attention_window": 8, "max_encoder_position_embeddings": POSITIONS}),
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
    "qwen2": ("qwen2", GROUPED),
    "gemma": ("gemma", GROUPED),
    "gemma2": ("gemma2", GROUPED | WINDOWS | {"sliding_window": 4, "attn_logit_softcapping": 1.0}),
    "olmo2": ("olmo2", GROUPED),
    "phi3": ("phi3", GROUPED | {"pad_token_id": 0}),
    "falcon": ("falcon", SMALL),
    "bloom": ("bloom", {"vocab_size": WORDS, "hidden_size": WIDTH, "n_layer": LAYERS, "n_head": HEADS}),
    "gpt_neo": (
        "gpt_neo",
        {"vocab_size": WORDS, "hidden_size": WIDTH, "num_layers": LAYERS, "num_heads": HEADS}
        | {"attention_types": [[["global", "local"], 1]], "window_size": 8}
        | {"max_position_embeddings": POSITIONS},
    ),
}
CAUSAL |= {
    "mixtral": ("mixtral", GROUPED | {"num_local_experts": 3}),
    "jamba": (
        "jamba",
        GROUPED
        | {"mamba_d_state": 4, "mamba_dt_rank": 4, "attn_layer_period": 2, "attn_layer_offset": 1}
        | {"num_experts": 2, "pad_token_id": 0, "use_mamba_kernels": False},
    ),
}
FAMILIES = ENCODERS | CAUSAL
ESM = ("esm", ROBERTA | {"mask_token_id": 4, "token_dropout": True, "position_embedding_type": "rotary"})
"""Scales embeddings only where it is given token ids, so that no encoder can read it by word embeddings."""
REFUSED: dict[str, tuple[str, dict[str, Any]]] = {
    "fnet": ("fnet", SMALL),
    "convbert": ("convbert", SMALL | {"embedding_size": WIDTH}),
    "nystromformer": ("nystromformer", SMALL | {"num_landmarks": 4, "segment_means_seq_len": 4}),
    "esm": ESM,
    "canine": ("canine", SMALL),
    "prophetnet": (
        "prophetnet",
        {"vocab_size": WORDS, "hidden_size": WIDTH, "max_position_embeddings": POSITIONS}
        | {
            f"num_{half}_{what}": 2
            for half in ("encoder", "decoder")
            for what in ("layers", "attention_heads")
        }
        | {"encoder_ffn_dim": 24, "decoder_ffn_dim": 24},
    ),
    "ibert": ("ibert", ROBERTA),
    "xglm": (
        "xglm",
        {"vocab_size": WORDS, "d_model": WIDTH, "num_layers": LAYERS, "attention_heads": HEADS}
        | {"ffn_dim": 24, "max_position_embeddings": POSITIONS},
    ),
}
"""Families that cannot be used; docs/encoders.md says why."""
UNREAD: dict[str, tuple[str, ...]] = {
    "xlnet": ("mask_emb", "r_s_bias", "seg_embed"),
    "longformer": ("_global.weight", "_global.bias"),
    "led": ("_global.weight", "_global.bias"),
    "roformer": ("embed_positions.weight",),
    "marian": ("embed_positions.weight",),
    "pegasus": ("embed_positions.weight",),
}
"""Ends of the names of weights that no item vector depends on, or that the model keeps fixed."""


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
    if model.config.is_encoder_decoder:
        model = model.get_encoder()
    if layers is not None:
        for name, module in model.named_modules():
            within_a_layer = any(part.isdigit() for part in name.split("."))
            if isinstance(module, nn.ModuleList) and len(module) == LAYERS and not within_a_layer:
                model.set_submodule(name, module[:layers])
        model.config.num_hidden_layers = layers
        model.config.use_cache = False  # LFM2's wants a layer of attention
    return model


def encoder_of(folder: Path, **changes: Any) -> Encoder:
    """The `encoder` table of a saved model."""
    return Encoder(**{"model": str(folder), "pooling": "mean", **changes})


def lora_parameters(module: nn.Module) -> list[nn.Parameter]:
    """A and B of every update."""
    return [weight for part in lora_modules(module).values() for weight in (part.lora_A, part.lora_B)]
