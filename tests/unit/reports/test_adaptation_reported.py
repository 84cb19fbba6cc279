"""What of the encoder is trained, what its cache costs, and whose the savings are, by hand."""

import json
from pathlib import Path
from typing import Any

import pytest
import report_logs as logs
from report_logs import Run

from grambench.events import types as ev
from grambench.reports.build import build_report, report_json
from grambench.reports.read import read_report
from grambench.reports.render.html import render_html
from grambench.reports.render.markdown import render_markdown
from grambench.reports.render.options import Options
from grambench.reports.trial_schema import Trial

TRIALS: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = {
    "e2e": ({"strategy": "e2e"}, {}, {"unique_items": 200, "items_encoded": 200}),
    "chunked": ({"strategy": "gram-1s"}, {}, {"items_encoded": 200}),
    "freeze": (
        {"strategy": "gram-1s", "encoder.adapt": "freeze"},
        {"adapt": "freeze", "frozen_layers": 10, "trainable_parameters": 170},
        {},
    ),
    "lora": ({"strategy": "gram-1s", "encoder.adapt": "lora"}, {"adapt": "lora"}, {}),
    "window": (
        {"strategy": "gram-10s", "multi_step.encoder_passes": 2},
        {"window_steps": 10},
        {"unique_items": 40, "batch_items": 100, "items_encoded": 120},
    ),
    "side": (
        {"strategy": "gram-1s", "encoder.adapt": "side"},
        {"adapt": "side", "frozen_layers": 12},
        {},
    ),
}
"""Label -> its entry, plan and counts after 10 steps: 40 users, 200 occurrences, 100 distinct items."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    entries = tuple({"label": label, **entry} for label, (entry, _, _) in TRIALS.items())
    run = Run(tmp_path, {"trials": entries})
    run.log("", 0, logs.run_started(*(f"{label}.s0" for label in TRIALS)))
    logs.write_setup(run)
    for at, (label, (entry, plan, counts)) in enumerate(TRIALS.items(), 1):
        name = f"{label}.s0"
        own = {"label": label, "layers": 12, "trainable_parameters": 1000, **plan}
        run.log("", 10 * at, ev.WorkerSpawned(name, 12))
        run.log(name, 10 * at, logs.worker_started(name), logs.planned(entry["strategy"], **own))
        if label in ("freeze", "side"):
            run.log(
                name, 10 * at, ev.StatesCached(100, 1000, 8, 16000, "float16", True, 5.0, label == "side")
            )
        window = ev.WindowClosed(1, 10, 10, 40, 200, 0.1, 0.1, 1.0)
        run.log(name, 11 * at, logs.progress(10, 25.0, **counts), *([window] if label == "window" else []))
        run.log(name, 12 * at, logs.epoch_finished(1, 20.0))
    return tmp_path


def trial(folder: Path, label: str) -> Trial:
    return next(trial for trial in build_report(folder).trials if trial.label == label)


@pytest.mark.parametrize(
    ("label", "factors", "product"),
    [
        ("e2e", (11, 1, 1, 1, 1, 1), 11),
        ("chunked", (11, 1, 1, 2, 1, 3 / 4), 11 * 2 * 3 / 4),
        # as published: 10 layers forward, 2 forward and backward
        ("freeze", (11, 36 / 16, 16 / 6, 2, 1, 1), 11 * 6 * 2),
        ("lora", (11, 3 / 2, 1, 2, 1, 1), 11 * 3),
        # each of 40 items forward once, and twice forward and backward
        ("window", (11, 1, 1, 2, 2.5, 3 / 7), 11 * 5 * 3 / 7),
    ],
)
def test_factors_by_hand(folder: Path, label: str, factors: tuple[float, ...], product: float) -> None:
    work = trial(folder, label).adaptation.work
    assert (
        work.padding,
        work.trained_layers,
        work.cached_layers,
        work.repeated_items,
        work.windows,
        work.recomputation,
    ) == pytest.approx(factors)
    assert work.product == pytest.approx(product)


def test_where_no_layer_runs_the_product_is_missing_with_its_reason(folder: Path) -> None:
    work = trial(folder, "side").adaptation.work
    assert (work.cached_layers, work.product, work.repeated_items) == (None, None, 2)
    assert work.reasons["product"] == "no layer is left to run in a step"


def test_the_cache_is_charged_and_pays_after_so_many_epochs(folder: Path) -> None:
    found = trial(folder, "freeze").adaptation
    assert (found.adapt, found.layers, found.frozen_layers, found.trainable_parameters) == (
        "freeze",
        12,
        10,
        170,
    )
    assert (found.cache_bytes, found.cache_dtype, found.cache_on_device) == (16000, "float16", True)
    assert (found.cache_s, found.cache_built, found.train_s_without_cache) == (5.0, False, 20.0)
    assert found.break_even_epochs == 2.0  # 1,000 tokens of the catalogue, 500 in an epoch
    whole = trial(folder, "e2e").adaptation
    assert whole.cache_s is whole.break_even_epochs is None
    assert whole.reasons["cache_s"] == "no states are cached"


def test_every_page_has_the_table_and_a_report_reads_back(folder: Path) -> None:
    report = build_report(folder)
    page = render_markdown(report)
    assert "| freeze | freeze | 170 | 11.00× | 2.25× | 2.67× | 2.00× | 1.00× | 1.00× | 132.00× |" in page
    assert "The encoder's work" in render_html([report], Options()).replace("&#39;", "'")
    kept = json.loads(report_json(report))
    (folder / "report.json").write_text(json.dumps(kept))
    assert read_report(folder / "report.json") == report


def test_an_older_log_says_nothing_of_it(tmp_path: Path) -> None:
    logs.write_whole(tmp_path)
    report = build_report(tmp_path)
    assert all(trial.adaptation.adapt is None for trial in report.trials)
    assert "adaptation" not in report_json(report)
    assert "encoder's work" not in render_markdown(report)
