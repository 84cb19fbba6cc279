"""What a report says of ranks: W, R of a part and of the batch, bytes, waiting, efficiency, parts."""

import json
from pathlib import Path
from typing import Any

import pytest
import report_logs as logs
from report_logs import Run
from syrupy.assertion import SnapshotAssertion
from syrupy.extensions.single_file import SingleFileSnapshotExtension, WriteMode

from grambench.events import types as ev
from grambench.events.types import Event
from grambench.reports.build import build_report, report_json
from grambench.reports.ranks_schema import Ranks
from grambench.reports.read import read_report
from grambench.reports.render.html import render_html
from grambench.reports.render.long_csv import render_csv
from grambench.reports.render.markdown import render_markdown
from grambench.reports.render.options import Options
from grambench.reports.schema import Report
from grambench.reports.trial_schema import rates_of, why_no_rate

NAMES = ("e2e.s0", "gram-1s.s0", "gram-1e.s0")


class Text(SingleFileSnapshotExtension):
    """One readable file."""

    _write_mode = WriteMode.TEXT
    file_extension = "txt"


def met(size: int, device: str = "cpu", attempt: int = 0) -> list[Event]:
    started = [ev.RankStarted(rank, rank, "box", 20 + rank, f"{device}") for rank in range(size)]
    return [ev.GroupFormed(size, 1, "gloo" if device == "cpu" else "nccl", attempt), *started]


def sampled(size: int, train_s: float, waits: bool = True) -> list[Event]:
    return [
        ev.RankSample(
            rank,
            train_s,
            0.1 * (rank + 1) * train_s if waits else None,
            4096 * 10,
            50,
            None if waits else 3 << 30,
            30,
            20,
            25,
        )
        for rank in range(size)
    ]


def write(run: Run, name: str, t_s: float, *events: Event, ends: bool = True) -> None:
    run.log("", t_s, ev.WorkerSpawned(name, 12))
    run.log(name, t_s, logs.worker_started(name), ev.PhaseEntered("train"))
    run.log(name, t_s + 1, logs.planned(name.split(".")[0]), *events)
    if ends:
        run.log(name, t_s + 2, ev.TrialFinished("completed"))
        run.log("", t_s + 2, ev.WorkerExited(name, 0))


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    """e2e: 1, then 2 ranks after a restart; gram-1s: 2 GPUs; gram-1e: one process."""
    folder = tmp_path_factory.mktemp("ranks")
    run = Run(folder)
    run.log("", 0, logs.run_started(*NAMES))
    logs.write_setup(run)
    write(run, NAMES[0], 10, logs.progress(10, 8.0), ends=False)
    again = [*met(2, attempt=1), ev.TrialResumed(10, 8.0, 0), logs.progress(20, 14.0)]
    write(run, NAMES[0], 20, *again, logs.progress(30, 18.0), *sampled(2, 10.0))
    write(run, NAMES[1], 30, *met(2, "cuda:0"), logs.progress(10, 4.0), *sampled(2, 4.0, waits=False))
    write(run, NAMES[2], 40, logs.progress(10, 2.0))
    run.log("", 50, ev.RunFinished(0, 50))
    return build_report(folder)


def ranks_of(report: Report, number: int) -> Ranks:
    return report.trials[number].ranks


def test_the_ranks_of_a_trial_are_told(report: Report) -> None:
    ranks = ranks_of(report, 0)
    assert (ranks.size, ranks.nodes, ranks.backend, ranks.batch_size, ranks.restarts) == (2, 1, "gloo", 4, 1)
    assert (ranks.reuse_ratio_of_a_part, ranks.reuse_ratio) == (60 / 40, 60 / 25)
    assert ranks.received_bytes_per_step == 4096 * 10 / 20
    assert ranks.waiting_share == pytest.approx(0.15)
    assert [rank.waiting_share for rank in ranks.ranks] == [pytest.approx(0.1), pytest.approx(0.2)]
    assert ranks.efficiency == pytest.approx(10 / (2 * 5)), "40 samples in 4 s by two, in 8 s by one"


def test_waiting_on_cuda_is_null_with_the_reason(report: Report) -> None:
    ranks = ranks_of(report, 1)
    assert ranks.backend == "nccl"
    assert ranks.waiting_share is None
    assert ranks.reasons["waiting_share"] == ranks.ranks[1].reasons["waiting_share"] == "not measured on CUDA"
    assert ranks.reasons["efficiency"].startswith(
        "no trial of this label and seed was trained by one process"
    )
    assert ranks.ranks[0].peak_bytes == 3 << 30


def test_rates_of_several_numbers_of_ranks_are_listed_apart_and_never_compared(report: Report) -> None:
    parts = [
        (part.ranks, part.from_step, part.to_step, part.samples_per_s) for part in ranks_of(report, 0).parts
    ]
    assert parts == [(1, 0, 10, 5.0), (2, 10, 30, 10.0)]
    times = report.trials[0].times
    assert times.samples_per_s is times.tokens_per_s is None
    assert "ranks.parts" in times.reasons["samples_per_s"]
    codes = [caution.code for caution in (*report.trials[0].warnings, *report.warnings)]
    assert codes.count("several-ranks") == 2
    ratio = report.trials[2].speedups["e2e"]
    assert ratio.samples_per_s is None
    assert ratio.reasons["samples_per_s"] == "trained by other numbers of ranks"
    assert all(each.cost.ratio is None for each in report.comparisons)
    assert rates_of(report.trials[1:]) == []
    assert rates_of(report.trials[2:]) == [20.0]
    assert why_no_rate(report.trials) == "several numbers of ranks trained them"


def test_a_report_of_one_process_is_as_before_and_older_ones_are_read(report: Report, tmp_path: Path) -> None:
    fields: dict[str, Any] = json.loads(report_json(report))
    assert [*("ranks" in trial for trial in fields["trials"])] == [True, True, False]
    for trial in fields["trials"]:
        trial.pop("ranks", None)
    (tmp_path / "report.json").write_text(json.dumps(fields))
    older = read_report(tmp_path / "report.json")
    assert [trial.ranks for trial in older.trials] == [report.trials[2].ranks] * 3
    assert older.trials[0].ranks.reasons["backend"] == "one process trained it"


def test_ranks_that_have_not_met_are_told(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.log("", 0, logs.run_started("e2e.s0"))
    run.log("", 1, ev.WorkerSpawned("e2e.s0", 12), ev.RanksLaunched("e2e.s0", 2, 2, "box:1", "meeting", 3))
    ranks = build_report(tmp_path).trials[0].ranks
    assert (ranks.size, ranks.several, ranks.parts) == (4, True, [])
    assert ranks.reasons["backend"] == "its ranks have not met"


def test_pages_and_tables_show_ranks(report: Report, snapshot: SnapshotAssertion) -> None:
    lines = [line for line in render_markdown(report).splitlines() if "rank" in line]
    csv = render_csv([report], Options()).splitlines()
    lines += [row.partition(",")[2] for row in csv if ",rank" in row]
    page = render_html([report], Options())
    lines += [line for line in page.splitlines() if line.startswith("<li>e2e.s0:")]
    assert "\n".join(lines) + "\n" == snapshot(name="ranks", extension_class=Text)
