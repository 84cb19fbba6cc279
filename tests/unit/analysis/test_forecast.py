"""The arithmetic of a forecast: counts times measured seconds and bytes."""

import pytest

from grambench.analysis.forecast import (
    Bytes,
    Drawn,
    Seconds,
    StepWork,
    WindowWork,
    along,
    between,
    forecast,
)

DRAWN = Drawn(batches=10.5, occurrences=600, items=200)
MEMORY = Bytes(base=1000, trained=100, graph=50, vectors=7)


def test_a_step_costs_its_drawing_and_its_gradients() -> None:
    found = forecast(
        DRAWN, StepWork(items=200, tokens=3000), [], Seconds(draw=0.5, step=2.0), MEMORY, note="x"
    )
    assert found.epoch_s == pytest.approx(10.5 * 2.5)
    assert (found.items_per_epoch, found.tokens_per_epoch) == (2100, 31_500)
    assert (found.reuse_of_batch, found.reuse_ratio) == (3.0, 3.0)
    assert found.peak_bytes == 1000 + 3 * 100 + 50 + 7
    assert found.note == "x"


def test_end_to_end_reuses_nothing() -> None:
    found = forecast(DRAWN, StepWork(600, 9000), [], Seconds(0.5, 2.0), MEMORY)
    assert (found.reuse_of_batch, found.reuse_ratio) == (3.0, 1.0)


def test_a_window_is_encoded_when_it_opens_and_in_every_pass_when_it_closes() -> None:
    windows = [WindowWork(2.0, 500, 8000), WindowWork(1.0, 330, 5000)]
    seconds = Seconds(draw=0.5, step=2.0, forward=0.001, both=0.003, update=0.01)
    found = forecast(DRAWN, StepWork(0, 0), windows, seconds, MEMORY, encoder_batch=64, encoder_passes=2)
    encoder_s = 2 * (8000 * 0.007 + 2 * 8 * 0.01) + 5000 * 0.007 + 2 * 6 * 0.01  # 8 and 6 updates a pass
    assert found.epoch_s == pytest.approx(10.5 * 2.5 + encoder_s)
    assert found.items_per_epoch == 3 * (2 * 500 + 330)
    assert found.tokens_per_epoch == 3 * (2 * 8000 + 5000)
    assert found.reuse_ratio == pytest.approx(10.5 * 600 / (2 * 500 + 330))


def test_a_window_longer_than_an_epoch_counts_in_part() -> None:
    found = forecast(DRAWN, StepWork(0, 0), [WindowWork(0.5, 800, 9000)], Seconds(0, 0, 0.1), MEMORY)
    assert found.epoch_s == pytest.approx(0.5 * 900)
    assert found.reuse_ratio == pytest.approx(10.5 * 600 / 400)


def test_vectors_that_are_kept_have_no_r() -> None:
    assert forecast(DRAWN, StepWork(0, 0), [], Seconds(0.5, 2.0), MEMORY).reuse_ratio is None


@pytest.mark.parametrize(
    ("smaller", "larger", "size", "seconds"),
    [
        ((100, 2.0), (200, 3.0), 400, 5.0),  # 1 s for the call, 1 s for each 100
        ((100, 2.0), (200, 3.0), 150, 2.5),
        ((0, 0.0), (200, 3.0), 400, 6.0),  # one part alone
        ((100, 1.0), (200, 4.0), 400, 8.0),  # a call costs no less than nothing
        ((100, 2.0), (200, 1.5), 400, 1.5),  # the smaller part was disturbed
        ((200, 3.0), (200, 3.0), 400, 6.0),
    ],
)
def test_what_a_call_costs_does_not_grow(
    smaller: tuple[float, float], larger: tuple[float, float], size: float, seconds: float
) -> None:
    assert along(smaller, larger, size) == pytest.approx(seconds)


def test_windows_that_end_by_drift_have_a_range() -> None:
    step, seconds = StepWork(0, 0), Seconds(0.5, 2.0, forward=0.001)
    fewest, most = (
        forecast(DRAWN, step, [WindowWork(times, 500, 8000)], seconds, MEMORY) for times in (1.0, 5.0)
    )
    found = between(fewest, most)
    assert (found.epoch_s, found.reuse_ratio, found.items_per_epoch, found.tokens_per_epoch) == (None,) * 4
    assert found.peak_bytes == fewest.peak_bytes
    assert found.reuse_of_batch == 3.0
    assert found.note == "34 to 66 s an epoch: the drift decides how long windows are"
