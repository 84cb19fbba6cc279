"""Models that are exported, and loaded with transformers alone by the code of their cards."""

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from exported_models import STEP, TINY, TITLES, MadeRun, family_model, in_a_fresh_process
from huggingface_hub import ModelCard
from live_runs import Bench
from safetensors.torch import load_file
from transformers import AutoModel

import grambench
from grambench.cli.export import export as command
from grambench.config.exported import EXPORTED_FILE, NAMES
from grambench.config.presets import load_preset
from grambench.config.trial_name import TrialName
from grambench.errors import ConfigError, DataError, MachineError
from grambench.models.encoders.load import load_encoder
from grambench.models.filters.base import AnswerView, RankingView
from grambench.runner.model_export import error_of, export_model
from grambench.runner.rundir import create_run
from grambench.training.checkpoint import save_weights
from grambench.worker import export as worker

POOLINGS = ("attention", "mean", "cls", "last")
MADE: dict[str, dict[str, Any]] = {
    **{name: {"changes": [f"encoder.pooling={name}"]} for name in POOLINGS},
    "two fields": {"changes": ["data.fields={title=6, abstract=9}"]},
    "sequences": {"changes": ["encoder.pooling=cls", "filter.kind=sasrec", "filter.sasrec.blocks=1"]},
    "exercises": {"preset": "demo-kt"},
    "attended exercises": {"preset": "demo-kt", "changes": ["filter.kind=sakt"]},
    "crcf": {"strategy": "crcf-1s"},
    "roberta": {"changes": ["encoder.pooling=cls"]},
    "mobilebert": {"changes": ["encoder.pooling=mean"]},
    "gpt2": {"changes": ["encoder.pooling=last"]},
    "qwen2": {"changes": ["encoder.pooling=last"]},
    "lora": {
        "family": "gpt2",
        "changes": ["encoder.pooling=last", "encoder.adapt=lora", "encoder.lora.scaling=sqrt-rank"],
    },
}
FAMILIES = ("roberta", "mobilebert", "gpt2", "qwen2")
"""Positions that begin after padding, embeddings mixed with their neighbours', a causal model, and one whose
tokenizer has no opening token."""
TWO = [("a tale of the sea", "tale " * 20), ("", "sea"), ("a " * 9, "[SEP] b")]
ONE = [(title,) for title in TITLES]


@dataclass
class Exported:
    run: MadeRun
    folder: Path
    items: list[tuple[str, ...]]
    read: dict[str, Any]
    """What a fresh process made of it."""


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRAMBENCH_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="module")
def exported(cache: Path, tmp_path_factory: pytest.TempPathFactory, bench: Bench) -> dict[str, Exported]:
    """Exports of runs; the one with attention pooling by the command."""
    out, found = tmp_path_factory.mktemp("models"), dict[str, Exported]()
    for name, options in MADE.items():
        made = dict(options)
        if (family := made.pop("family", name)) in FAMILIES:
            made["model"] = family_model(family, out / f"{name}-tiny")
        run, folder = MadeRun.of(out / "runs", *made.pop("changes", ()), **made), out / name
        if name == "attention":
            bench.variables["GRAMBENCH_CACHE"] = str(cache)
            ended = bench.call("export", run.folder, folder, "--to", "huggingface")
            del bench.variables["GRAMBENCH_CACHE"]
            assert (ended.code, ended.out) == (0, f"{folder}\n"), ended.err
            assert ended.err == "gram-1e.s0 has a validation AUC of 0.6100.\n"
        else:
            run.export(folder)
        found[name] = Exported(run, folder, TWO if name == "two fields" else ONE, {})
    read = in_a_fresh_process({each.folder: each.items for each in found.values()})
    for each in found.values():
        each.read = read[each.folder]
    return found


@pytest.mark.parametrize("name", MADE)
def test_transformers_alone_gives_the_same_vectors(name: str, exported: dict[str, Exported]) -> None:
    found = exported[name]
    ours = found.run.vectors(found.items)
    assert ours.std(dim=0).min() > 1e-3  # items differ
    assert found.read["keys"] == []
    assert torch.allclose(torch.tensor(found.read["vectors"]), ours, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", MADE)
def test_grambench_itself_gives_the_same_vectors(name: str, exported: dict[str, Exported]) -> None:
    found = exported[name]
    model = grambench.load_exported(found.folder)
    assert torch.allclose(model.encode(found.items), found.run.vectors(found.items), rtol=0, atol=1e-6)
    assert model.encode([]).shape == (0, model.exported.width)
    if len(found.items[0]) == 2:
        with pytest.raises(ConfigError, match=r"reads 2 texts of an item: title, abstract\."):
            model.encode(["one"])


@pytest.mark.parametrize("name", ["mean", "sequences"])
@torch.no_grad()
def test_a_history_scores_its_candidates_as_in_an_evaluation(
    name: str, exported: dict[str, Exported]
) -> None:
    found = exported[name]
    model, vectors = grambench.load_exported(found.folder), found.run.vectors(ONE)
    clicks, candidates = [0, 1, 2, 3, 4, 0, 2], [4, 1]
    scores = model.score([TITLES[i] for i in clicks], [TITLES[i] for i in candidates])
    padded = torch.tensor([clicks[-5:], [0] * 5])  # the filter reads 5 clicks
    mask = torch.tensor([[True] * 5, [False] * 5])
    view = RankingView(padded, mask, torch.tensor([candidates, candidates]))
    wanted = found.run.modules.filter.scores(vectors, view)
    assert torch.allclose(scores, wanted[0], atol=1e-5)
    assert torch.allclose(model.score([], [TITLES[i] for i in candidates]), wanted[1], atol=1e-5)
    with pytest.raises(ConfigError, match="takes no answers"):
        model.score(TITLES[:1], TITLES[1:], correct=[1])


@pytest.mark.parametrize("name", ["exercises", "attended exercises"])
@torch.no_grad()
def test_answers_score_the_next_exercises_as_in_an_evaluation(
    name: str, exported: dict[str, Exported]
) -> None:
    found = exported[name]
    model, vectors = grambench.load_exported(found.folder), found.run.vectors(ONE)
    items, correct = [3, 1, 0, 2, 4, 1, 3], [1, 0, 0, 1, 1, 0, 1]
    logits = model.score([TITLES[i] for i in items], [TITLES[2], TITLES[4]], correct=correct)
    for logit, candidate in zip(
        logits, (2, 4), strict=True
    ):  # the filter reads 6 answers, the next one included
        asked = torch.tensor([[*items[-5:], candidate]])
        view = AnswerView(None, asked, torch.ones_like(asked) == 1, torch.tensor([[*correct[-5:], 1]]))
        assert torch.allclose(logit, found.run.modules.filter.scores(vectors, view)[0, -1], atol=1e-5)
    with pytest.raises(ConfigError, match="needs 1 answers, not 0"):
        model.score(TITLES[:1], TITLES[1:])


@pytest.mark.parametrize("name", POOLINGS[1:])
def test_an_exported_model_is_an_encoder_for_the_next_run(name: str, exported: dict[str, Exported]) -> None:
    from grambench.config.networks import Encoder
    from grambench.models.encoders.sentence import ignored_modules, pooling_of

    spec = Encoder(model=str(exported[name].folder))
    assert (pooling_of(spec), ignored_modules(spec)) == (name, "")
    assert load_encoder(spec, 0, autocast=False).width == 16


def test_files_are_those_of_their_pooling(exported: dict[str, Exported]) -> None:
    modules = {"modules.json", "sentence_bert_config.json", "1_Pooling"}
    for name, found in exported.items():
        written = {path.name for path in found.folder.iterdir()}
        assert {EXPORTED_FILE, "filter.safetensors", "config.json", "README.md"} <= written <= set(NAMES)
        has_weights = name in ("attention", "two fields", "crcf")
        assert ("pooling.safetensors" in written, modules <= written) == (has_weights, not has_weights)
        assert ("adapter" in written) == (name == "lora")


@torch.no_grad()
def test_the_adapter_on_its_base_is_the_exported_model(exported: dict[str, Exported]) -> None:
    folder, spec = exported["lora"].folder, exported["lora"].run.spec.encoder
    settings = json.loads((folder / "adapter" / "adapter_config.json").read_bytes())
    assert (settings["r"], settings["lora_alpha"], settings["use_rslora"]) == (8, 16.0, True)
    assert (settings["fan_in_fan_out"], settings["base_model_name_or_path"]) == (True, None)
    assert settings["target_modules"] == ["h.0.attn.c_attn", "h.1.attn.c_attn"]
    weights = load_file(folder / "adapter" / "adapter_model.safetensors")
    plain, merged = (AutoModel.from_pretrained(name).state_dict() for name in (spec.model, folder))
    changed = {name for name in plain if not torch.equal(plain[name], merged[name])}
    assert changed == {f"{path}.weight" for path in settings["target_modules"]}
    for path in settings["target_modules"]:
        a_RI, b_OR = (weights.pop(f"base_model.model.{path}.lora_{name}.weight") for name in "AB")
        update_IO = 16 / 8**0.5 * (b_OR @ a_RI).T
        assert torch.allclose(merged[f"{path}.weight"], plain[f"{path}.weight"] + update_IO, atol=1e-6)
    assert not weights
    parameters = json.loads((folder / EXPORTED_FILE).read_bytes())["parameters"]
    assert parameters == sum(weight.numel() for weight in plain.values())


@pytest.mark.parametrize("name", MADE)
def test_the_hub_reads_the_card(name: str, exported: dict[str, Exported]) -> None:
    found = exported[name]
    card = ModelCard.load(found.folder / "README.md")
    assert (card.data.license, card.data.base_model, card.data.datasets) == ("unknown", None, None)
    assert {"grambench", found.run.trial.label} <= set(card.data.tags)
    (result,) = card.data.eval_results
    assert (result.metric_type, result.metric_value, result.metric_name) == ("auc", 0.59, "AUC, seed 0")
    assert result.dataset_name == ("demo-kt" if "exercises" in name else "demo") + " (synthetic), " + (
        "title + abstract" if name == "two fields" else "title"
    )
    assert "| AUC | 0.6100 | 0.5900 | – |" in card.text
    assert ("free vectors of their own" in card.text) == (name == "crcf")
    assert ("SentenceTransformer" in card.text) == (name not in ("attention", "two fields", "crcf"))
    assert str(found.run.folder.parent) not in card.content


def test_the_docs_have_the_cards_code(exported: dict[str, Exported]) -> None:
    card = (exported["mean"].folder / "README.md").read_text()
    code = card.partition("```python\n")[2].partition("```")[0]
    docs = (Path(__file__).parents[2] / "docs" / "models.md").read_text()
    assert code.replace('folder = "."  # of this file', 'folder = "model"') in docs


def test_a_held_folder_stays_as_it_is_and_an_earlier_export_is_replaced(
    exported: dict[str, Exported], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, place = exported["mean"], tmp_path / "model"
    place.mkdir()
    (place / "mine.txt").write_text("kept")
    for held, force, words in (
        (place, False, "is not empty"),
        (place, True, "is not an earlier export"),
        (place / "mine.txt", True, "is not a folder"),
    ):
        with pytest.raises(DataError, match=words):
            export_model(found.run.folder, None, held, force=force)
    assert [path.name for path in place.iterdir()] == ["mine.txt"]
    (place / EXPORTED_FILE).write_bytes((exported["attention"].folder / EXPORTED_FILE).read_bytes())
    (place / "pooling.safetensors").write_text("of the earlier one")

    def write(run: Path, trial: str, step: int, folder: Path) -> None:
        worker.export(run, found.run.trial, step, folder)

    monkeypatch.setattr("grambench.runner.model_export._write", write)
    written = export_model(found.run.folder, "gram-1e", place, force=True)
    held = {path.name for path in place.iterdir()}
    assert held - {path.name for path in found.folder.iterdir()} == {"mine.txt"}
    assert "pooling.safetensors" not in held
    assert (written, (place / "mine.txt").read_text()) == (place, "kept")
    assert list(tmp_path.iterdir()) == [place]


def broken(name: str, made: MadeRun) -> None:
    weights = made.best / "model.safetensors"
    if name == "absent":
        weights.unlink()
    elif name == "a flipped bit":
        content = bytearray(weights.read_bytes())
        content[-1] ^= 1
        weights.write_bytes(content)
    else:
        tokenizer = made.data.folder / "tokenizer" / "tokenizer.json"
        tokenizer.write_text(tokenizer.read_text().replace('"[UNK]"', '"[unk]"', 1))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("absent", "best cannot be read: .*No such file"),
        ("a flipped bit", "best is damaged: the SHA-256 of model.safetensors differs"),
        ("another tokenizer", "The tokenizer is not the one that the run was prepared with"),
    ],
)
def test_damage_is_refused(
    name: str, words: str, cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = MadeRun.of(tmp_path / "runs", f"data.synthetic.seed={len(name)}")
    broken(name, made)
    (tmp_path / "model").mkdir()
    code = worker.main([str(made.folder), str(made.trial), str(STEP), str(tmp_path / "model")])
    ended: subprocess.CompletedProcess[str]
    ended = subprocess.CompletedProcess([], code, capsys.readouterr().out, "")
    assert code == 3
    with pytest.raises(DataError, match=words):
        raise error_of(ended)


def test_what_cannot_be_exported_is_said(cache: Path, tmp_path: Path) -> None:
    made = MadeRun.of(tmp_path / "runs", strategy="nocontent")
    words = create_run(load_preset("demo", TINY["demo"], ["nrms"]), "demo", tmp_path / "runs", [])
    save_weights(words / "nrms.s0" / "best", {}, {"step": STEP})
    for folder, trial in ((made.folder, made.trial), (words, TrialName("nrms", 0))):
        with pytest.raises(ConfigError, match=f"{trial.label} has no text encoder that transformers"):
            worker.export(folder, trial, STEP, tmp_path)
    side = MadeRun.of(tmp_path / "runs", "encoder.adapt=side")
    with pytest.raises(ConfigError, match=r"s0 has a side network on its text encoder"):
        worker.export(side.folder, side.trial, STEP, tmp_path)
    with pytest.raises(
        DataError, match=r"has the weights of step 7, but validation selected those of step 8\."
    ):
        worker.export(made.folder, made.trial, STEP + 1, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]


def test_half_of_an_encoder_decoder_is_not_exported(cache: Path, tmp_path: Path) -> None:
    made = MadeRun.of(tmp_path / "runs", "encoder.pooling=mean", model=family_model("t5", tmp_path / "t5"))
    with pytest.raises(
        ConfigError, match=r"one half of an encoder-decoder \(t5\), which AutoModel loads with"
    ):
        made.export(tmp_path / "model")


def test_a_process_that_was_killed_or_failed() -> None:
    killed, failed = (subprocess.CompletedProcess([], code, "", "Traceback") for code in (-9, 1))
    assert isinstance(error_of(killed), MachineError)
    assert "signal 9" in str(error_of(killed))
    assert str(error_of(failed)) == "the export failed:\nTraceback"


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        ("filter.safetensors", "filter.safetensors has changed since it was exported"),
        ("tokenizer.json", "tokenizer.json has changed since it was exported"),
        (EXPORTED_FILE, "is damaged or from a newer version"),
        ("", "is not an exported model"),
    ],
)
def test_a_changed_export_is_not_loaded(
    damage: str, words: str, exported: dict[str, Exported], tmp_path: Path
) -> None:
    for path in exported["mean"].folder.glob("*.*"):
        content = path.read_bytes()
        if damage:
            (tmp_path / path.name).write_bytes(content[:-2] if path.name == damage else content)
    with pytest.raises(DataError, match=words):
        grambench.load_exported(tmp_path)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"to": "tensorboard", "trial": "e2e"}, "--trial belongs to --to predictions and --to huggingface"),
        ({"to": "mlflow", "force": True}, "--force belongs to --to huggingface"),
        (
            {"to": "hugingface"},
            "Unknown destination .* Use tensorboard, mlflow, wandb, predictions, huggingface",
        ),
        ({"to": "huggingface", "folder": "a", "output": "b"}, "The folder is given twice"),
        ({"to": "huggingface", "trial": "e2e"}, r"The run has no trial 'e2e'\. Its trials are gram-1e\.s0\."),
    ],
)
def test_options_that_do_not_fit_are_exit_code_2(
    options: dict[str, Any], words: str, exported: dict[str, Exported]
) -> None:
    with pytest.raises(ConfigError, match=words):
        command(run=str(exported["mean"].run.folder), **options)
