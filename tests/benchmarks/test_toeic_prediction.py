"""The prediction of an epoch's cost, on numbers worked out by hand."""

import pytest

from benchmarks.toeic_prediction import H100, TOEIC, Costs, Prediction, Size, predict

COSTS = Costs(forward_s=0.25, training_s=1.0, e2e_s=0.5, cf_step_s=2.0)


def test_an_epoch_is_opening_steps_and_closing_and_e2e_encodes_every_answer() -> None:
    found = predict(COSTS, Size(items=8, answers=600, sequence=10, batch=3))
    assert found == Prediction(opening_s=2.0, cf_s=40.0, closing_s=8.0, e2e_s=340.0)
    assert found.gram_s == 50.0
    assert found.ratio == pytest.approx(6.8)
    assert found.ceiling == 8.5


@pytest.mark.parametrize(
    ("answers", "steps"), [(30, 1), (31, 2), (60, 2), (61, 3)], ids=["full", "one more", "two", "two and one"]
)
def test_short_sequences_and_batches_are_steps_too(answers: int, steps: int) -> None:
    assert Size(items=1, answers=answers, sequence=10, batch=3).steps == steps


def test_toeic_has_the_papers_counts() -> None:
    assert TOEIC.steps == 29_458
    assert TOEIC.appearances == pytest.approx(10_096.9, abs=0.1)


def test_the_first_trial_is_reproduced() -> None:
    """By operations: an item's training is 208 times an answer's share of a CF step, its forward pass a third
    of that. The first trial measured 76 at 165 appearances of each item, and a ceiling of 201.
    """
    by_operations = Costs(forward_s=208 / 3, training_s=208.0, e2e_s=208.0, cf_step_s=3200.0)
    found = predict(by_operations, Size(items=2_000, answers=330_000))
    assert found.ratio == pytest.approx(76, rel=0.05)
    assert found.ceiling == pytest.approx(201, rel=0.05)


def test_the_ratio_tends_to_the_ceiling() -> None:
    ratios = [predict(COSTS, Size(8, 30 * 10**power, 10, 3)).ratio for power in range(6)]
    assert ratios == sorted(ratios)
    assert ratios[-1] == pytest.approx(predict(COSTS, Size(8, 3_000_000, 10, 3)).ceiling, rel=1e-3)


def test_a_cf_step_of_5_ms_caps_an_h100() -> None:
    """3,200 answers of 147.47 tokens at 692,640 a second are 0.6813 s; with the CF step 137 times 5 ms."""
    assert predict(H100, TOEIC).ceiling == pytest.approx((0.6813 + 0.005) / 0.005, rel=1e-3)
