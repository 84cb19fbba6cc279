"""Ranking metrics against MIND's fixtures, scikit-learn and a literal reading of the formulas."""

import math
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import ndcg_score, roc_auc_score

from grambench.metrics.ranking import RankingScores, ranking_scores

# facts.md, section 5: labels, scores, AUC, MRR, nDCG@5, nDCG@10
FIXTURES: list[tuple[list[int], list[float], tuple[float, ...]]] = [
    ([0, 1, 0, 0], [0.9, 0.8, 0.1, 0.2], (0.666667, 0.5, 0.630930, 0.630930)),
    ([1, 0, 1, 0, 0], [0.9, 0.8, 0.3, 0.2, 0.1], (0.833333, 0.666667, 0.919721, 0.919721)),
    ([0, 0, 0, 0, 0, 0, 1, 0], [8, 7, 6, 5, 4, 3, 2, 1], (0.142857, 0.142857, 0.0, 0.333333)),
    ([1, 1, 0, 1, 0, 0, 0], [0.1, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2], (0.583333, 0.492063, 0.703918, 0.860344)),
]

Impression = list[tuple[int, float]]

candidates = st.tuples(st.integers(0, 1), st.integers(-3, 3).map(lambda n: n / 2))  # many ties
impressions = st.lists(st.lists(candidates, max_size=14), max_size=8)


def score(rows: list[Impression]) -> RankingScores:
    flat = [candidate for row in rows for candidate in row]
    offsets = np.concatenate(([0], np.cumsum([len(row) for row in rows]))).astype(np.int64)
    labels = np.array([label for label, _ in flat], np.int8)
    return ranking_scores(labels, np.array([value for _, value in flat], np.float32), offsets)


def table(scores: RankingScores) -> np.ndarray:
    return np.stack([scores.auc, scores.mrr, scores.ndcg5, scores.ndcg10], axis=1)


def two_classes(row: Impression) -> bool:
    return {label for label, _ in row} == {0, 1}


def literal(row: Impression) -> tuple[float, float, float, float]:
    """The formulas with Python's loops: among ties the unclicked rank first; an AUC tie is a half."""
    clicked = [value for label, value in row if label]
    unclicked = [value for label, value in row if not label]
    wins = sum((c > u) + 0.5 * (c == u) for c in clicked for u in unclicked)
    ranked = sorted(row, key=lambda candidate: (-candidate[1], candidate[0]))
    mrr = sum(label / rank for rank, (label, _) in enumerate(ranked, 1)) / len(clicked)

    def dcg(labels: list[int], cutoff: int) -> float:
        return sum((2**y - 1) / math.log2(rank + 1) for rank, y in enumerate(labels[:cutoff], 1))

    labels = [label for label, _ in ranked]
    ideal = sorted(labels, reverse=True)
    ndcg = [dcg(labels, cutoff) / dcg(ideal, cutoff) for cutoff in (5, 10)]
    return wins / (len(clicked) * len(unclicked)), mrr, ndcg[0], ndcg[1]


@pytest.mark.parametrize(("labels", "scores", "wanted"), FIXTURES)
def test_published_fixture(
    labels: list[int], scores: list[float], wanted: tuple[float, float, float, float]
) -> None:
    found = score([list(zip(labels, scores, strict=True))])
    assert table(found)[0] == pytest.approx(wanted, abs=1e-6)


def test_fixtures_together_are_scored_one_by_one() -> None:
    found = score([list(zip(labels, scores, strict=True)) for labels, scores, _ in FIXTURES])
    assert table(found) == pytest.approx(np.array([wanted for *_, wanted in FIXTURES]), abs=1e-6)
    assert found.means()["mrr"] == pytest.approx(np.mean([wanted[1] for *_, wanted in FIXTURES]), abs=1e-6)


@given(impressions)
def test_agrees_with_the_formulas_read_literally(rows: list[Impression]) -> None:
    found = score(rows)
    wanted = [literal(row) for row in rows if two_classes(row)]
    assert found.skipped == len(rows) - len(wanted)
    assert table(found) == pytest.approx(np.array(wanted).reshape(-1, 4), abs=1e-12)


@given(impressions)
def test_auc_is_that_of_scikit_learn(rows: list[Impression]) -> None:
    wanted = [roc_auc_score(*zip(*row, strict=True)) for row in rows if two_classes(row)]
    assert score(rows).auc.tolist() == pytest.approx(wanted, abs=1e-12)


@given(st.integers(0, 2**32 - 1))
def test_ndcg_is_that_of_scikit_learn_without_ties(seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels = np.concatenate(([0, 1], rng.integers(0, 2, rng.integers(0, 13))))
    values = rng.permutation(len(labels)).astype(np.float32) - 4
    found = score([list(zip(labels.tolist(), values.tolist(), strict=True))])
    assert found.ndcg5[0] == pytest.approx(ndcg_score([labels], [values], k=5), abs=1e-12)
    assert found.ndcg10[0] == pytest.approx(ndcg_score([labels], [values], k=10), abs=1e-12)


@given(impressions, st.randoms(use_true_random=False))
def test_order_of_candidates_never_matters(rows: list[Impression], random: Random) -> None:
    shuffled = [random.sample(row, len(row)) for row in rows]
    assert np.array_equal(table(score(rows)), table(score(shuffled)))


@given(impressions.filter(lambda rows: any(map(two_classes, rows))))
def test_constant_scorer_gains_nothing(rows: list[Impression]) -> None:
    constant = score([[(label, 0.25) for label, _ in row] for row in rows])
    worst = score([[(label, -float(label)) for label, _ in row] for row in rows])
    assert np.all(constant.auc == 0.5)
    assert np.array_equal(table(constant)[:, 1:], table(worst)[:, 1:])


def test_negative_zero_ties_with_zero() -> None:
    assert score([[(1, 0.0), (0, -0.0)]]).auc.tolist() == [0.5]
    assert score([[(1, -0.0), (0, 0.0)]]).mrr.tolist() == [0.5]


def test_impressions_of_one_class_are_skipped_and_counted() -> None:
    found = score([[(1, 0.1), (1, 0.2)], [(1, 0.9), (0, 0.1)], [(0, 0.1)], []])
    assert found.skipped == 3
    assert found.auc.tolist() == [1.0]


def test_nothing_to_score_has_no_mean() -> None:
    for rows, skipped in (([], 0), ([[(1, 0.5)], [(0, 0.5)]], 2)):
        found = score(rows)
        assert found.skipped == skipped
        assert found.means() == {"auc": None, "mrr": None, "ndcg@5": None, "ndcg@10": None}


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_score_that_is_not_finite_is_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="not finite"):
        score([[(1, 0.5), (0, bad)]])


def test_score_beyond_float32_is_refused() -> None:
    with pytest.raises(ValueError, match="not finite"):
        ranking_scores(np.array([1, 0]), np.array([1e39, 1e300]), np.array([0, 2]))


def test_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="offsets to 3"):
        ranking_scores(np.array([1, 0]), np.array([0.1, 0.2]), np.array([0, 3]))


@settings(max_examples=30)
@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=2, max_size=30))
def test_any_finite_float32_ranks_like_its_value(values: list[float]) -> None:
    labels = [1] + [0] * (len(values) - 1)
    row = list(zip(labels, values, strict=True))
    assert tuple(table(score([row]))[0]) == pytest.approx(literal(row), abs=1e-12)
