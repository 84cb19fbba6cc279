"""What a tuning selects, expects and warns of."""

import itertools
import statistics

import pytest

from grambench.analysis.grade_facts import facts_of, settings_tried, tuning_words
from grambench.analysis.tuning import (
    TunedContestant,
    TuningTrial,
    expected_bests,
    selected,
)
from grambench.config.presets import load_preset
from grambench.config.tuning import plan_tuning
from grambench.events.state import RunState, TrialState
from grambench.events.types import Evaluated, Outcome, Progress
from grambench.metrics.catalogue import metric
from grambench.reports.tuning import tuned_contestants

AUC = metric("auc")


def tried(draw: int, score: float | None, train_s: float = 1.0) -> TuningTrial:
    return TuningTrial(draw, {}, "completed" if score is not None else "diverged", "", score, train_s)


def trial(name: str, outcome: Outcome | None, auc: float | None, train_s: float = 2.0) -> TrialState:
    found = TrialState(name, "e2e", 1000, outcome=outcome)
    found.best = Evaluated("validation", 1, 10, train_s, {"auc": auc}, 90, 0, False, 0.1, True)
    found.progress = Progress(1, 10, train_s, 0, 0, 0, 0, 0, 0, None, 0, 0)
    return found


def test_the_best_validation_is_selected_and_of_equal_ones_the_cheaper() -> None:
    trials = [tried(0, 0.6), tried(1, 0.7, 5.0), tried(2, None), tried(3, 0.7, 4.0)]
    assert selected(trials, AUC) is trials[3]
    assert selected([tried(0, None)], AUC) is None


def test_a_trial_that_failed_is_spent_and_counts_as_the_worst() -> None:
    each = TunedContestant("a", "e2e", tuple(map(tried, range(3), (0.6, None, 0.8))), None, ())
    scores = (0.6, 0.55, 0.8)
    expected = [statistics.fmean(map(max, itertools.combinations(scores, n))) for n in (1, 2, 3)]
    assert expected_bests(each, 0.55, AUC) == pytest.approx(expected)
    assert each.train_s == 3.0


def test_contestants_are_read_from_the_trials_of_the_tuning_run() -> None:
    spec = load_preset("demo", ['training.strategies=["e2e", "gram-1e", "gram-1s"]'])
    plan = plan_tuning(spec, "demo", 3)
    trials = [
        trial("e2e.t0.s1000", "completed", 0.6),
        trial("e2e.t1.s1000", "diverged", 0.9),
        trial("e2e.t2.s1000", "early-stopped", 0.7),
        trial("gram-1e.t0.s1000", "completed", float("nan")),
        trial("gram-1e.t1.s1000", "failed", 0.8),
        *(trial(f"gram-1s.t{draw}.s1000", "completed", 0.6 - draw / 10) for draw in range(3)),
    ]
    state = RunState(trials={each.name: each for each in trials})
    e2e, gram_1e, gram_1s = tuned_contestants(plan, spec, state)
    assert e2e.selected is not None
    assert (e2e.selected.draw, e2e.selected.validation, e2e.train_s) == (2, 0.7, 6.0)
    assert e2e.selected.settings == {k: plan.draws[2][k] for k in list(plan.draws[2])[:2]}
    assert e2e.cautions == (
        "1 of its 3 trials gave no validation score (diverged)",
        "the selected filter_optimizer.lr = 0.00689 lies at the upper edge of its range: widen [tune]",
    )
    assert gram_1e.selected is None
    assert gram_1e.cautions == ("none of its 3 trials gave a validation score: the final run leaves it out",)
    assert [t.outcome for t in gram_1e.trials] == ["completed", "failed", ""]
    assert gram_1s.selected is not None
    assert (gram_1s.selected.draw, gram_1s.cautions) == (0, ())


def test_tuning_is_graded_by_the_trials_that_chose_the_settings() -> None:
    names = ("e2e.s0", "gram-1e.s0", "slow.s0")
    trials = {name: TrialState(name, name[:-3].replace("slow", "gram-1e"), 0) for name in names}
    by_labels = RunState(trials=dict(trials))
    assert settings_tried(by_labels) == {"e2e": 1, "gram-1e": 2, "slow": 2}
    assert (tuning_words(by_labels, "e2e"), tuning_words(by_labels, "slow")) == (
        "tuned (1 of 2)",
        "tuned (2 of 2)",
    )
    tuned = RunState(trials=dict(trials), tuned=dict.fromkeys(("e2e", "gram-1e", "slow"), 5))
    assert tuning_words(tuned, "e2e") == "tuned (5 of 5)"
    numbers = facts_of(tuned, {}, {}, []).numbers
    assert (numbers["tuning_gap_trials"], numbers["least_tuning_trials"]) == (0, 5)
