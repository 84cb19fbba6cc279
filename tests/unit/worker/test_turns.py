"""The worker's end of the control pipe, on a real pipe."""

import os
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from grambench.events.control import Grant, Hold, Lines, Message, Stop, TurnOver, encode
from grambench.worker.turns import Heartbeat, PipeTurn


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
    assert turn.ending() is None


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


def next_turn_over(theirs: int, lines: Lines) -> Message:
    """What the worker says next beside signs of life."""
    said: list[Message] = []
    while not (over := [each for each in said if isinstance(each, TurnOver)]):
        said += lines.feed(os.read(theirs, 4096))
    (only,) = over
    return only


def test_a_turn_that_is_withdrawn_before_it_began_is_given_back(runner: Runner) -> None:
    """A pause while a worker loads: without its word the runner would grant it nothing afterwards."""
    theirs, ours = os.pipe()
    turn = PipeTurn(runner.reading, Heartbeat(ours, period_s=3600))
    runner.send(encode(Grant(7)) + encode(Hold()))
    lines = Lines()
    assert next_turn_over(theirs, lines) == TurnOver(7, 0.0, begun=False)
    runner.send(encode(Grant(8)))
    assert soon(lambda: not turn.must_wait())
    turn.begin()
    runner.send(encode(Hold()))
    assert soon(turn.must_wait)
    turn.give_back(1.5)
    assert next_turn_over(theirs, lines) == TurnOver(8, 1.5)


def test_a_stop_frees_a_worker_that_waits(runner: Runner) -> None:
    turn = PipeTurn(runner.reading)
    waiting = waits(turn)
    runner.send(encode(Stop("skipped")))
    waiting.join(5)
    assert not waiting.is_alive()
    assert turn.ending() == "skipped"
    assert not turn.must_wait()


def test_a_stop_is_final(runner: Runner) -> None:
    turn = PipeTurn(runner.reading)
    runner.send(encode(Stop()) + encode(Hold()))
    assert soon(lambda: turn.ending() == "stopped")
    assert soon(lambda: not turn.must_wait())


def test_the_end_of_the_pipe_interrupts(runner: Runner) -> None:
    turn = PipeTurn(runner.reading)
    waiting = waits(turn)
    runner.close()
    waiting.join(5)
    assert not waiting.is_alive()
    assert turn.ending() == "interrupted"


def test_the_end_of_the_pipe_stops_a_worker_that_is_held(runner: Runner) -> None:
    turn = PipeTurn(runner.reading)
    runner.send(encode(Grant(1)) + encode(Hold()))
    runner.close()
    assert soon(lambda: turn.ending() == "interrupted")
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
    assert turn.ending() is None


def test_a_turn_of_some_seconds_is_given_back_and_granted_again(runner: Runner) -> None:
    heard, said = os.pipe()
    turn = PipeTurn(runner.reading, Heartbeat(said, period_s=60))
    runner.send(encode(Grant(1, 0.05)))
    turn.wait()
    assert not turn.must_wait()  # its time begins with the training
    assert turn.begin() >= 0
    assert soon(turn.must_wait)
    ended = turn.give_back(0.06)
    assert (ended.turn, ended.train_s) == (1, 0.06)
    waiting = waits(turn)
    waiting.join(0.05)
    assert waiting.is_alive()
    runner.send(encode(Grant(2)))
    waiting.join(5)
    assert turn.begin() >= 0
    assert not turn.must_wait()
    turn.give_back(1.0)
    lines = Lines()
    messages = [message for message in lines.feed(os.read(heard, 4096)) if isinstance(message, TurnOver)]
    assert messages == [TurnOver(1, 0.06), TurnOver(2, 1.06)]


def test_what_was_no_training_makes_a_turn_longer(runner: Runner) -> None:
    turn = PipeTurn(runner.reading)
    turn.extend(60.0)  # an endless turn stays endless
    runner.send(encode(Grant(1, 0.0)))
    turn.wait()
    turn.begin()
    assert turn.must_wait()
    turn.extend(60.0)
    assert not turn.must_wait()


def test_a_turn_of_no_seconds_makes_ready(runner: Runner) -> None:
    turn = PipeTurn(runner.reading)
    runner.send(encode(Grant(1, 0.0)))
    turn.wait()
    turn.begin()
    assert turn.must_wait()


def test_the_first_word_on_the_end_counts(runner: Runner) -> None:
    turn = PipeTurn(runner.reading)
    turn.end("skipped")
    turn.end("interrupted")
    assert turn.ending() == "skipped"


def test_a_thread_that_moves_shows_signs_of_life_and_one_that_is_stuck_none() -> None:
    heard, said = os.pipe()
    os.set_blocking(heard, False)
    stuck, release = threading.Event(), threading.Event()

    def work() -> None:
        Heartbeat(said, period_s=0.01)
        deadline = time.monotonic() + 0.3
        while time.monotonic() < deadline:
            sum(range(50))
        stuck.set()
        release.wait()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    assert stuck.wait(5)
    time.sleep(0.05)
    assert os.read(heard, 1 << 16).count(b"alive") > 1
    time.sleep(0.2)
    with pytest.raises(BlockingIOError):
        os.read(heard, 1 << 16)
    release.set()


def test_nobody_who_listens_is_no_fault(runner: Runner) -> None:
    heard, said = os.pipe()
    os.close(heard)
    Heartbeat(said, period_s=60).send(TurnOver(1, 1.0))
    Heartbeat(None).send(TurnOver(1, 1.0))
