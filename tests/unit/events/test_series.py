import pytest
from hypothesis import given
from hypothesis import strategies as st

from grambench.events.series import Series


def filled(count: int, capacity: int) -> Series:
    series = Series(capacity)
    for n in range(count):
        series.add(n, 10 * n)
    return series


def test_a_short_series_keeps_every_point() -> None:
    series = filled(7, 8)
    assert (series.xs, series.ys) == (list(range(7)), list(range(0, 70, 10)))
    assert len(series) == 7
    assert series.last == 60


def test_an_empty_series_has_no_last_value() -> None:
    assert Series().last is None
    assert len(Series()) == 0


@given(count=st.integers(1, 2000), capacity=st.integers(1, 70))
def test_memory_is_bounded_the_newest_point_is_kept_and_order_holds(count: int, capacity: int) -> None:
    series = filled(count, capacity)
    assert 1 <= len(series) <= max(2, capacity)
    assert (series.xs[-1], series.last) == (count - 1, 10 * (count - 1))
    assert series.xs == sorted(set(series.xs))
    assert [10 * x for x in series.xs] == series.ys


@given(count=st.integers(8, 5000), capacity=st.integers(4, 70))
def test_points_lie_evenly(count: int, capacity: int) -> None:
    series = filled(count, capacity)
    steps = {after - before for before, after in zip(series.xs, series.xs[1:-1], strict=False)}
    assert len(steps) <= 1
    assert len(series) >= min(count, capacity // 2 - 1)


@pytest.mark.parametrize("count", [3, 8, 100, 1000])
def test_a_falling_x_cuts_off_what_a_resumed_trial_repeats(count: int) -> None:
    series = filled(count, 16)
    resumed = (count - 1) // 2 + 0.5
    for n in range(3):
        series.add(resumed + n, -1.0)
    assert series.xs == sorted(series.xs)
    assert all(y == 10 * x for x, y in zip(series.xs, series.ys, strict=True) if x < resumed)
    assert all(y == -1.0 for x, y in zip(series.xs, series.ys, strict=True) if x >= resumed)
    assert (series.xs[-1], series.last) == (resumed + 2, -1.0)
    assert len([x for x in series.xs if x < resumed]) > 0
