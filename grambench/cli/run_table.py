"""The table of `grambench runs`."""

import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from grambench.cli.output import say
from grambench.cli.screen import Screen
from grambench.runner.run_index import RunRow
from grambench.text import safe_text
from grambench.views import numbers

_GAP = "  "
_COLUMNS = ("run", "date", "state", "preset", "strategies", "result")
_DROPPED = ("preset", "date")
"""On a narrow terminal, in this order: the run's name says them too."""
_STRATEGIES_ROOM = 16
"""Cells that the strategies keep before a column is dropped."""
_RESULT_ROOM = 44
"""Cells of the result, which may say why a run failed, on a terminal."""
_COLOURS = {"running": "bold cyan", "finished": "green", "failed": "red", "unreadable": "red"}


def print_runs(rows: Sequence[RunRow], older: int) -> None:
    """A line for each run; on a terminal within its width and in colour. Complaints go to stderr.

    `older`: runs that are not listed.
    """
    console = Screen()
    if console.is_terminal:
        for number, cells in enumerate(table(rows, console.width)):
            console.print(_coloured(cells, heading=number == 0), soft_wrap=True)
    else:
        sys.stdout.write("".join(f"{_GAP.join(cells.values()).rstrip()}\n" for cells in table(rows, None)))
    if older:
        say(f"{older:,} older ones: `grambench runs --limit {older + len(rows)}` lists all", err=True)
    for row in rows:
        for complaint in row.complaints:
            say(f"{safe_text(row.run)}: {safe_text(complaint, 600)}.", err=True)


def table(rows: Sequence[RunRow], width: int | None) -> list[dict[str, str]]:
    """The head and the cells of each run, by column, filled with spaces to the column's width.

    `width`: cells of the terminal, to which strategies are cut; None: every column whole.
    """
    cells = [dict(zip(_COLUMNS, _COLUMNS, strict=True)), *map(_cells, rows)]
    sizes = {name: max(cell_len(row[name]) for row in cells) for name in _COLUMNS}
    if width is not None:
        sizes = _fitted(sizes, width)
    return [{name: _cut(row[name], size) for name, size in sizes.items()} for row in cells]


def _fitted(sizes: dict[str, int], width: int) -> dict[str, int]:
    """Cells of the columns that a terminal has room for."""
    sizes = sizes | {"result": min(sizes["result"], _RESULT_ROOM)}
    for dropped in ("", *_DROPPED):
        sizes = {name: size for name, size in sizes.items() if name != dropped}
        room = width - sum(sizes.values()) - len(_GAP) * (len(sizes) - 1) + sizes["strategies"]
        if room >= min(sizes["strategies"], _STRATEGIES_ROOM):
            break
    return sizes | {"strategies": max(min(room, sizes["strategies"]), len("strategies"))}


def _coloured(cells: dict[str, str], *, heading: bool) -> Text:
    line = Text(style="bold" if heading else "")
    for name, cell in cells.items():
        style = _COLOURS.get(cell.rstrip(), "yellow") if name == "state" and not heading else ""
        line.append(cell, style).append(_GAP)
    line.rstrip()
    return line


def _cut(text: str, size: int) -> str:
    return set_cell_size(text if cell_len(text) <= size else f"{set_cell_size(text, size - 1)}…", size)


def _cells(row: RunRow) -> dict[str, str]:
    preset, strategies = Path(row.preset).name, ", ".join(row.strategies)
    words = (row.run, _local(row.created), row.state, preset, strategies, _result(row))
    return {name: safe_text(word) for name, word in zip(_COLUMNS, words, strict=True)}


def _local(created: str) -> str:
    try:
        return f"{datetime.fromisoformat(created).astimezone():%Y-%m-%d %H:%M}"
    except (ValueError, OverflowError, OSError):
        return created[:16]


def _result(row: RunRow) -> str:
    fastest = None if row.fastest is None else f"{row.fastest} {numbers.times(row.speedup)}"
    return ", ".join(filter(None, (fastest, row.conclusion, row.reason))) or numbers.DASH
