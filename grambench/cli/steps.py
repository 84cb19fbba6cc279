"""Progress of a command on stderr: bars on a terminal, plain lines elsewhere."""

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol, TextIO

from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.text import Text

from grambench.cli.screen import Screen
from grambench.text import safe_text
from grambench.views import numbers

_TEXT_LIMIT = 400
Amount = Callable[[float], str]
"""Formats a number with its unit."""


def megabytes(value: float) -> str:
    """Bytes in MB (10^6): `52.9 MB`."""
    return f"{value / 1e6:,.1f} MB"


class Steps(Protocol):
    """Shows what a command is doing."""

    def note(self, text: str) -> None:
        """One sentence that stays."""

    def show(self, what: str, done: int, total: int | None, amount: Amount = numbers.count) -> None:
        """Show the progress of one task; may be called at any rate."""


@contextmanager
def open_steps() -> Iterator[Steps]:
    """Bars where stderr is a terminal that can move its cursor, lines elsewhere."""
    if not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":
        yield PlainSteps(sys.stderr)
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=30),
        TextColumn("{task.fields[amount]}", markup=False, justify="right"),
    )
    with Progress(*columns, console=Screen(stderr=True)) as progress:
        yield LiveSteps(progress)


class PlainSteps:
    """Lines: the first and the last of each task, and one every `every_s` seconds in between."""

    def __init__(
        self, stream: TextIO, clock: Callable[[], float] = time.monotonic, every_s: float = 5.0
    ) -> None:
        self._stream, self._clock, self._every_s = stream, clock, every_s
        self._printed: dict[str, tuple[float, int]] = {}
        """Task -> when a line was last printed, and how much was done."""

    def note(self, text: str) -> None:
        """One line."""
        self._write(text)

    def show(self, what: str, done: int, total: int | None, amount: Amount = numbers.count) -> None:
        """A line, if one is due."""
        now = self._clock()
        printed_at, printed = self._printed.get(what, (-self._every_s, -1))
        if done == printed or (done != total and now - printed_at < self._every_s):
            return
        self._printed[what] = now, done
        self._write(f"{what}: {_amount(done, total, amount)}")

    def _write(self, text: str) -> None:
        self._stream.write(f"{safe_text(text, _TEXT_LIMIT)}\n")
        self._stream.flush()


class LiveSteps:
    """One bar per task."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._tasks: dict[str, TaskID] = {}

    def note(self, text: str) -> None:
        """One line above the bars."""
        self._progress.console.print(Text(safe_text(text, _TEXT_LIMIT)))

    def show(self, what: str, done: int, total: int | None, amount: Amount = numbers.count) -> None:
        """Move the bar of `what`, adding it the first time."""
        if what not in self._tasks:
            self._tasks[what] = self._progress.add_task(safe_text(what, 60), total=total, amount="")
        self._progress.update(
            self._tasks[what], completed=done, total=total, amount=_amount(done, total, amount)
        )


def _amount(done: int, total: int | None, amount: Amount) -> str:
    return amount(done) if total is None else f"{amount(done)} of {amount(total)}"
