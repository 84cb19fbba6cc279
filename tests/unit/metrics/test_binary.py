"""AUC of pooled answers and its bootstrap."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from grambench.metrics.binary import auc, bootstrap_auc
from grambench.metrics.ranking import NotFiniteError

ANSWERS = st.lists(st.tuples(st.integers(0, 1), st.integers(-3, 3)), min_size=2, max_size=30)


def pairwise_auc(labels: list[int], scores: list[float]) -> float:
    """The definition, pair by pair."""
    right = [s for y, s in zip(labels, scores, strict=True) if y]
    wrong = [s for y, s in zip(labels, scores, strict=True) if not y]
    wins = sum(1.0 if a > b else 0.5 if a == b else 0.0 for a, b in itertools.product(right, wrong))
    return wins / (len(right) * len(wrong))


@given(ANSWERS)
def test_auc_is_the_share_of_pairs_in_order_ties_counting_half(answers: list[tuple[int, int]]) -> None:
    labels, scores = [list(column) for column in zip(*answers, strict=True)]
    found = auc(np.array(labels), np.array(scores, float))
    if len(set(labels)) < 2:
        assert found is None
    else:
        assert found == pytest.approx(pairwise_auc(labels, scores), abs=1e-12)


def test_auc_is_that_of_scikit_learn_on_many_answers() -> None:
    generator = np.random.default_rng(1)
    labels, scores = generator.integers(0, 2, 20_000), generator.normal(size=20_000).round(2)
    assert auc(labels, scores) == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)


def test_bootstrap_is_a_loop_over_drawn_students_of_scikit_learn_calls() -> None:
    generator = np.random.default_rng(2)
    labels, students = generator.integers(0, 2, 300), 7 * generator.integers(0, 40, 300)
    scores = (labels * 0.7 + generator.normal(size=300)).round(1)
    found = bootstrap_auc(labels, scores, students, resamples=400, seed=5)
    assert found is not None
    answers = [np.flatnonzero(students == name) for name in np.unique(students)]
    drawn = np.random.default_rng(5).integers(0, len(answers), (400, len(answers)))
    samples = [np.concatenate([answers[student] for student in rows]) for rows in drawn]
    values = [roc_auc_score(labels[rows], scores[rows]) for rows in samples]
    low, high = np.quantile(values, [0.025, 0.975])
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-12)


def test_bootstrap_really_resamples_and_narrows_with_more_answers() -> None:
    """The official code seeds its generator anew in the loop and finds no spread at all."""
    generator = np.random.default_rng(3)
    widths = []
    for count in (200, 20_000):
        labels = generator.integers(0, 2, count)
        scores = labels + generator.normal(size=count)
        interval = bootstrap_auc(labels, scores, np.arange(count), resamples=200)
        assert interval is not None
        widths.append(interval.high - interval.low)
        assert interval.low < roc_auc_score(labels, scores) < interval.high
    assert widths[0] > 3 * widths[1] > 0


def test_answers_that_a_student_repeats_do_not_narrow_the_interval() -> None:
    """Drawn one by one, ten equal answers would look like ten students."""
    generator = np.random.default_rng(4)
    labels = generator.integers(0, 2, 100)
    scores, students = labels + generator.normal(size=100), np.arange(100)
    once = bootstrap_auc(labels, scores, students)
    ten = bootstrap_auc(*(np.repeat(each, 10) for each in (labels, scores, students)))
    assert once is not None
    assert ten is not None
    assert (ten.low, ten.high) == pytest.approx((once.low, once.high), abs=1e-12)


def test_bootstrap_in_blocks_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    labels, scores = np.array([0, 1, 0, 1, 1, 0]), np.array([0.1, 0.3, 0.2, 0.2, 0.9, 0.4])
    students = np.array([0, 0, 1, 2, 3, 3])
    whole = bootstrap_auc(labels, scores, students, resamples=50)
    monkeypatch.setattr("grambench.metrics.binary._AT_ONCE", 13)
    assert bootstrap_auc(labels, scores, students, resamples=50) == whole


def test_one_class_has_no_auc_and_no_interval() -> None:
    assert auc(np.ones(4, int), np.arange(4.0)) is None
    assert bootstrap_auc(np.zeros(4, int), np.arange(4.0), np.arange(4)) is None
    assert bootstrap_auc(np.arange(4) % 2, np.arange(4.0), np.full(4, 9)) is None  # one student
    assert auc(np.zeros(0, int), np.zeros(0)) is None


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_scores_that_are_no_numbers_are_refused(bad: float) -> None:
    with pytest.raises(NotFiniteError):
        auc(np.array([0, 1]), np.array([0.5, bad]))


def test_shapes_must_fit() -> None:
    with pytest.raises(ValueError, match="labels"):
        auc(np.array([0, 1]), np.array([0.5]))
