"""Ctrl+C between a run's folder and the one who minds it."""

import signal

import pytest

from grambench.cli.follow import interrupts_held


def test_an_interrupt_is_held_and_comes_afterwards() -> None:
    passed = []

    def interrupted_inside() -> None:
        with interrupts_held():
            signal.raise_signal(signal.SIGINT)
            passed.append("inside")

    with pytest.raises(KeyboardInterrupt):
        interrupted_inside()
    assert passed == ["inside"]
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, set())
