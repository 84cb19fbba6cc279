"""Errors within one seed: users and students are the units."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from grambench.analysis.clustered import auc_difference_interval, auc_influence, clustered_interval

DRAWS = 400


def test_the_auc_is_the_share_of_pairs_and_the_influence_what_an_answer_adds() -> None:
    """Against brute force: the derivative of the AUC by an answer's weight, times the number of answers."""
    rng = np.random.default_rng(0)
    labels, scores = rng.integers(0, 2, 40), rng.integers(0, 9, 40).astype(float)
    pairs = (scores[:, None] > scores) + 0.5 * (scores[:, None] == scores)

    def weighted(weights: np.ndarray) -> float:
        right, wrong = weights * labels, weights * (1 - labels)
        return float(right @ pairs @ wrong / right.sum() / wrong.sum())

    found = auc_influence(scores, labels)
    assert found is not None
    assert found.auc == pytest.approx(weighted(np.ones(40)), abs=1e-14)
    step = 1e-6 * np.eye(40)
    slopes = [40 * (weighted(1 + row) - weighted(1 - row)) / 2e-6 for row in step]
    assert found.influence_A == pytest.approx(slopes, abs=1e-6)
    assert found.influence_A.mean() == pytest.approx(0, abs=1e-14)


def test_clusters_of_one_are_the_plain_t_interval() -> None:
    values = np.random.default_rng(1).normal(size=30)
    ours = clustered_interval(values, np.arange(30))
    theirs = stats.t.interval(0.95, 29, values.mean(), stats.sem(values))
    assert ours is not None
    assert (ours.low, ours.high) == pytest.approx(theirs)


def test_numbers_of_users_need_not_be_dense() -> None:
    values, users = np.random.default_rng(2).normal(size=60), np.repeat(np.arange(12), 5)
    dense = clustered_interval(values, users)
    assert dense is not None
    assert dense.units == 12
    assert clustered_interval(values, users * 1_000 - 7) == dense


def test_one_user_tells_nothing_about_others_and_one_class_has_no_auc() -> None:
    assert clustered_interval(np.ones(3), np.zeros(3, int)) is None
    assert auc_influence(np.ones(3), np.ones(3, int)) is None
    scores, labels = np.array([0.1, 0.4, 0.3]), np.array([0, 1, 0])
    assert auc_difference_interval(scores, scores, labels, np.zeros(3, int)) is None
    assert auc_difference_interval(scores, scores, np.ones(3, int), np.arange(3)) is None


def test_what_does_not_fit_or_is_not_finite_is_refused() -> None:
    bad, labels = np.array([0.1, np.nan]), np.array([0, 1])
    for function in (clustered_interval, auc_influence):
        with pytest.raises(ValueError, match="not finite"):
            function(bad, labels)
        with pytest.raises(ValueError, match=r"\(2,\)"):
            function(bad, np.zeros(3, int))


def test_impressions_of_a_user_are_not_independent() -> None:
    """Over single impressions the interval would cover .79."""
    rng, hits, plain = np.random.default_rng(7), 0, 0
    for _ in range(DRAWS):
        sizes = np.minimum(60, np.ceil(rng.lognormal(1.0, 0.9, 150))).astype(int)
        users = np.repeat(np.arange(150), sizes)
        values = 0.12 * rng.normal(size=150)[users] + 0.25 * rng.normal(size=len(users))
        interval = clustered_interval(values, users)
        assert interval is not None
        hits += interval.low <= 0 <= interval.high
        plain += abs(values.mean()) <= 1.96 * stats.sem(values)
    assert hits / DRAWS == pytest.approx(0.945, abs=0.03)
    assert plain / DRAWS < 0.85


def test_answers_of_a_student_are_not_independent() -> None:
    """Both models have the same expected AUC; over single answers the interval would cover .90."""
    rng, hits = np.random.default_rng(8), 0
    for _ in range(DRAWS):
        students = np.repeat(np.arange(80), np.minimum(40, np.ceil(rng.lognormal(2.0, 0.7, 80))).astype(int))
        logits = rng.normal(size=80)[students] + rng.normal(size=len(students))
        labels = rng.random(len(students)) < 1 / (1 + np.exp(-logits))
        models = [
            logits + 0.7 * rng.normal(size=80)[students] + 0.5 * rng.normal(size=len(students)) for _ in "ab"
        ]
        interval = auc_difference_interval(models[0], models[1], labels, students)
        assert interval is not None
        hits += interval.low <= 0 <= interval.high
    assert hits / DRAWS == pytest.approx(0.945, abs=0.03)


def test_the_library_loads_no_arrays_before_it_needs_them() -> None:
    folder = Path(__file__).parents[3] / "grambench" / "analysis"
    names = sorted(path.stem for path in folder.glob("[a-z]*.py"))
    assert "clustered" in names
    imports = "; ".join(f"import grambench.analysis.{name}" for name in names)
    check = "import sys; print(sorted({'numpy', 'scipy', 'torch', 'pydantic'} & set(sys.modules)))"
    said = subprocess.run(
        [sys.executable, "-c", f"{imports}; {check}"], capture_output=True, text=True, check=True
    ).stdout
    assert said.strip() == "[]", names
