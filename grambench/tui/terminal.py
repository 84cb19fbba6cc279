"""A terminal that goes away or takes no more output must end the dashboard, never spin or hang it."""

import asyncio
import contextlib
import contextvars
import select
import signal
import sys
import termios
from collections.abc import Callable
from queue import SimpleQueue
from threading import Thread
from time import sleep

PATIENCE_S = 1.0
"""A terminal that takes nothing for so long once the dashboard is to end is given up."""
_PAUSE_S = 0.02


def on_hangup(leave: Callable[[], None]) -> Callable[[], None]:
    """Call `leave` in the event loop when the terminal hangs up or the process is asked to end.

    From then on, output that the terminal does not take is discarded: while it blocks a write, neither the
    loop nor its own signal handlers run.

    Returns:
        A function that restores the previous signal handlers.
    """
    loop, context = asyncio.get_running_loop(), contextvars.copy_context()
    leaving: SimpleQueue[bool] = SimpleQueue()  # may be filled in a signal handler

    def wait() -> None:
        if leaving.get():
            loop.call_soon_threadsafe(leave, context=context)
            _discard_output()

    before = {}
    for number in (signal.SIGHUP, signal.SIGTERM):
        with contextlib.suppress(ValueError):  # not in the main thread
            before[number] = signal.signal(number, lambda *_: leaving.put(True))
    Thread(target=wait, daemon=True).start()

    def restore() -> None:
        leaving.put(False)
        for number, handler in before.items():
            signal.signal(number, handler)

    return restore


def _discard_output() -> None:
    """Keep the terminal writable until the process ends."""
    patience_s = PATIENCE_S
    with contextlib.suppress(termios.error, OSError, ValueError):
        while terminal := sys.__stderr__:
            if select.select([], [terminal], [], patience_s)[1]:
                sleep(_PAUSE_S)
            else:
                termios.tcflush(terminal, termios.TCOFLUSH)
                termios.tcflow(terminal, termios.TCOOFF)
                termios.tcflow(terminal, termios.TCOON)  # wakes the blocked write: a flush does not
                patience_s = _PAUSE_S


def terminal_is_gone() -> bool:
    """True when the terminal no longer answers.

    A process that ignores SIGHUP (nohup) notices a closed terminal only this way: its reads return at once
    with nothing, forever.
    """
    try:
        termios.tcgetattr(sys.__stdin__.fileno() if sys.__stdin__ else 0)
    except (termios.error, OSError, ValueError):
        return True
    return False
