"""What a report says about candidates, by hand from the numbers of the logs."""

import json
import math
from pathlib import Path
from statistics import fmean

import numpy as np
import pytest
import report_logs as logs
from report_logs import Run

from grambench.errors import DataError
from grambench.events import types as ev
from grambench.reports.build import build_report
from grambench.reports.comparison_schema import Comparison
from grambench.reports.comparisons import read_pair
from grambench.reports.kept_scores import SCORES_FILE
from grambench.reports.read import read_report
from grambench.reports.render.markdown import render_markdown
from grambench.reports.schema import Report

SECONDS = {"e2e": (10.0, 10.4, 9.8, 10.2, 10.0, 9.9), "gram-1s": (4.0, 4.1, 4.0, 4.2, 3.9, 4.0)}
"""Of an epoch, by seed."""
SCORES = {"e2e": 0.600, "gram-1s": 0.601}
KEPT = Path(__file__).parents[2] / "kept_runs"


def write_seeds(folder: Path, seeds: int, spec: dict[str, object] | None = None) -> Run:
    """Both strategies with so many seeds."""
    run, end_s = Run(folder, spec or {}), 4.0
    names = [f"{label}.s{seed}" for seed in range(seeds) for label in SECONDS]
    run.log("", 0, logs.run_started(*names))
    for name in names:
        label, _, seed = name.partition(".s")
        score = SCORES[label] + 0.0002 * int(seed)
        end_s = logs.write_trial(run, name, end_s, SECONDS[label][int(seed)], (0.60, 0.70), score)
    return run


def compared(folder: Path) -> tuple[Report, Comparison]:
    report = build_report(folder)
    (comparison,) = report.comparisons
    return report, comparison


def test_six_seeds_give_intervals_a_verdict_and_a_conclusion(tmp_path: Path) -> None:
    write_seeds(tmp_path, 6)
    report, found = compared(tmp_path)
    logs_of_ratios = [math.log(a / b) for a, b in zip(SECONDS["e2e"], SECONDS["gram-1s"], strict=True)]
    assert found.cost.ratio == pytest.approx(math.exp(fmean(logs_of_ratios)))
    between = found.cost.between
    assert (between.method, between.units, between.level) == ("sign-flip", 6, 0.96875)
    assert (between.low, between.high) == pytest.approx(
        (math.exp(min(logs_of_ratios)), math.exp(max(logs_of_ratios)))
    )
    assert (found.quality.difference, found.quality.seeds) == (pytest.approx(0.001), 6)
    assert (found.quality.verdict, found.conclusion) == ("better", "pays")
    assert found.quality.p == 2 / 2**6
    assert found.time_to_target.target == pytest.approx(0.698)
    assert found.time_to_target.ratio_low == pytest.approx(
        fmean(sorted(map(math.exp, logs_of_ratios))[2:4]), rel=1e-3
    )
    assert found.sentence.endswith(": pays.")
    page = render_markdown(report)
    assert "gram-1s over e2e" in page
    assert found.sentence.split(";")[0] in page.replace("\\", "")


def test_one_seed_claims_nothing_and_names_what_would_decide(tmp_path: Path) -> None:
    write_seeds(tmp_path, 1)
    report, found = compared(tmp_path)
    assert found.cost.between is None
    assert found.cost.reasons["between"].endswith("add seeds or --repeats 3")
    assert found.quality.interval is None
    assert (found.quality.verdict, found.conclusion) == ("undecided", "undecided")
    assert "run --seeds 0..5" in found.sentence
    lost = {mark.code: mark for mark in report.grade.marks if mark.outcome == "lost"}
    assert {"seeds", "processes", "tuned", "resolution"} <= set(lost)
    assert lost["seeds"].value == 1
    outcomes = {mark.code: mark.outcome for mark in report.grade.marks}
    assert outcomes["throttled"] == outcomes["foreign-gpu"] == outcomes["steady"] == "not applicable"
    assert report.grade.total == sum(outcome != "not applicable" for outcome in outcomes.values())


def test_dropout_makes_everything_incomparable(tmp_path: Path) -> None:
    write_seeds(tmp_path, 6, {"encoder": {"model": "x", "dropout": 0.1}})
    _, found = compared(tmp_path)
    assert found.conclusion == "not comparable"
    assert "dropout of 0.1" in found.sentence


def test_pairs_are_read_back_as_they_were(tmp_path: Path) -> None:
    write_seeds(tmp_path, 2)
    _, found = compared(tmp_path)
    pair = read_pair(found.pairs[1])
    assert (pair.run, pair.seed, pair.repeat) == ("demo-1", 1, 1)
    assert pair.log_ratio == pytest.approx(math.log(10.4 / 4.1))
    assert pair.candidate.wait.seconds == pytest.approx(4.1 + 4.1 * 0.98)


def test_scores_by_impression_give_the_error_by_users(tmp_path: Path) -> None:
    write_seeds(tmp_path, 1)
    generator = np.random.default_rng(0)
    users = np.repeat(np.arange(40, dtype=np.int32), 5)
    common = generator.normal(0.6, 0.2, 200)
    for label, noise in (("e2e", 0.0), ("gram-1s", 0.05)):
        values = common + noise * np.repeat(generator.normal(size=40), 5)
        values[7] = np.nan
        np.savez(tmp_path / f"{label}.s0" / SCORES_FILE, values=values.astype("f4"), clusters=users)
    _, found = compared(tmp_path)
    assert found.quality.user_clusters == 40
    assert found.quality.user_half_width == pytest.approx(2.02 * 0.05 / math.sqrt(40), rel=0.25)
    (tmp_path / "e2e.s0" / SCORES_FILE).write_bytes(b"PK damaged")
    _, found = compared(tmp_path)
    assert found.quality.user_half_width is None
    assert found.quality.reasons["user_half_width"] == "no scores by impression of both were kept"


@pytest.mark.parametrize("path", sorted(KEPT.glob("*/*/report.json")), ids=lambda path: path.parts[-3])
def test_kept_reports_of_every_version_are_read(path: Path) -> None:
    report = read_report(path)
    assert report.schema_version == 2
    assert report.trials
    if path.parts[-3] == "0.1":
        assert (report.comparisons, report.grade) == ([], None)


def test_what_is_no_report_is_refused_in_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    for text in ("", "[]", "{}", '{"schema_version": 1}', '{"schema_version": 3}', json.dumps({"trials": 3})):
        path.write_text(text)
        with pytest.raises(DataError, match="is not a report of grambench"):
            read_report(path)
    with pytest.raises(DataError, match="cannot be read"):
        read_report(tmp_path / "none.json")


def test_a_run_that_ends_when_it_is_decided_shows_its_looks(tmp_path: Path) -> None:
    run = write_seeds(tmp_path, 6, {"training": {"until_decided": 8, "seeds": tuple(range(8))}})
    rows = [{"label": "gram-1s", "low": 0.0, "high": 0.002, "verdict": "as good"}]
    run.log("", 500.0, ev.DecisionLooked(6, 8, rows, True))
    report, found = compared(tmp_path)
    assert found.quality.interval.method == "repeated t, 8 seeds at most"
    assert report.until_decided.decided_at_seeds == 6
    assert [look.seeds for look in report.until_decided.looks] == [6]
    assert "Decided after 6 of at most 8 seeds" in render_markdown(report)
