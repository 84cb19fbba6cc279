"""Trials with labels and settings of their own: what the logs say of them, and every view."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import report_logs as logs
from report_logs import Run

from grambench.analysis import comparison
from grambench.events.reader import read_run
from grambench.reports.build import build_report, report_json
from grambench.reports.render.markdown import render_markdown
from grambench.reports.schema import Report
from grambench.tui.scene import Scene
from grambench.views.comparison_table import name_of, ordered, own_settings, seed_of

SLOW, FAST = {"encoder_optimizer.lr": 1e-4}, {"encoder_optimizer.lr": 1e-3, "training.batch_size": 16}
SPEC = {"encoder_optimizer": {"lr": 1e-4}, "training": {"batch_size": 4}}


def plan(label: str, strategy: str = "gram-1e", **settings: Any) -> dict[str, Any]:
    return {"label": label, "strategy": strategy, "settings": settings}


def write(folder: Path, seeds: int = 1, e2e: str = "e2e", first_line: bool = True) -> None:
    """e2e under some label, then two trials of gram-1e, at 10, 5 and 2 s an epoch; seed after seed."""
    run = Run(folder, SPEC)
    strategies = {e2e: "e2e", "slow": "gram-1e", "fast": "gram-1e"}
    names = [f"{label}.s{seed}" for seed in range(seeds) for label in strategies]
    started = logs.run_started(*names)
    if first_line:
        run.log("", 0, replace(started, strategies=strategies))
    t_s = 1.0
    for seed in range(seeds):
        t_s = logs.write_trial(run, f"{e2e}.s{seed}", t_s, 10.0, (0.6, 0.7), 0.65, **plan(e2e, "e2e"))
        t_s = logs.write_trial(run, f"slow.s{seed}", t_s, 5.0, (0.6, 0.7), 0.61, **plan("slow", **SLOW))
        t_s = logs.write_trial(run, f"fast.s{seed}", t_s, 2.0, (0.6, 0.7), 0.69, **plan("fast", **FAST))


def test_the_report_has_label_strategy_and_settings(tmp_path: Path) -> None:
    write(tmp_path)
    report = build_report(tmp_path)
    assert [(t.name, t.label, t.strategy, t.settings) for t in report.trials] == [
        ("e2e.s0", "e2e", "e2e", {}),
        ("slow.s0", "slow", "gram-1e", SLOW),
        ("fast.s0", "fast", "gram-1e", FAST),
    ]
    ratios = [trial.speedups["e2e"].samples_per_s for trial in report.trials]
    assert ratios == pytest.approx([1.0, 2.0, 5.0])


def test_the_page_says_in_which_settings_they_differ(tmp_path: Path) -> None:
    write(tmp_path)
    page = render_markdown(build_report(tmp_path))
    assert "- slow (gram-1e): encoder_optimizer.lr = 0.0001\n" in page
    fast = "encoder_optimizer.lr = 0.001 instead of 0.0001; training.batch_size = 16 instead of 4"
    assert f"- fast (gram-1e): {fast}\n" in page
    assert "| fast | 0 |" in page
    assert "over e2e of the same seed" in page


def test_the_seeds_of_a_label_stand_together(tmp_path: Path) -> None:
    write(tmp_path, seeds=2)
    report = build_report(tmp_path)
    assert [(row.label, row.strategy, row.seeds) for row in report.seeds] == [
        ("e2e", "e2e", [0, 1]),
        ("slow", "gram-1e", [0, 1]),
        ("fast", "gram-1e", [0, 1]),
    ]
    rows = [(name_of(trial), trial.seed) for trial in ordered(read_run(tmp_path))]
    assert rows == [("fast", 0), ("fast", 1), ("e2e", 0), ("e2e", 1), ("slow", 0), ("slow", 1)]
    assert "| slow | 2 |" in render_markdown(report)


def test_a_labelled_e2e_is_the_reference(tmp_path: Path) -> None:
    write(tmp_path, e2e="plain")
    report = build_report(tmp_path)
    assert report.trials[2].speedups["e2e"].samples_per_s == pytest.approx(5.0)
    assert "over plain of the same seed" in render_markdown(report)
    assert report.trials[2].times.target_source == "the best validation AUC of plain less the margin"


def test_the_trial_called_e2e_goes_before_other_trials_of_e2e(tmp_path: Path) -> None:
    run = Run(tmp_path)
    started = logs.run_started("other.s0", "e2e.s0")
    run.log("", 0, replace(started, strategies={"other": "e2e", "e2e": "e2e"}))
    state = read_run(tmp_path)
    found = comparison.reference_of(state, state.trials["other.s0"], "e2e")
    assert found is state.trials["e2e.s0"]


def test_a_null_test_repeats_a_labelled_trial(tmp_path: Path) -> None:
    run = Run(tmp_path)
    started = logs.run_started("slow.s0", "null-slow.s0")
    run.log("", 0, replace(started, strategies={"slow": "gram-1e"}))
    t_s = logs.write_trial(run, "slow.s0", 1.0, 5.0, (0.6, 0.7), **plan("slow", **SLOW))
    logs.write_trial(run, "null-slow.s0", t_s, 4.0, (0.6, 0.7), **plan("null-slow", **SLOW))
    report = build_report(tmp_path)
    (test,) = report.null_tests
    assert (test.trial, test.repeats) == ("null-slow.s0", "slow.s0")
    assert test.samples_per_s == pytest.approx(1.25)
    assert [trial.strategy for trial in report.trials] == ["gram-1e", "null-gram-1e"]


def test_a_plan_names_the_strategy_where_the_first_line_is_lost(tmp_path: Path) -> None:
    write(tmp_path, first_line=False)
    state = read_run(tmp_path)
    assert {t.label: t.strategy for t in state.trials.values()} == {
        "e2e": "e2e",
        "slow": "gram-1e",
        "fast": "gram-1e",
    }


def test_views_call_a_trial_by_its_label(tmp_path: Path) -> None:
    write(tmp_path)
    state = read_run(tmp_path)
    scene = Scene.of(state, dark=True)
    slow, fast = state.trials["slow.s0"], state.trials["fast.s0"]
    assert (scene.title(slow), scene.title(fast)) == ("slow", "fast")
    assert scene.look(slow).colour != scene.look(fast).colour
    assert own_settings(state)["fast"] == "encoder_optimizer.lr = 0.001, training.batch_size = 16"


def test_views_and_report_tell_the_repeats_of_a_seed_apart(tmp_path: Path) -> None:
    run = Run(tmp_path, SPEC)
    names = ("e2e.s0", "gram-1e.s0", "gram-1e.s0.r2", "e2e.s0.r2")
    run.log("", 0, logs.run_started(*names))
    t_s = 1.0
    for name, epoch_s in zip(names, (10.0, 5.0, 2.0, 8.0), strict=True):
        t_s = logs.write_trial(run, name, t_s, epoch_s, (0.6, 0.7), 0.65)
    report, state = build_report(tmp_path), read_run(tmp_path)
    scene = Scene.of(state, dark=True)
    assert [scene.title(trial) for trial in state.trials.values()] == [
        *("e2e s0", "gram-1e s0", "gram-1e s0 r2", "e2e s0 r2")
    ]
    assert {seed_of(trial) for trial in ordered(state)} == {"0", "0 r2"}
    assert [(trial.seed, trial.repeat) for trial in report.trials] == [(0, 1), (0, 1), (0, 2), (0, 2)]
    ratios = [trial.speedups["e2e"].samples_per_s for trial in report.trials]
    assert ratios == pytest.approx([1.0, 2.0, 4.0, 1.0])
    assert report.seeds == []  # two processes of a seed are no two seeds


def test_a_report_without_labels_is_read_by_its_strategies(tmp_path: Path) -> None:
    logs.write_whole(tmp_path)
    older = json.loads(report_json(build_report(tmp_path)))
    for trial in older["trials"]:
        del trial["label"], trial["settings"], trial["repeat"]
    report = Report.model_validate_json(json.dumps(older))
    assert (report.trials[1].label, report.trials[1].settings, report.trials[1].repeat) == ("", {}, 1)
    assert "| gram-1s | 0 |" in render_markdown(report)
