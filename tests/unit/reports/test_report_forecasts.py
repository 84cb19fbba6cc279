"""The report scores what was predicted before a trial trained."""

import csv
import io
import json
from pathlib import Path

import pytest
import report_logs as logs
from report_logs import Run

from grambench.events import types as ev
from grambench.reports.build import build_report, report_json
from grambench.reports.forecast_schema import Scored
from grambench.reports.read import read_report
from grambench.reports.render.html import render_html
from grambench.reports.render.long_csv import render_csv
from grambench.reports.render.markdown import render_markdown
from grambench.reports.render.options import Options
from grambench.reports.schema import Report

MADE = ev.TrialForecast(
    epoch_s=9.0, peak_bytes=3 << 30, reuse_ratio=2.5, note="<without> a cache", seconds=0.1
)
EPOCH = ev.EpochFinished(1, 10, 12.0, 40, 600, 300, 300, 6000)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    """e2e: predicted and measured; gram-1s: predicted and never trained; gram-1e: an older log."""
    folder = tmp_path_factory.mktemp("forecasts")
    run, names = Run(folder), ("e2e.s0", "gram-1s.s0", "gram-1e.s0")
    run.log("", 0, logs.run_started(*names))
    for number, name in enumerate(names):
        made = [MADE] if number < 2 else []
        run.log(name, number, logs.worker_started(name), logs.planned(name.split(".")[0]), *made)
    run.log("e2e.s0", 4, ev.PhaseEntered("train"), logs.progress(10, 12.0), EPOCH)
    run.log("", 4, ev.ProcessSample("e2e.s0", 12, rss_bytes=2 << 30))
    return build_report(folder)


def test_predictions_are_divided_by_what_was_measured(report: Report) -> None:
    scored, unmeasured, _ = (trial.forecast for trial in report.trials)
    assert scored.epoch_s == Scored(predicted=9.0, measured=12.0, ratio=0.75)
    assert scored.peak_bytes == Scored(predicted=float(3 << 30), measured=float(2 << 30), ratio=1.5)
    measured = report.trials[0].reuse_ratio
    assert scored.reuse_ratio == Scored(predicted=2.5, measured=measured, ratio=2.5 / measured)
    assert (scored.seconds, scored.note) == (0.1, MADE.note)
    assert unmeasured.epoch_s.predicted == 9.0
    assert unmeasured.epoch_s.reasons == {
        "measured": "no epoch was finished",
        "ratio": "it was not both predicted and measured",
    }


def test_what_the_drift_decides_has_that_reason(tmp_path: Path) -> None:
    run, name = Run(tmp_path), "gram-auto.s0"
    made = ev.TrialForecast(peak_bytes=3 << 30, note="1 to 4 s an epoch")
    run.log("", 0, logs.run_started(name))
    run.log(name, 0, logs.worker_started(name), logs.planned("gram-auto"), made)
    found = build_report(tmp_path).trials[0].forecast
    assert found.is_made
    for scored in (found.epoch_s, found.reuse_ratio):
        assert scored.reasons["predicted"] == "the drift decides how long windows are"


def test_a_trial_without_a_prediction_is_written_as_before(report: Report, tmp_path: Path) -> None:
    text = report_json(report)
    assert ["forecast" in trial for trial in json.loads(text)["trials"]] == [True, True, False]
    (tmp_path / "report.json").write_text(text)
    assert read_report(tmp_path / "report.json") == report


def test_every_form_has_the_scores(report: Report) -> None:
    page = render_markdown(report)
    assert "| e2e.s0 | 9.0 / 12.0 (0.75) | 3,072 / 2,048 (1.50) | 2.5 / " in page
    assert "| gram-1s.s0 | 9.0 / – | 3,072 / – | 2.5 / – | &lt;without&gt; a cache |" in page
    assert "gram-1e.s0 | –" not in page
    assert "<td>9.0 / 12.0 (0.75)</td>" in render_html([report], Options())
    rows = list(csv.DictReader(io.StringIO(render_csv([report], Options()))))
    found = {
        row["metric"]: (row["value"], row["unit"])
        for row in rows
        if (row["trial"], row["part"]) == ("e2e.s0", "forecast of epoch_s")
    }
    assert found == {"predicted": ("9.0", "s"), "measured": ("12.0", "s"), "ratio": ("0.75", "")}
