"""Runs whose best weights are drawn at random, and a fresh process that runs the code of their cards."""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from exported_runs import WrittenRun
from tiny_models import FAMILIES, saved_model
from tiny_systems import widen
from torch import Tensor

from grambench.config.labels import data_label, model_label
from grambench.config.networks import Encoder
from grambench.config.presets import load_preset
from grambench.config.spec import Spec
from grambench.config.strategies import row_of
from grambench.config.trial_name import TrialName
from grambench.data.prepared.tokens import join_fields
from grambench.data.tokenizer import FastTokenizer, build_wordpiece, tokenizer_for
from grambench.domains.prepared import Prepared, open_prepared
from grambench.events import types as ev
from grambench.models.encoders.buckets import ItemEncoder
from grambench.models.encoders.lora import leave_lora_start
from grambench.models.encoders.tokens import ItemTokens
from grambench.reports.build import build_report
from grambench.reports.render.model_card import render_card
from grambench.runner.rundir import create_run
from grambench.training.checkpoint import save_weights
from grambench.training.strategies import factory_of
from grambench.training.strategies.networks import NetworkInputs
from grambench.training.system import Modules
from grambench.worker import export
from grambench.worker.prepare import prepare_data

STEP = 7
TINY = {
    "demo": (
        "data.synthetic={news=60, users=30, train_impressions=80, dev_impressions=40, topics=4}",
        "encoder.architecture={hidden_size=16, layers=2, heads=2, intermediate_size=32}",
        "filter.nrms={heads=2, query=8}",
        "filter.history=5",
    ),
    "demo-kt": (
        "data.synthetic_answers={items=50, students=40, answers_mean=10.0}",
        "data.cold_items=2",
        "encoder.architecture={hidden_size=16, layers=2, heads=2, intermediate_size=32}",
        "filter.sequence=6",
    ),
}
TITLES = (
    "a tale of the sea",
    "",
    "[SEP] [CLS] sea",
    "  The SEA\tand the s\N{COMBINING ACUTE ACCENT}ea!",
    "tale " * 40,
)


def family_model(family: str, folder: Path) -> str:
    """A tiny random model of another family, with a tokenizer whose padding token is the model's."""
    kind, sizes = FAMILIES[family]
    saved_model((kind, {**sizes, "vocab_size": 400}), folder)
    build_wordpiece(iter(["a tale of the sea"]), 400).save(folder)
    ids = {"[CLS]": 0, "[PAD]": 1, "[SEP]": 2, "[UNK]": 3} if "pad_token_id" in sizes else {}
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    tokenizer["model"]["vocab"].update(ids)
    for token in tokenizer["added_tokens"]:
        token["id"] = ids.get(token["content"], token["id"])
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    names = {"cls_token": "[CLS]", "sep_token": "[SEP]", "unk_token": "[UNK]", "pad_token": "[PAD]"}
    if family == "qwen2":
        del names["cls_token"]
    document = {"tokenizer_class": "PreTrainedTokenizerFast", **names}
    (folder / "tokenizer_config.json").write_text(json.dumps(document))
    return str(folder)


def evaluated(part: Literal["validation", "test"], auc: float, **changes: Any) -> ev.Evaluated:
    """Scores at the step of the weights."""
    fields = {"epoch": 1, "step": STEP, "train_s": 0.5, "metrics": {"auc": auc, "mrr": None}}
    counts = {"impressions": 40, "skipped": 0, "sampled": False, "seconds": 0.1, "best": True}
    return ev.Evaluated(part=part, **{**fields, **counts, **changes})


@dataclass
class MadeRun:
    """A run with the weights of one trial."""

    folder: Path
    spec: Spec
    data: Prepared
    modules: Modules
    trial: TrialName

    @classmethod
    def of(
        cls,
        out: Path,
        *changes: str,
        preset: str = "demo",
        strategy: str = "gram-1e",
        model: str | None = None,
    ) -> "MadeRun":
        """`model`: a pretrained one in place of the preset's, whose trained weights change by about 1 %."""
        spec = load_preset(preset, [*TINY[preset], *changes], [strategy])
        if model is not None:
            encoder = spec.encoder.model_dump() | {"model": model, "architecture": None}
            spec = spec.model_copy(update={"encoder": Encoder(**encoder)})
        data = open_prepared(prepare_data(spec, lambda _: None))
        inputs = NetworkInputs(spec, data, autocast=False, bucket_tokens=512)
        modules = Modules(*factory_of(row_of(strategy)).networks(inputs))
        torch.manual_seed(1)
        for module in (modules.encoder, modules.filter):
            if spec.encoder.model is None:
                widen(module)
            else:
                for parameter in module.parameters():
                    if parameter.requires_grad:
                        parameter.data.mul_(1 + 0.01 * torch.randn(()))
                leave_lora_start(module)
        modules.train(False)
        made = cls(create_run(spec, preset, out, ["grambench"]), spec, data, modules, TrialName(strategy, 0))
        save_weights(made.best, modules.state_dict(), {"epoch": 1, "step": STEP})
        log = WrittenRun(made.folder)
        name = str(made.trial)
        log.log(
            "", 0, ev.RunStarted(made.folder.name, preset, [name], 1, model_label(spec), data_label(spec))
        )
        log.log(
            name, 1, evaluated("validation", 0.61), evaluated("test", 0.59), ev.TrialFinished("completed")
        )
        log.finish(2)
        return made

    @property
    def best(self) -> Path:
        return self.folder / str(self.trial) / "best"

    def export(self, folder: Path) -> Path:
        """What the worker writes, and the card."""
        folder.mkdir()
        exported = export.export(self.folder, self.trial, STEP, folder)
        report = build_report(self.folder)
        (folder / "README.md").write_text(render_card(report, report.trials[0], exported))
        return folder

    @torch.no_grad()
    def vectors(self, items: Sequence[Sequence[str]]) -> Tensor:
        """Vectors [N, D] of the networks that were saved, by the run's own tokens."""
        from tokenizers import Tokenizer

        info, fields = self.data.manifest.tokenizer, self.spec.data.fields
        if self.spec.encoder.model is None:
            saved = Tokenizer.from_file(str(self.data.folder / "tokenizer" / "tokenizer.json"))
            tokenizer: Any = FastTokenizer(saved, info.cls_id, info.sep_id)
        else:
            tokenizer = tokenizer_for(self.spec.encoder)[0]
        limits = [limit for limit in (fields.title, fields.abstract, fields.body) if limit]
        encoded = [tokenizer.encode(texts) for texts in zip(*items, strict=True)]
        flat, offsets = join_fields(encoded, limits, info.cls_id, info.sep_id)
        tokens = ItemTokens(flat, offsets, torch.device("cpu"))
        encoder = getattr(self.modules.encoder, "content", self.modules.encoder)
        return ItemEncoder(encoder, tokens, 512)(np.arange(len(items)))


_RUN_CARDS = r"""
import json, re, sys
import transformers
transformers.logging.set_verbosity_error()
found = {}
asked = json.load(sys.stdin)
for folder, items in asked["folders"].items():
    card = open(f"{folder}/README.md").read()
    code = re.search(r"```python\n(.*?)```", card, re.S)[1]
    code = code.replace('folder = "."', f"folder = {folder!r}")
    if "token_ids(" in code:
        code, count = re.subn(r"\[token_ids\(\(.*?\)\)\]", "[token_ids(item) for item in ITEMS]", code)
    else:
        code, count = re.subn(r'\["A new title"\]', "[title for title, in ITEMS]", code)
    assert count == 1, code
    names = {"ITEMS": items}
    exec(code, names)
    exact = {"ITEMS": items}
    if asked["exactly"]:
        code = code.replace("AutoModel.from_pretrained(folder)", "AutoModel.from_pretrained(folder).double()")
        exec(re.sub(r"(load_file\(.*\))", r"{name: each.double() for name, each in \1.items()}", code), exact)
    _, loading = transformers.AutoModel.from_pretrained(folder, output_loading_info=True)
    keys = sorted([*loading["missing_keys"], *loading["unexpected_keys"]])
    found[folder] = {"vectors": names["vectors"].tolist(), "keys": keys}
    if "vectors" in exact:
        found[folder]["exact"] = exact["vectors"].tolist()
assert "grambench" not in sys.modules
json.dump(found, sys.stdout)
"""


def in_a_fresh_process(
    items: Mapping[Path, Sequence[Sequence[str]]], *, exactly: bool = False
) -> dict[Path, dict[str, Any]]:
    """Folder -> `vectors` that the code of its card makes of items, and `keys` that `AutoModel` complains of.

    `exactly`: also the same in float64, `exact`.
    """
    ended = subprocess.run(
        [sys.executable, "-P", "-c", _RUN_CARDS],
        input=json.dumps(
            {"exactly": exactly, "folders": {str(folder): rows for folder, rows in items.items()}}
        ),
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return {Path(folder): read for folder, read in json.loads(ended.stdout).items()}
