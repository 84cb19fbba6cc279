"""What stands on the terminal after a run."""

import pytest

from grambench.cli.follow import _print_results
from grambench.events.state import RunState, TrialState
from grambench.reports.verdict import Verdict


def test_what_disturbed_a_trial_is_said_after_the_run(capsys: pytest.CaptureFixture[str]) -> None:
    quiet = TrialState("e2e.s0", "e2e", 0, watched_s=40.0)
    busy = TrialState("gram-1s.s0", "gram-1s", 0, watched_s=40.0, disturbed_s={"busy-cpu": 30.0})
    state = RunState(trials={trial.name: trial for trial in (quiet, busy)})
    _print_results(state, "report.json", Verdict((), None))
    assert capsys.readouterr().out.splitlines() == [
        "warning: gram-1s.s0: other processes kept the CPUs busy during 75% of its training (30 s)",
        "report: report.json",
    ]


def test_of_many_disturbed_trials_the_first_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    trials = [
        TrialState(f"e2e.s{n}", "e2e", n, watched_s=9.0, disturbed_s={"busy-cpu": 9.0}) for n in range(8)
    ]
    _print_results(RunState(trials={each.name: each for each in trials}), "", Verdict((), None))
    *named, hidden, _ = capsys.readouterr().out.splitlines()
    assert [line.split(":")[1] for line in named] == [f" e2e.s{n}" for n in range(6)]
    assert hidden == "warning: … and 2 more in report.json"
