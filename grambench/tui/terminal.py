"""A lost terminal must end the dashboard, never make it spin."""

import asyncio
import contextlib
import signal
import sys
import termios
from collections.abc import Callable


def on_hangup(leave: Callable[[], None]) -> Callable[[], None]:
    """Call `leave` in the event loop when the terminal hangs up or the process is asked to end.

    Returns:
        A function that restores the previous signal handlers.
    """
    loop = asyncio.get_running_loop()
    before = {number: signal.getsignal(number) for number in (signal.SIGHUP, signal.SIGTERM)}
    for number in before:
        with contextlib.suppress(ValueError, RuntimeError, NotImplementedError):
            loop.add_signal_handler(number, leave)

    def restore() -> None:
        for number, handler in before.items():
            with contextlib.suppress(ValueError, RuntimeError, NotImplementedError):
                loop.remove_signal_handler(number)
                signal.signal(number, handler)

    return restore


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
