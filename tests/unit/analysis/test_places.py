"""Who won: by hand, and how often equal labels are told apart."""

import random

import pytest

from grambench.analysis.ranking import places, ranking_sentence


def test_places_by_hand() -> None:
    scores = {
        "a": {0: 0.70, 1: 0.72, 2: 0.74},
        "b": {0: 0.71, 1: 0.72, 2: 0.72},
        "c": {0: 0.50, 1: 0.521, 2: 0.539},
        "d": {7: 0.60},
    }
    found = {place.label: place for place in places(scores)}
    assert list(found) == ["a", "b", "c", "d"]  # a mean of other seeds comes last
    assert (found["a"].mean, found["a"].behind) == (pytest.approx(0.72), None)
    assert found["b"].behind == pytest.approx(0.01 / 3)
    assert not found["b"].told_apart
    assert found["c"].behind == pytest.approx(0.2)
    # 6 pairs: t with 2 degrees of freedom at 1 - .05 / 12 is 10.886 (scipy), the standard error .001 / √3
    assert found["c"].low == pytest.approx(0.2 - 10.886 * 0.001 / 3**0.5, abs=1e-5)
    assert found["c"].told_apart
    assert (found["d"].behind, found["d"].low) == (None, None)  # no common seed
    words = ranking_sentence(places(scores), "AUC")
    assert words == (
        "Best by test AUC: a, 0.7200 (mean of 3 seeds). Not told apart from it: b, d."
        " Behind it: c by 0.2000 (0.1937 to 0.2063) (simultaneous 95 % intervals)."
    )


def test_a_label_that_failed_on_hard_seeds_does_not_win_by_the_easy_one() -> None:
    """b is behind a on the only seed that both have, and above a's mean."""
    scores = {"a": {0: 0.9, 1: 0.5, 2: 0.4}, "b": {0: 0.8}, "c": {0: 0.5, 1: 0.4, 2: 0.3}}
    best, *others = places(scores)
    assert (best.label, best.seeds) == ("a", 3)
    assert [(place.label, place.seeds) for place in others] == [("c", 3), ("b", 1)]
    assert others[1].behind == pytest.approx(0.1)


def test_a_lower_score_may_be_better_and_two_labels_are_not_ranked() -> None:
    scores = {name: {0: value, 1: value + 0.1, 2: value} for name, value in {"a": 3, "b": 1, "c": 2}.items()}
    assert [place.label for place in places(scores, better=-1)] == ["b", "c", "a"]
    assert places({"a": {0: 1.0}, "b": {0: 2.0}}) == []
    assert ranking_sentence([], "AUC") == ""
    once = ranking_sentence(
        places({name: {0: value} for name, value in {"a": 3, "b": 1, "c": 2}.items()}), "AUC"
    )
    assert once == "Best by test AUC: a, 3.0000 (1 seed). Not told apart from it: c, b."


def test_equal_labels_are_seldom_told_apart() -> None:
    draw, wrong, runs = random.Random(0), 0, 400
    for _ in range(runs):
        scores = {name: {seed: draw.gauss(0.6, 0.01) for seed in range(6)} for name in "abcdefgh"}
        wrong += any(place.told_apart for place in places(scores))
    assert wrong <= 0.06 * runs
