"""Damage a model's folder in many ways and load it: every refusal is a sentence, and nothing is run."""

import json
import os
import pickle
import random
import shutil
import tempfile
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

NAME = "encoder_files"
WHAT = "config.json, tokenizer.json, weights and modules.json of an encoder's folder: cut, retyped, foreign"
_VALUES: tuple[Any, ...] = (
    *(None, True, -1, 0, 1, 3, 7, 2**31, 2**63, 10**30, 0.5, -0.0, float("nan"), float("inf"), "", "x"),
    *([], {}, [None], {"a": 1}, [[[]]], "bert", "../../etc", "\ud800", "\x1b[31m"),
)
_MODULES = [
    {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
    {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
]
MARKER = "run-by-a-damaged-model"


class Bomb:
    """Pickles into a command that leaves a file."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (f"touch {self.marker}",)


def attack(count: int, seed: int) -> list[str]:
    """Load `count` damaged folders in this process.

    Returns:
        Each fault: a traceback that is not a `GrambenchError`, or code of a folder that was run.
    """
    import transformers

    from grambench.errors import GrambenchError

    transformers.logging.set_verbosity(transformers.logging.CRITICAL)
    transformers.logging.disable_progress_bar()
    rng, faults = random.Random(seed), list[str]()
    with tempfile.TemporaryDirectory(prefix="grambench-attack-") as scratch, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        whole = _whole_model(Path(scratch) / "whole")
        for number in range(count):
            folder = Path(scratch) / "damaged"
            shutil.copytree(whole, folder)
            did = rng.choice(_ATTACKS)(folder, rng)
            try:
                load(folder)
            except GrambenchError:
                pass
            except BaseException as error:  # a panic of a library is not an Exception
                if isinstance(error, KeyboardInterrupt):
                    raise
                faults.append(f"{number}: {did}\n{''.join(traceback.format_exception(error)[-4:])}")
            if (folder / MARKER).exists():
                faults.append(f"{number}: {did}: code of the folder was run")
            shutil.rmtree(folder)
    return faults


def load(folder: Path) -> None:
    """What the setup of a run does with a model's folder: tokenizer, a few texts, weights, item vectors."""
    import torch

    from grambench.config.networks import Encoder
    from grambench.data.tokenizer import FastTokenizer, tokenizer_for
    from grambench.hub import require_usable
    from grambench.models.encoders.load import load_encoder
    from grambench.models.encoders.sentence import ignored_modules

    spec = Encoder(model=str(folder))
    ignored_modules(spec)
    require_usable(str(folder), None)
    tokenizer = tokenizer_for(spec)[0]
    assert isinstance(tokenizer, FastTokenizer)
    tokenizer.encode(["the sea", "", "\u00e9 1970"])
    encoder = load_encoder(spec, 0, autocast=False)
    ids = torch.tensor([[1, 2, 3]])
    with torch.no_grad():
        encoder(encoder.lookup(ids), torch.ones_like(ids, dtype=torch.bool))


def _whole_model(folder: Path) -> Path:
    import torch
    from transformers import BertConfig, BertModel

    from grambench.data.tokenizer import build_wordpiece

    torch.manual_seed(0)
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
    config = BertConfig(vocab_size=40, max_position_embeddings=16, **sizes)
    BertModel(config, add_pooling_layer=False).save_pretrained(folder)
    build_wordpiece(iter(["the sea", "a tale"]), 40).save(folder)
    names = {"cls_token": "[CLS]", "sep_token": "[SEP]", "unk_token": "[UNK]", "pad_token": "[PAD]"}
    words = {"tokenizer_class": "PreTrainedTokenizerFast", **names}
    (folder / "tokenizer_config.json").write_text(json.dumps(words))
    (folder / "modules.json").write_text(json.dumps(_MODULES))
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text('{"pooling_mode_cls_token": true}')
    return folder


_JSON = ("config.json", "tokenizer.json", "tokenizer_config.json", "modules.json", "1_Pooling/config.json")


def _other_value(folder: Path, rng: random.Random) -> str:
    """Replace, remove or add one value anywhere in a JSON file."""
    name = rng.choice(_JSON)
    document = json.loads((folder / name).read_text())
    place: Any = document
    while isinstance(place, (dict, list)) and place:
        key = rng.choice(list(place) if isinstance(place, dict) else range(len(place)))
        if not isinstance(place[key], (dict, list)) or not place[key] or rng.random() < 0.3:
            break
        place = place[key]
    value = rng.choice(_VALUES)
    if rng.random() < 0.1:
        del place[key]
    else:
        place[key] = value
    (folder / name).write_text(json.dumps(document))
    return f"{name}: {key} = {value!r}"


def _cut(folder: Path, rng: random.Random) -> str:
    name = rng.choice((*_JSON, "model.safetensors"))
    content = (folder / name).read_bytes()
    length = rng.randrange(len(content))
    (folder / name).write_bytes(content[:length])
    return f"{name}: cut to {length} bytes"


def _flipped(folder: Path, rng: random.Random) -> str:
    name = rng.choice((*_JSON, "model.safetensors", "model.safetensors"))
    content = bytearray((folder / name).read_bytes())
    for _ in range(rng.choice((1, 1, 3, 20))):
        content[rng.randrange(min(len(content), 4096))] = rng.randrange(256)
    (folder / name).write_bytes(content)
    return f"{name}: bytes flipped"


def _foreign(folder: Path, rng: random.Random) -> str:
    """Other content altogether, or none."""
    name = rng.choice((*_JSON, "model.safetensors"))
    content = rng.choice(
        (b"", b"null", b"[]", b"3", b'"x"', b"{}", b"\xff\xfe", b"[" * 100_000, b"PK\x03\x04", bytes(64))
    )
    if rng.random() < 0.2:
        (folder / name).unlink()
        return f"{name}: removed"
    (folder / name).write_bytes(content)
    return f"{name}: {content[:8]!r}"


def _header(folder: Path, rng: random.Random) -> str:
    """A header of safetensors that states absurd lengths, types and places."""
    length = rng.choice((0, 1, 2**31, 2**63, 2**64 - 1, 100_000_000))
    content = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(length.to_bytes(8, "little") + content[8:])
    return f"model.safetensors: a header of {length} bytes"


def _pickle(folder: Path, rng: random.Random) -> str:
    """A pickle in place of weights, which would run a command."""
    (folder / "model.safetensors").unlink()
    bomb = pickle.dumps({"embeddings": Bomb(folder / MARKER)}, protocol=rng.choice((0, 2, 4)))
    (folder / "pytorch_model.bin").write_bytes(bomb[: rng.choice((len(bomb), len(bomb), len(bomb) // 2))])
    return "pytorch_model.bin: a pickle that runs a command"


def _code(folder: Path, rng: random.Random) -> str:
    """A config that asks for code in its folder."""
    (folder / "mine.py").write_text(f"open({str(folder / MARKER)!r}, 'w')")
    config = json.loads((folder / "config.json").read_text())
    config["auto_map"] = {"AutoConfig": "mine.Config", "AutoModel": "mine.Model"}
    config["model_type"] = rng.choice(("bert", "mine", None))
    (folder / "config.json").write_text(json.dumps(config))
    return f"config.json: auto_map, {config['model_type']}"


_ATTACKS = (
    _other_value,
    _other_value,
    _other_value,
    _cut,
    _flipped,
    _flipped,
    _foreign,
    _header,
    _pickle,
    _code,
)
