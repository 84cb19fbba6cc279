"""The worker's end of the control pipe, on a real pipe."""

import os
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from grambench.events.control import Grant, Hold, Stop, encode
from grambench.worker.turns import PipeTurn


class Runner:
    """The other end."""

    def __init__(self) -> None:
        self.reading, self.writing = os.pipe()
        self.open = True

    def send(self, data: bytes) -> None:
        os.write(self.writing, data)

    def close(self) -> None:
        if self.open:
            os.close(self.writing)
        self.open = False


@pytest.fixture
def runner() -> Iterator[Runner]:
    made = Runner()
    yield made
    made.close()


def soon(look: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 5
    while not look() and time.monotonic() < deadline:
        time.sleep(0.002)
    return look()


def waits(turn: PipeTurn) -> threading.Thread:
    thread = threading.Thread(target=turn.wait, daemon=True)
    thread.start()
    return thread


def test_nothing_is_trained_before_the_first_grant(runner: Runner) -> None:
    turn = PipeTurn(runner.reading)
    waiting = waits(turn)
    waiting.join(0.05)
    assert waiting.is_alive()
    assert turn.must_wait()
    runner.send(encode(Grant(1)))
    waiting.join(5)
    assert not waiting.is_alive()
    assert not turn.must_wait()
    assert not turn.must_stop()


def test_a_hold_withholds_the_turn_until_the_next_grant(runner: Runner) -> None:
    turn = PipeTurn(runner.reading)
    runner.send(encode(Grant(1)))
    assert soon(lambda: not turn.must_wait())
    runner.send(encode(Hold()))
    assert soon(turn.must_wait)
    waiting = waits(turn)
    runner.send(encode(Grant(2)))
    waiting.join(5)
    assert not waiting.is_alive()


def test_a_stop_frees_a_worker_that_waits(runner: Runner) -> None:
    turn = PipeTurn(runner.reading)
    waiting = waits(turn)
    runner.send(encode(Stop()))
    waiting.join(5)
    assert not waiting.is_alive()
    assert turn.must_stop()
    assert not turn.must_wait()


def test_a_stop_is_final(runner: Runner) -> None:
    turn = PipeTurn(runner.reading)
    runner.send(encode(Stop()) + encode(Hold()))
    assert soon(turn.must_stop)
    assert soon(lambda: not turn.must_wait())


def test_the_end_of_the_pipe_is_a_stop(runner: Runner) -> None:
    turn = PipeTurn(runner.reading)
    waiting = waits(turn)
    runner.close()
    waiting.join(5)
    assert not waiting.is_alive()
    assert turn.must_stop()


def test_the_end_of_the_pipe_stops_a_worker_that_is_held(runner: Runner) -> None:
    turn = PipeTurn(runner.reading)
    runner.send(encode(Grant(1)) + encode(Hold()))
    runner.close()
    assert soon(turn.must_stop)
    waiting = waits(turn)
    waiting.join(5)
    assert not waiting.is_alive()


def test_split_and_joined_lines_are_read(runner: Runner) -> None:
    turn = PipeTurn(runner.reading)
    line = encode(Grant(1))
    for start in range(0, len(line) - 1, 5):
        runner.send(line[start : min(start + 5, len(line) - 1)])
        time.sleep(0.005)
    assert turn.must_wait()  # the newline has not come
    runner.send(b"\n")
    assert soon(lambda: not turn.must_wait())
    runner.send(encode(Hold()) + encode(Grant(2)) + encode(Hold()))
    assert soon(turn.must_wait)


def test_what_it_does_not_know_is_skipped(runner: Runner) -> None:
    turn = PipeTurn(runner.reading)
    runner.send(b'\n{"type": "dance"}\n\xff\n' + encode(Grant(1)))
    assert soon(lambda: not turn.must_wait())
    assert not turn.must_stop()
