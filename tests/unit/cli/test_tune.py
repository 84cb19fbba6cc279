"""`grambench tune`: two runs in a row, resumed where they were left, and what is refused."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tuning_logs import write_run

from grambench.cli import tune
from grambench.cli.app import main
from grambench.errors import ExitCode
from grambench.reports.build import build_report
from grambench.reports.read import read_report
from grambench.reports.render.html import render_html
from grambench.reports.render.markdown import render_markdown
from grambench.reports.render.options import Options
from grambench.runner.rundir import list_runs, read_spec

TUNE = ("tune", "--preset", "demo", "--strategies", "e2e,gram-1e", "--budget", "3", "--plain")
SCORES = {"e2e.t0": 0.6, "e2e.t1": 0.55, "e2e.t2": 0.7, "gram-1e.t0": 0.65, "gram-1e.t1": None}
Trains = Callable[[Path], None]


@pytest.fixture
def call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Run a command line; supervisors of its runs write the logs of `trains` at once."""

    def called(*words: str, trains: Trains = lambda folder: write_run(folder, SCORES)) -> Any:
        monkeypatch.setattr(tune, "start_supervisor", trains)
        monkeypatch.setattr("sys.argv", ["grambench", *words, "--out", str(tmp_path)])
        with pytest.raises(SystemExit) as ended:
            main()
        shown = capsys.readouterr()
        return int(ended.value.code or 0), shown.out, shown.err

    return called


def test_the_final_run_trains_what_the_validation_selected(call: Callable[..., Any], tmp_path: Path) -> None:
    code, out, err = call(*TUNE, "--seeds", "0..1")
    assert code == ExitCode.OK
    first, final = list_runs(tmp_path)
    _, spec = read_spec(final)
    assert {entry.label: len(entry.settings) for entry in spec.entries} == {"e2e": 2, "gram-1e": 0}
    assert spec.training.seeds == (0, 1)
    assert "e2e: draw 2 of 3: encoder_optimizer.lr = 0.000376" in err
    assert "warning: gram-1e: 1 of its 3 trials gave no validation score (diverged)" in err
    assert "tuned (3 of 3)" in out
    report = build_report(final)
    assert report.tuning is not None
    assert (report.tuning.run, report.tuning.left_out, report.tuning.train_s) == (first.name, [], 12.0)
    expected = report.tuning.contestants[1].expected_best  # of .65, .5 and one that failed: the worst, .5
    assert expected == pytest.approx([0.55, 0.6, 0.65])
    assert build_report(first).missing[:1] == ["The data were not prepared."]
    assert not any("test scores" in sentence for sentence in build_report(first).missing)


@pytest.fixture
def report_file(call: Callable[..., Any], tmp_path: Path) -> Path:
    call(*TUNE)
    return list_runs(tmp_path)[1] / "report.json"


def test_the_report_shows_the_tuning_in_every_form(report_file: Path) -> None:
    report = read_report(report_file)
    page = render_markdown(report)
    assert (
        "| e2e | draw 2 of 3: encoder_optimizer.lr = 0.000376, filter_optimizer.lr = 0.00689 | 0.7000 |"
        in page
    )
    assert "- e2e: the selected filter_optimizer.lr = 0.00689 lies at the upper edge" in page
    html = render_html([report], Options())
    assert '<th scope="row">gram-1e</th><td>draw 0 of 3: its own settings</td><td>0.6500</td>' in html


def test_a_report_from_before_has_no_tuning(report_file: Path) -> None:
    fields = json.loads(report_file.read_text())
    del fields["tuning"]
    fields["reasons"].pop("tuning", None)
    report_file.write_text(json.dumps(fields))
    report = read_report(report_file)
    assert (report.tuning, report.reasons["tuning"]) == (
        None,
        "the report was written before this was measured",
    )


def test_an_interrupted_half_is_resumed_by_either_run_s_name(
    call: Callable[..., Any], tmp_path: Path
) -> None:
    code, _, err = call(*TUNE, trains=lambda folder: write_run(folder, SCORES, until="gram-1e.t0.s1000"))
    (first,) = list_runs(tmp_path)
    assert code == ExitCode.INTERRUPTED
    assert f"resume it with `grambench tune --resume {first}`" in err
    code, _, err = call(*TUNE[:6], "4", "--plain", "--resume", first.name)
    assert (code, "has different settings: budget: 3, now 4" in err) == (ExitCode.USAGE, True)
    code, _, err = call("tune", "--budget", "4", "--plain", "--resume", first.name)
    assert (code, "has different settings: budget: 3, now 4" in err) == (ExitCode.USAGE, True)
    begun: list[Path] = []

    def trains(folder: Path) -> None:
        begun.append(folder)
        write_run(folder, SCORES, until="e2e.s0" if folder != first else "")

    assert call(*TUNE, "--resume", first.name, trains=trains)[0] == ExitCode.INTERRUPTED
    _, final = list_runs(tmp_path)
    assert begun == [first, final]
    for name in (first.name, final.name):
        assert call("tune", "--plain", "--resume", name, trains=trains)[0] == ExitCode.INTERRUPTED
    assert begun == [first, final, final, final]
    assert call("tune", "--plain", "--resume", final.name)[0] == ExitCode.OK
    assert call("tune", "--plain", "--resume", first.name, trains=trains)[0] == ExitCode.OK  # all is done
    assert len(begun) == 4
    assert list_runs(tmp_path) == [first, final]


def test_a_contestant_that_always_fails_is_left_out(call: Callable[..., Any], tmp_path: Path) -> None:
    without = SCORES | dict.fromkeys(("gram-1e.t0", "gram-1e.t1", "gram-1e.t2"))
    code, _, err = call(*TUNE, trains=lambda folder: write_run(folder, without))
    final = list_runs(tmp_path)[1]
    assert [entry.label for entry in read_spec(final)[1].entries] == ["e2e"]
    assert "gram-1e: none of its 3 trials gave a validation score: the final run leaves it out" in err
    assert code == ExitCode.PARTIAL
    assert "The final run lacks gram-1e: no trial of the tuning gave a validation score." in err
    none = dict.fromkeys([*without, "e2e.t0", "e2e.t1", "e2e.t2"])
    code, _, err = call(*TUNE, trains=lambda folder: write_run(folder, none))
    assert (code, len(list_runs(tmp_path))) == (ExitCode.PARTIAL, 3)
    assert "No trial of the tuning gave a validation score" in err


def test_a_dry_run_shows_the_draws_of_both_runs_and_makes_none(
    call: Callable[..., Any], tmp_path: Path
) -> None:
    code, out, _ = call(*TUNE, "--dry-run", "--json")
    document = json.loads(out)
    assert list(document) == ["preset", "budget", "seed", "draws", "tuning", "final"]
    assert (code, len(document["draws"]), list_runs(tmp_path)) == (0, 3, [])
    assert "would train: e2e × 3, gram-1e × 3; seeds 1000; " in "\n".join(document["tuning"])


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("tune",), "What to tune is not given"),
        (("tune", "--preset", "demo", "--budget", "0"), "Give each contestant 1 to 1,000 trials"),
        (("tune", "--preset", "demo", "--tune-seed", "0"), "Give another --tune-seed"),
    ],
)
def test_bad_input_is_refused_before_anything_is_made(
    call: Callable[..., Any], tmp_path: Path, words: tuple[str, ...], says: str
) -> None:
    code, out, err = call(*words)
    assert (code, out, says in err, list_runs(tmp_path)) == (ExitCode.USAGE, "", True, [])


def test_an_ordinary_run_is_not_resumed_as_a_tuning(call: Callable[..., Any], tmp_path: Path) -> None:
    call(*TUNE)
    first, _ = list_runs(tmp_path)
    (first / "tune.json").unlink()
    code, _, err = call("tune", "--plain", "--resume", first.name)
    assert (code, "is not part of a tuning" in err) == (ExitCode.USAGE, True)


def test_a_damaged_plan_is_said(call: Callable[..., Any], tmp_path: Path) -> None:
    call(*TUNE)
    first, final = list_runs(tmp_path)
    (first / "tune.json").write_text("{}")
    code, _, err = call(*TUNE, "--resume", final.name)
    assert (code, "tune.json cannot be read. Start a new tuning." in err) == (ExitCode.DATA, True)
