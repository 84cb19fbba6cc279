"""Ctrl+C between a run's folder and the one who minds it."""

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from grambench.cli.follow import interrupts_held


def test_an_interrupt_is_held_and_comes_afterwards() -> None:
    passed = []

    def interrupted_inside() -> None:
        with interrupts_held():
            signal.raise_signal(signal.SIGINT)
            passed.append("inside")

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            interrupted_inside()
    finally:
        signal.signal(signal.SIGINT, before)
    assert passed == ["inside"]
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, set())


@pytest.mark.slow
def test_no_interrupt_of_the_start_shows_a_traceback() -> None:
    """From the launcher's first instruction on, when Python itself would still print one."""
    rng = random.Random(0)
    for attempt in range(30):
        process = subprocess.Popen(
            [Path(sys.executable).with_name("grambench"), "presets", "--json"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        time.sleep(rng.uniform(0, 0.06 if attempt % 2 else 0.4))
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGINT)
        said, _ = process.communicate(timeout=300)
        assert not said or said.startswith("[")
        assert process.returncode in (0, 130, -signal.SIGINT)
