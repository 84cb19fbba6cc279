"""The numbers of one run, computed by hand from its events, in report, page, final table and dashboard."""

import io
from dataclasses import replace
from pathlib import Path

import pytest
from report_logs import Run, run_started, write_setup, write_trial
from rich.console import Console

from grambench.events import types as ev
from grambench.events.reader import read_run
from grambench.reports.build import build_report
from grambench.reports.render.markdown import render_markdown
from grambench.reports.schema import Report
from grambench.reports.verdict import verdict_of
from grambench.tui.scene import Scene
from grambench.tui.view import View
from grambench.tui.widgets.board import leaderboard
from grambench.views.console import summary_table, verdict_lines

EPOCH_S, TEST_AUC = {0: 4.0, 1: 5.0, 2: 4.0}, {0: 0.660, 1: 0.650, 2: 0.655}
"""Of gram-1s by seed; an epoch of e2e takes 10 s, and its test AUC is 0.65.

The speed-ups are 2.5, 2, 2.5: mean log .841910, standard error .074381, t(2) 4.302653, so 2.3208 with
1.6852 to 3.1961. The differences are .010, .000, .005: mean .005, standard error .0028868, so -.0074 to
.0174. Validations rise from .60 to .70 between the epochs: .65 is reached in their middle, after 15 s, and
6, 7.5, 6 s.
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made: Path = tmp_path_factory.mktemp("traced")
    run = Run(made, {"training": {"seeds": [0, 1, 2]}, "evaluation": {"target_auc": 0.65}})
    run.log("", 0, run_started(*(f"{label}.s{seed}" for seed in EPOCH_S for label in ("e2e", "gram-1s"))))
    write_setup(run)
    end_s = 4.0
    for seed, epoch_s in EPOCH_S.items():
        end_s = write_trial(run, f"e2e.s{seed}", end_s, 10.0, (0.60, 0.70), test_auc=0.65)
        end_s = write_trial(run, f"gram-1s.s{seed}", end_s, epoch_s, (0.60, 0.70), test_auc=TEST_AUC[seed])
    run.log("", end_s, ev.RunFinished(0, end_s))
    return made


@pytest.fixture(scope="module")
def report(folder: Path) -> Report:
    return build_report(folder)


def test_the_report_has_them(report: Report) -> None:
    (one,) = report.comparisons
    assert one.cost.ratio == pytest.approx(2.3208, abs=5e-5)
    assert one.cost.between is not None
    assert (one.cost.between.low, one.cost.between.high) == pytest.approx((1.6852, 3.1961), abs=1e-4)
    assert (one.cost.between.method, one.cost.processes) == ("t", 3)
    assert one.quality.difference == pytest.approx(0.005)
    assert one.quality.interval is not None
    ends = one.quality.interval.low, one.quality.interval.high
    assert ends == pytest.approx((-0.00742, 0.01742), abs=1e-5)
    assert one.time_to_target.target == 0.65
    assert one.time_to_target.ratio_low == one.time_to_target.ratio_high == pytest.approx(2.5)
    arrivals = [(pair.candidate, pair.reference) for pair in one.pairs]
    assert [(own.seconds, other.seconds) for own, other in arrivals if own and other] == [
        pytest.approx((own, 15.0)) for own in (6.0, 7.5, 6.0)
    ]
    ratios = [each.speedups["e2e"].samples_per_s for each in report.trials if each.strategy == "gram-1s"]
    assert ratios == pytest.approx([2.5, 2.0, 2.5])


def test_the_page_has_them_and_says_how_the_strategies_were_tuned(report: Report) -> None:
    page = render_markdown(report)
    cells = next(line for line in page.splitlines() if line.startswith("| gram-1s over e2e")).split("|")
    found = [cell.strip() for cell in cells]
    for text in ("2.32×", "1.69 to 3.20 (95%)", "+.005", "−.007 to +.017 (95%)", "2.50×", "undecided"):
        assert text in found
    for row in (line for line in page.splitlines() if line.startswith("| gram-1s | ") and "×" in line):
        assert ("2.00×" if row.split("|")[2].strip() == "1" else "2.50×") in row
    assert "Speed-ups: gram-1s not tuned" in page


def test_the_final_table_and_the_lines_below_have_them(folder: Path) -> None:
    state, stream = read_run(folder), io.StringIO()
    Console(file=stream, width=200).print(summary_table(state))
    rows = {tuple(line.split()[:2]): line.split() for line in stream.getvalue().splitlines() if line.strip()}
    for seed, ratio in ((0, "2.5"), (1, "2.0"), (2, "2.5")):
        assert {ratio, "1.7–3.2"} <= set(rows["gram-1s", str(seed)])
    verdict = verdict_of(state, folder)
    first, grade, *marks = verdict_lines(verdict.compared, verdict.grade)
    assert first == (
        "verdict: gram-1s reached AUC 0.65 in 1/2.50 of its training time (3 seeds);"
        " AUC +.005 [−.007, +.017], undecided."
        " 3 seeds are too few for an interval of the time: run --seeds 0..5."
        " gram-1s trains 2.32 times the samples/s of e2e; 1.69 to 3.2 between processes"
        " (95 % interval, 3 of each)."
    )
    assert grade.startswith("self-grade: ")
    assert len(marks) == 7
    assert marks[-1] == f"  … and {len(verdict.grade.lost) - 6 if verdict.grade else 0} more in report.json"


def test_the_leaderboard_has_them(folder: Path) -> None:
    scene = replace(Scene.of(read_run(folder), dark=True), view=View(target=0.65))
    rows = [line.split() for line in leaderboard(scene, 200).plain.splitlines()]
    head = " ".join(rows[0])
    assert "s to 0.65" in head
    assert "95 %" in head
    expected = {"0": {"2.5", "6.0"}, "1": {"2.0", "7.5"}, "2": {"2.5", "6.0"}}
    for row in rows[1:]:
        wanted = expected[row[2]] | {"1.7–3.2"} if row[1] == "gram-1s" else {"1.0", "15.0"}
        assert wanted <= set(row)
