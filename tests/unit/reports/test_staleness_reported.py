"""Age and drift of cached vectors from the log to every page, and what an older report says."""

import json
from pathlib import Path

import pytest
import report_logs as logs
from report_logs import Run

from grambench.events import types as ev
from grambench.events.reader import read_run
from grambench.reports.build import build_report, report_json
from grambench.reports.read import read_report
from grambench.reports.render.html import render_html
from grambench.reports.render.long_csv import render_csv
from grambench.reports.render.markdown import render_markdown
from grambench.reports.render.options import Options
from grambench.tui.detail_text import strategy_text
from grambench.tui.scene import Scene

NAMES = ("speedyfeed.s0", "e2e-cand.s0")


def measured(step: int, drift: float | None) -> ev.StalenessMeasured:
    return ev.StalenessMeasured(step, float(step), 64, 1.5, 2.0, 3, drift)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Measured at steps 10, 20 and 30; resumed at 20, after which 30 was measured anew."""
    run = Run(tmp_path)
    run.log("", 0, logs.run_started(*NAMES))
    logs.write_setup(run)
    for at, name in enumerate(NAMES, 1):
        run.log("", 10 * at, ev.WorkerSpawned(name, 12))
        run.log(name, 10 * at, logs.worker_started(name), ev.PhaseEntered("train"))
        run.log(name, 10 * at, logs.planned(name.split(".")[0]), logs.progress(30, 30.0))
    run.log(NAMES[0], 30, measured(10, 0.25), measured(20, 0.75), measured(30, 9.0))
    run.log(NAMES[0], 31, ev.TrialResumed(20, 20.0, 0), logs.progress(30, 30.0))
    run.log(NAMES[0], 32, measured(30, None))
    return tmp_path


def test_every_page_says_how_old_the_vectors_were(folder: Path) -> None:
    report = build_report(folder)
    cached, fresh = report.trials
    assert [(each.step, each.drift) for each in cached.staleness] == [(10, 0.25), (20, 0.75), (30, None)]
    assert cached.staleness[-1].reasons == {"drift": "not a finite number"}
    words = (
        "speedyfeed read vectors up to 3 CF steps old (mean 1.5); their mean drift, in units of the spread: –"
        " at the last validation, 0.5000 over all"
    )
    assert words in render_markdown(report)
    assert words in render_html([report], Options())
    assert "speedyfeed.s0,speedyfeed,speedyfeed,0,1,staleness,drift,20,20.0,0.75,," in render_csv(
        [report], Options()
    )
    kept = json.loads(report_json(report))
    assert [("staleness" in trial) for trial in kept["trials"]] == [True, False], (
        "as before where there is none"
    )
    assert fresh.staleness == []
    (folder / "report.json").write_text(json.dumps(kept))
    assert read_report(folder / "report.json") == report


def test_the_dashboard_shows_the_newest(folder: Path) -> None:
    state = read_run(folder)
    scene = Scene.of(state, dark=True)
    cached, fresh = (strategy_text(scene, state.trials[name]).plain for name in NAMES)
    assert "age of vectors" in cached
    assert "steps, most" in cached
    assert "age of vectors" not in fresh


def test_the_candidates_control_is_said_to_be_another_update(folder: Path) -> None:
    cached, control = build_report(folder).trials
    assert [each.code for each in cached.warnings] == []
    assert [each.code for each in control.warnings] == ["another-update"]
