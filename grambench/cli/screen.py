"""The console of tables: text that is shown holds no control characters, whichever call it came from."""

import sys
from collections.abc import Iterator
from typing import Any

from rich.console import Console
from rich.segment import Segment

from grambench.text import safe_lines
from grambench.views.console import EVERY_COLUMN


class Screen(Console):
    """rich's console, in which strings are not markup and only rich itself moves the cursor."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(markup=False, emoji=False, **settings)

    def render(self, *arguments: Any, **options: Any) -> Iterator[Segment]:
        """As rich's; text that is not printable is replaced."""
        for segment in super().render(*arguments, **options):
            if segment.control or segment.text.replace("\n", "").isprintable():
                yield segment
            else:
                yield Segment(safe_lines(segment.text), segment.style)


def wide_screen() -> Screen:
    """On stdout: as wide as the terminal, else wide enough for every column of the tables."""
    return Screen(file=sys.stdout, width=None if sys.stdout.isatty() else EVERY_COLUMN)
