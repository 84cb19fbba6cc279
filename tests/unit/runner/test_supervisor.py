"""What a run's end says to the shell, and the order of its trials."""

import fcntl
from pathlib import Path

import pytest

from grambench.config.presets import load_preset
from grambench.config.spec import Spec, Training
from grambench.config.trials import TrialEntry
from grambench.errors import ExitCode, MachineError
from grambench.events import types as ev
from grambench.events.state import RunState, SetupState, TrialState
from grambench.runner.names import cheapest_first, trial_names
from grambench.runner.rundir import create_run
from grambench.runner.supervisor import Supervisor, exit_code


def audit(equivalent: bool = True) -> ev.AuditFinished:
    return ev.AuditFinished(equivalent, 1e-10, 1, 1, 1, 0.0, 0.0, 0.0, 0.0, 0.1)


def state(*outcomes: ev.Outcome | None, equivalent: bool = True) -> RunState:
    trials = {f"e2e.s{i}": TrialState(f"e2e.s{i}", "e2e", i, outcome=o) for i, o in enumerate(outcomes)}
    setup = SetupState(outcome="completed", exit_code=0, audit=audit(equivalent))
    return RunState(setup=setup, trials=trials)


@pytest.mark.parametrize(
    ("outcomes", "code"),
    [
        (("completed", "early-stopped"), ExitCode.OK),
        (("completed", "failed"), ExitCode.PARTIAL),
        (("failed", "failed"), ExitCode.PARTIAL),
        (("completed", "diverged"), ExitCode.PARTIAL),
        (("completed", None), ExitCode.PARTIAL),
        (("completed", "skipped"), ExitCode.PARTIAL),
        (("completed", "interrupted"), ExitCode.PARTIAL),
    ],
)
def test_the_outcomes_decide(outcomes: tuple[ev.Outcome | None, ...], code: ExitCode) -> None:
    assert exit_code(state(*outcomes), None) == code


def test_a_stop_goes_before_everything() -> None:
    assert exit_code(state("completed"), "stopped") == ExitCode.STOPPED
    assert exit_code(RunState(), "stopped") == ExitCode.STOPPED


def test_a_signal_leaves_a_run_that_can_be_resumed_and_a_second_one_says_stopped() -> None:
    assert exit_code(state("completed"), "interrupted") == ExitCode.INTERRUPTED
    assert exit_code(state("completed"), "interrupted", killed=True) == ExitCode.STOPPED


def test_an_audit_that_fails_is_7_but_a_failed_trial_says_more() -> None:
    assert exit_code(state("completed", equivalent=False), None) == ExitCode.NOT_EQUIVALENT
    assert exit_code(state("failed", equivalent=False), None) == ExitCode.PARTIAL


def test_a_missing_audit_is_no_equivalence() -> None:
    unaudited = state("completed")
    unaudited.setup.audit = None
    assert exit_code(unaudited, None) == ExitCode.NOT_EQUIVALENT


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (2, ExitCode.USAGE),
        (3, ExitCode.DATA),
        (4, ExitCode.ENVIRONMENT),
        (1, ExitCode.BUG),
        (0, ExitCode.BUG),
        (-9, ExitCode.BUG),
        (99, ExitCode.BUG),
        (None, ExitCode.BUG),
    ],
)
def test_a_setup_that_fails_gives_its_own_code(code: int | None, said: ExitCode) -> None:
    failed = RunState(setup=SetupState(outcome="failed", exit_code=code))
    assert exit_code(failed, None) == said


def test_every_strategy_of_a_seed_runs_before_the_next_seed_in_turned_order() -> None:
    training = Training(strategies=("e2e", "gram-1s"), seeds=(3, 0, 1))
    turned = ["e2e.s3", "gram-1s.s3", "gram-1s.s0", "e2e.s0", "e2e.s1", "gram-1s.s1"]
    assert trial_names(Spec(training=training)) == turned
    same = training.model_copy(update={"order": "same"})
    assert trial_names(Spec(training=same))[2:4] == ["e2e.s0", "gram-1s.s0"]


def test_a_linear_drift_favours_nobody() -> None:
    names = trial_names(
        Spec(training=Training(strategies=("e2e", "gram-1s", "nrms"), seeds=(0, 1), repeats=2))
    )
    places = {label: sum(i for i, name in enumerate(names) if name[0] == label) for label in "egn"}
    assert len(set(places.values())) == 1


def test_repeats_stand_behind_one_another_and_the_null_test_has_none() -> None:
    training = Training(strategies=("e2e", "gram-1s"), seeds=(3, 0), repeats=2)
    assert trial_names(Spec(training=training, null_test=True)) == [
        *("e2e.s3", "null-e2e.s3", "gram-1s.s3"),
        *("gram-1s.s3.r2", "e2e.s3.r2"),
        *("e2e.s0", "null-e2e.s0", "gram-1s.s0"),
        *("gram-1s.s0.r2", "e2e.s0.r2"),
    ]


def test_a_null_test_stands_behind_the_strategy_that_it_repeats() -> None:
    spec = Spec(training=Training(strategies=("e2e", "gram-1s"), seeds=(3, 0)), null_test=True)
    assert trial_names(spec) == [
        *("e2e.s3", "null-e2e.s3", "gram-1s.s3"),
        *("gram-1s.s0", "null-e2e.s0", "e2e.s0"),
    ]


def test_trials_are_called_by_their_labels() -> None:
    trials = tuple(TrialEntry(label=label, strategy="gram-1e") for label in ("slow", "fast"))
    spec = Spec(trials=trials, training=Training(seeds=(3, 0)), null_test=True)
    assert trial_names(spec) == [
        *("slow.s3", "null-slow.s3", "fast.s3"),
        *("fast.s0", "null-slow.s0", "slow.s0"),
    ]


def test_a_run_has_one_supervisor(tmp_path: Path) -> None:
    folder = create_run(load_preset("demo"), "demo", tmp_path, [])
    with (folder / ".lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(MachineError, match="is already running: another process"):
            Supervisor(folder).run()
    assert not (folder / "supervisor.jsonl").exists()


def test_where_a_race_does_not_fit_cheap_strategies_come_first_and_e2e_last() -> None:
    training = Training(strategies=("e2e", "gram-1s", "nocontent", "gram-1e", "e2e-unique"), seeds=(0, 1))
    spec = Spec(training=training)
    cheap = ["gram-1e", "nocontent", "gram-1s", "e2e-unique", "e2e"]
    assert cheapest_first(trial_names(spec), spec) == [f"{name}.s{seed}" for seed in (0, 1) for name in cheap]
