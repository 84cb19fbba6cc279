"""When a late tick was a stop of the process, and when it was something else."""

import ctypes
import threading
from dataclasses import replace

import pytest

from grambench.worker.stops import SHORTEST_S, TICK_S, Reading, Stop, StopDetector, stop_between, stop_events

LOCK_S = 0.005
BEFORE = Reading(t_s=100.0, cpu_s=50.0, waited_s=3.0, switches=1000, faults=2)
LATE = replace(BEFORE, t_s=102.1)
"""2.1 s later, without a tick in between."""


def judged(now: Reading, before: Reading = BEFORE, cpus: int = 2) -> Stop | None:
    return stop_between(before, now, cpus, LOCK_S)


def test_a_gap_in_which_nothing_happened_was_a_stop() -> None:
    stop = judged(replace(LATE, cpu_s=50.1, switches=1004))
    assert stop is not None
    assert stop.end_s == 102.1
    assert stop.seconds == pytest.approx(2.1 - TICK_S / 2 - 4 * LOCK_S)


@pytest.mark.parametrize(
    "now",
    [
        pytest.param(replace(LATE, waited_s=4.8), id="it waited for a CPU"),
        pytest.param(replace(LATE, switches=1000 + 390), id="another thread held the interpreter's lock"),
        pytest.param(replace(LATE, cpu_s=51.9), id="the process computed"),
        pytest.param(replace(LATE, faults=6), id="it waited for pages from disk"),
        pytest.param(replace(LATE, t_s=100.0 + TICK_S + SHORTEST_S - 0.01), id="it is too short"),
        pytest.param(
            replace(LATE, waited_s=None, cpu_s=51.0), id="the system counts no waiting, and it computed"
        ),
    ],
)
def test_a_late_tick_with_another_cause_was_none(now: Reading) -> None:
    before = BEFORE if now.waited_s is not None else replace(BEFORE, waited_s=None)
    assert judged(now, before, cpus=1) is None


def test_what_it_waited_for_a_cpu_after_a_stop_is_training() -> None:
    stop = judged(replace(LATE, t_s=103.1, waited_s=4.0))
    assert stop is not None
    assert (stop.end_s, stop.seconds) == (102.1, pytest.approx(2.1 - TICK_S / 2))


def test_a_long_wait_for_the_lock_hides_no_stop_of_its_own_inaccuracy() -> None:
    """100 s inside one call: the wake-ups account for 99.3 s of it."""
    now = replace(LATE, t_s=200.0, cpu_s=50.0, switches=1000 + 19_860)
    assert judged(now) is None


def test_stops_count_where_they_overlap() -> None:
    detector = StopDetector(lambda *_: None)
    detector._stops += [Stop(10.0, 12.0), Stop(20.0, 25.0)]
    assert detector.within_s(0.0, 30.0) == 7.0
    assert detector.within_s(11.0, 21.0) == 2.0
    assert detector.within_s(12.0, 20.0) == detector.within_s(25.0, 99.0) == 0.0


def test_a_call_that_holds_the_lock_without_computing_is_no_stop() -> None:
    told: list[Stop] = []
    detector = StopDetector(lambda stop, _: told.append(stop))
    detector.start()
    ctypes.PyDLL(None).usleep(int((TICK_S + SHORTEST_S + 0.1) * 1e6))
    detector.settle()
    assert told == []
    assert detector.within_s(0.0, 1e12) == 0.0


def test_who_reads_the_clock_right_after_a_stop_waits_for_the_tick() -> None:
    detector = StopDetector(lambda *_: None)
    late = Reading(detector._ticked_s + 5.0, 0.0, 0.0)
    detector._ticked_s -= 5.0
    ticking = threading.Timer(0.05, lambda: detector._judge(replace(late, t_s=late.t_s - 3.0), late))
    ticking.start()
    detector.settle()
    assert detector.within_s(0.0, late.t_s) == pytest.approx(3.0 - TICK_S / 2)
    ticking.join()


def test_a_stop_is_told_with_how_much_of_it_was_training() -> None:
    warned, stopped = stop_events("e2e.s0", Stop(1.0, 21.0), 20.0)
    assert (stopped.seconds, stopped.training_s) == (20.0, 20.0)
    assert "e2e.s0 was stopped for 20.0 s" in warned.message
    assert "20.0 s of it are excluded from its training time" in warned.message
    assert "its training time is not affected" in stop_events("setup", Stop(1.0, 21.0), 0.0)[0].message
