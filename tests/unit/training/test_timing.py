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


class Stopped:
    """The process was stopped between two moments."""

    def __init__(self, begin_s: float, end_s: float) -> None:
        self.begin_s, self.end_s, self.settled = begin_s, end_s, 0

    def settle(self) -> None:
        self.settled += 1

    def within_s(self, since_s: float, until_s: float) -> float:
        return max(0.0, min(self.end_s, until_s) - max(self.begin_s, since_s))


def test_a_stop_is_neither_training_nor_encoding(now: list[float]) -> None:
    clock = TrainClock(CPU)
    clock.stops = stopped = Stopped(101.0, 121.0)
    clock.start()
    with clock.encoding():
        now[0] += 23.0  # of them 20 stopped
    assert clock.read() == (3.0, 3.0)
    assert clock.stopped_s() == 20.0
    assert clock.counted_s(101.0, 121.0) == 20.0
    now[0] += 1
    clock.stop()
    assert stopped.settled == 3
    assert clock.read() == (4.0, 3.0)
    assert clock.stopped_s() == 20.0


def test_a_stop_outside_of_training_takes_nothing_away(now: list[float]) -> None:
    clock = TrainClock(CPU)
    clock.stops = Stopped(102.0, 122.0)
    clock.start()
    now[0] += 2
    clock.stop()
    assert clock.counted_s(102.0, 122.0) == 0.0
    now[0] += 21
    clock.start()
    now[0] += 3
    clock.stop()
    assert (clock.read(), clock.stopped_s()) == ((5.0, 0.0), 0.0)
