"""A sentence-transformers folder that pools in another way is told."""

import json
from pathlib import Path

import pytest

from grambench.config.networks import Encoder
from grambench.models.encoders.sentence import ignored_modules


def folder_with(folder: Path, modes: dict[str, bool], *others: str) -> Path:
    """A model's folder as sentence-transformers writes it, without the model."""
    kinds = ("Transformer", "Pooling", *others)
    modules = [
        {
            "idx": number,
            "path": "" if number == 0 else f"{number}_{kind}",
            "type": f"sentence_transformers.models.{kind}",
        }
        for number, kind in enumerate(kinds)
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Pooling").mkdir()
    named = {f"pooling_mode_{name}": on for name, on in modes.items()}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({"word_embedding_dimension": 8, **named}))
    return folder


@pytest.mark.parametrize(
    ("modes", "others", "mean", "attention"),
    [
        ({"cls_token": False, "mean_tokens": True}, ("Normalize",), "", ""),
        ({"cls_token": True, "mean_tokens": False}, (), "cls pooling", ""),
        ({"cls_token": True, "mean_tokens": True}, (), "cls and mean pooling", ""),
        ({"lasttoken": True}, ("Normalize",), "lasttoken pooling", ""),
        ({"mean_tokens": True}, ("Dense", "Normalize"), "a Dense layer", "a Dense layer"),
    ],
)
def test_what_the_folder_says_and_grambench_leaves_out(
    tmp_path: Path, modes: dict[str, bool], others: tuple[str, ...], mean: str, attention: str
) -> None:
    model = str(folder_with(tmp_path, modes, *others))
    assert ignored_modules(Encoder(model=model, pooling="mean")) == mean
    assert ignored_modules(Encoder(model=model, pooling="attention")) == attention


@pytest.mark.parametrize("damaged", ["", "{", "{}", "[3]", '[{"type": 3}]', "null"])
def test_a_model_that_says_nothing_readable_has_nothing_to_be_left_out(tmp_path: Path, damaged: str) -> None:
    (tmp_path / "modules.json").write_text(damaged)
    assert ignored_modules(Encoder(model=str(tmp_path), pooling="mean")) == ""
