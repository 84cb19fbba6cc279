"""The trial's clock, under a time that the test sets."""

import pytest
from tiny_systems import CPU

from grambench.training import timing
from grambench.training.timing import TrainClock


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds; its only element is the time."""
    time = [100.0]
    monkeypatch.setattr(timing.time, "monotonic_ns", lambda: int(time[0] * 1e9))
    return time


def test_only_running_time_counts(now: list[float]) -> None:
    clock = TrainClock(CPU)
    now[0] += 5
    clock.start()
    now[0] += 2
    assert clock.read() == (2.0, 0.0)
    clock.stop()
    now[0] += 50
    assert clock.read() == (2.0, 0.0)
    clock.start()
    now[0] += 1
    clock.stop()
    clock.stop()
    assert clock.read() == (3.0, 0.0)


def test_encoder_s_seconds_are_those_inside_its_marks(now: list[float]) -> None:
    clock = TrainClock(CPU)
    clock.start()
    for _ in range(3):
        with clock.encoding():
            now[0] += 0.5
        now[0] += 1
    assert clock.read() == (4.5, 1.5)
