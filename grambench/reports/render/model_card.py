"""The model card of an exported model: README.md with the front matter that the Hugging Face hub reads."""

import json
import re
from pathlib import Path
from typing import Any

from grambench.config.exported import Exported
from grambench.config.strategies import builtin_row
from grambench.metrics.catalogue import METRICS, metric
from grambench.reports.render.markdown import cell, environment_of, number
from grambench.reports.schema import Report, Spread
from grambench.reports.trial_schema import Scores, Trial
from grambench.text import safe_text

_POOL = {
    "mean": ("vectors = (states * mask).sum(1) / mask.sum(1)",),
    "cls": ("vectors = states[:, 0]",),
    "last": ("vectors = states[torch.arange(len(states)), mask.sum((1, 2)) - 1]",),
    "attention": (
        'weights = load_file(f"{folder}/pooling.safetensors")',
        'keys = torch.tanh(states @ weights["project.weight"].T + weights["project.bias"])',
        'scores = (keys @ weights["query.weight"].T).masked_fill(mask == 0, -torch.inf)',
        "vectors = (states * scores.softmax(1)).sum(1)",
    ),
}
"""Lines that make vectors [N, D] of token states [N, L, D] and their mask [N, L, 1]."""
_MIB = 1 << 20


def render_card(report: Report, trial: Trial, exported: Exported) -> str:
    """The card of a trial's exported model."""
    environment = environment_of(autoescape=False)  # as in `markdown`
    environment.filters.update(cell=cell, number=number)
    row = builtin_row(exported.strategy)
    return environment.get_template("model_card.md.j2").render(
        front=_front_matter(report, trial, exported),
        report=report,
        trial=trial,
        exported=exported,
        meaning=row.meaning if row else f"a strategy of {trial.plan.package if trial.plan else 'a plug-in'}",
        encoder=_encoder(report, exported),
        selected_by=metric(report.run.selected_by).title,
        scores=_score_rows(report, trial),
        training=_training(trial),
        comparisons=[
            each for each in report.comparisons if each.candidate == (trial.label or trial.strategy)
        ],
        code=_code(exported),
    )


def _encoder(report: Report, exported: Exported) -> str:
    """The pretrained model, of a folder only its name; or the sizes of one from scratch."""
    model = report.spec.get("encoder", {}).get("model")
    return exported.base_model or (Path(str(model)).name if model else report.run.model_label)


def _front_matter(report: Report, trial: Trial, exported: Exported) -> str:
    """YAML, each value as JSON, which is YAML too."""
    fields: dict[str, Any] = {
        "license": "unknown",
        "library_name": "sentence-transformers" if exported.has_modules else "transformers",
        "pipeline_tag": "sentence-similarity" if exported.has_modules else "feature-extraction",
        "tags": ["recommendation", exported.domain, "gram", "grambench", exported.strategy],
    }
    if exported.base_model:
        fields["base_model"] = exported.base_model
    dataset = str(report.spec.get("data", {}).get("dataset", ""))
    if dataset and "(synthetic)" not in report.run.data_label:
        fields["datasets"] = [_slug(dataset)]
    if trial.test is not None:
        result = {
            "task": {"type": "other", "name": exported.domain.replace("-", " ")},
            "dataset": {
                "name": safe_text(report.run.data_label),
                "type": _slug(dataset) or "own",
                "split": "test",
            },
            "metrics": _metrics(report, trial, trial.test),
        }
        fields["model-index"] = [{"name": f"{report.run.name} {trial.name}", "results": [result]}]
    lines = (f"{name}: {_indented(value)}" for name, value in fields.items())
    return "\n".join(lines)


def _indented(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=1 if isinstance(value, list) else None).replace(
        "\n", "\n "
    )


def _slug(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._/-]+", "-", name).strip("-./")


def _metrics(report: Report, trial: Trial, test: Scores) -> list[dict[str, Any]]:
    """This model's scores, and those of its strategy over the seeds."""
    found = []
    spreads = _spreads(report, trial)
    for name, value, shown in _measured(test):
        found.append(
            {"type": name, "value": value, "name": f"{metric(name).title}, seed {trial.seed}{shown}"}
        )
        if (spread := spreads.get(name)) is not None:
            words = f"mean of {spread.n} seeds, standard deviation {spread.standard_deviation:.4f}"
            found.append({"type": name, "value": spread.mean, "name": f"{metric(name).title}, {words}"})
    return found


def _measured(scores: Scores) -> list[tuple[str, float, str]]:
    """Each metric that was measured: name, value, and its interval in words."""
    found = []
    for row in METRICS:
        value = scores.value(row.name) if row.can_select else None
        if value is None:
            continue
        low, high = (scores.value(f"{row.name}_{end}") for end in ("low", "high"))
        ends = "" if low is None or high is None else f" (95 % interval {low:.4f} to {high:.4f})"
        found.append((row.name, value, ends))
    return found + [(name, value, "") for name, value in scores.others.items()]


def _spreads(report: Report, trial: Trial) -> dict[str, Spread]:
    label = trial.label or trial.strategy
    return next((each.test for each in report.seeds if (each.label or each.strategy) == label), {})


def _score_rows(report: Report, trial: Trial) -> list[tuple[str, ...]]:
    """Metric, validation, test, and mean over the seeds, as text."""
    spreads, rows = _spreads(report, trial), list[tuple[str, ...]]()
    validation = (
        {name: value for name, value, _ in _measured(trial.best_validation)} if trial.best_validation else {}
    )
    test = {name: f"{value:.4f}{ends}" for name, value, ends in _measured(trial.test)} if trial.test else {}
    for name in dict.fromkeys((*validation, *test)):
        spread = spreads.get(name)
        over = f"{spread.mean:.4f} ± {spread.standard_deviation:.4f} ({spread.n} seeds)" if spread else "–"
        rows.append((metric(name).title, number(validation.get(name), 4), test.get(name, "–"), over))
    return rows


def _training(trial: Trial) -> list[tuple[str, str]]:
    """What the training cost; only what was measured."""
    peak = trial.memory.torch_peak_allocated_bytes or trial.memory.rss_peak_bytes
    speedup = trial.speedups["e2e"].samples_per_s if "e2e" in trial.speedups else None
    worker = trial.worker
    rows = [
        ("training seconds to these weights", _shown(trial.times.train_s_to_best, 1)),
        ("training seconds in all", _shown(trial.times.train_s, 1)),
        ("samples per second", _shown(trial.times.samples_per_s, 1)),
        ("speed-up over `e2e`, samples per second", _shown(speedup, 2)),
        ("reuse ratio R", _shown(trial.reuse_ratio, 1)),
        ("joules of the GPU", _shown(trial.energy.joules, 0)),
        ("peak memory, MiB", _shown(peak / _MIB if peak else None, 0)),
        ("device", cell(worker.device_name) if worker else ""),
        ("precision of the encoder", worker.precision if worker else ""),
    ]
    return [(name, value) for name, value in rows if value]


def _shown(value: float | None, digits: int) -> str:
    return "" if value is None else number(value, digits)


def _code(exported: Exported) -> str:
    """Python that encodes a new item with transformers alone."""
    lines = ["import torch"]
    if exported.pooling == "attention":
        lines.append("from safetensors.torch import load_file")
    lines += [
        "from transformers import AutoModel, AutoTokenizer",
        "",
        'folder = "."  # of this file',
        "tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder)",
        *(_one_text() if len(exported.fields) == 1 else _several_texts(exported)),
        "with torch.no_grad():",
        '    states, mask = model(**inputs).last_hidden_state, inputs["attention_mask"][..., None]',
        *_POOL[exported.pooling],
    ]
    return "\n".join(lines)


def _one_text() -> list[str]:
    return ['inputs = tokenizer(["A new title"], padding=True, truncation=True, return_tensors="pt")']


def _several_texts(exported: Exported) -> list[str]:
    """Each field is cut to its own limit, which `tokenizer` itself cannot do."""
    room = [field.limit - 1 - (number == 0) for number, field in enumerate(exported.fields)]
    texts = ", ".join(f'"A new {field.name}"' for field in exported.fields)
    return [
        f"limits = {room}",
        "",
        "def token_ids(texts):",
        "    ids = [tokenizer.cls_token_id]",
        "    for text, limit in zip(texts, limits):",
        '        ids += tokenizer(text, add_special_tokens=False)["input_ids"][:limit]',
        "        ids.append(tokenizer.sep_token_id)",
        "    return ids",
        "",
        f'inputs = tokenizer.pad({{"input_ids": [token_ids(({texts}))]}}, return_tensors="pt")',
    ]
