"""The layout at a given size: a pure function, so that every size can be tested."""

from dataclasses import dataclass, replace
from enum import IntEnum
from math import ceil

STACKED_BELOW = 100
"""Minimum width for panels side by side; below it they are stacked."""
NARROW_BELOW = 72
"""Minimum width for all keys in the footer; below it only the screen's own."""
LONG_HEADER = 150
"""Minimum width for a header of one line."""
_CARD_WIDTH = 26
_LINE_WIDTH = 28
_SIDE_ROWS, _SIDE_COLUMNS = 7, 28  # of a panel of the side, beside the metric plot and stacked below it


class Density(IntEnum):
    """How much a card shows; the value is its height in rows, frame included."""

    LINE = 1
    COMPACT = 4
    NORMAL = 7
    TALL = 9


@dataclass(frozen=True, slots=True)
class Layout:
    """Rows and columns of a screen; a height of 0 hides the panel."""

    stacked: bool
    header: int
    density: Density
    card_columns: int
    card_rows: int
    metric: int
    """Rows of the metric plot."""
    side: int
    """Rows of the side, throughput and memory: beside the metric plot, or below it when stacked."""
    side_panels: int
    """How many panels have room there."""
    board: int
    log: int
    scrolls: bool
    """True when the body is taller than the screen."""
    ranks: int = 0
    """1: a card has one more row, for its ranks."""
    most_cards: int | None = None
    """Rows that the cards get where they need more: they scroll, to the trial in training."""

    @property
    def card(self) -> int:
        """Rows of a card, frame included."""
        return self.density + self.ranks

    @property
    def cards(self) -> int:
        """Rows that the cards take."""
        rows = self.card_rows * self.card
        return rows if self.most_cards is None else min(rows, self.most_cards)


def plan(width: int, height: int, trials: int, banner: int, *, ranks: bool = False) -> Layout:
    """The layout of a screen of `width` by `height` cells with `trials` cards.

    Args:
        width: columns.
        height: rows.
        trials: a count.
        banner: rows of the lines that say how the run ended.
        ranks: several ranks train a trial: cards get a row for them if all else has room.
    """
    header = 1 if width >= LONG_HEADER or height < 22 else 2
    body = max(1, height - header - 1 - banner)
    trials = max(1, trials)
    arranged = _stacked if width < STACKED_BELOW else _beside
    layout = arranged(width, body, trials, header)
    if not ranks or layout.density == Density.LINE:
        return layout
    below = arranged(width, body - layout.card_rows, trials, header)
    kept, left = ((each.density, each.side > 0, each.log > 0) for each in (layout, below))
    return replace(below, ranks=1) if kept == left else layout


def _grid(width: int, trials: int, density: Density, body: int = 0) -> tuple[int, int]:
    """Columns and rows of the cards, as evenly filled as possible."""
    most = max(1, width // (_LINE_WIDTH if density == Density.LINE else _CARD_WIDTH))
    if density == Density.LINE:
        roomy = trials <= 4 or (width < 72 and trials + 10 <= body)
        most = min(most, 1 if roomy else 2)
    rows = ceil(trials / min(most, trials))
    return ceil(trials / rows), rows


def _beside(width: int, body: int, trials: int, header: int) -> Layout:
    board = trials + 3
    wanted = {Density.TALL: 14, Density.NORMAL: 11, Density.COMPACT: 8, Density.LINE: 8}
    low_board = max(6, min(board, 9))
    for density, plot in wanted.items():
        columns, rows = _grid(width, trials, density)
        left = body - rows * density - plot - low_board
        if left >= 0:
            # the table first gets the rows it needs, then the log a third of the rest
            table = min(left, max(0, board - low_board))
            extra = left - table
            bottom = low_board + table + min(extra // 3, 8)
            metric = body - rows * density - bottom
            fit = max(1, metric // _SIDE_ROWS)
            return Layout(False, header, density, columns, rows, metric, metric, fit, bottom, bottom, False)
    columns, rows = _grid(width, trials, Density.LINE)
    if (most := _most_cards(rows, body)) is None:
        return Layout(False, header, Density.LINE, columns, rows, 9, 9, 1, board, board, True)
    board = max(low_board, (body - most) // 2)
    metric = max(9, body - most - board)
    scrolls, fit = most + metric + board > body, metric // _SIDE_ROWS
    line = Density.LINE
    return Layout(False, header, line, columns, rows, metric, metric, fit, board, board, scrolls, 0, most)


def _stacked(width: int, body: int, trials: int, header: int) -> Layout:
    board = trials + 3
    for density, plot in ((Density.NORMAL, 16), (Density.COMPACT, 9), (Density.LINE, 9), (Density.LINE, 7)):
        columns, rows = _grid(width, trials, density, body)
        if density != Density.LINE and columns < min(trials, 3):
            continue
        left = body - rows * density - plot - board
        if left >= 0:
            log = min(left, 6) if left >= 5 else 0
            side = 9 if left - log >= 9 else 0
            fit = max(2, width // _SIDE_COLUMNS)
            extra = left - log - side
            more_log = extra // 2 if log else 0
            metric = plot + extra - more_log
            return Layout(
                True, header, density, columns, rows, metric, side, fit, board, log + more_log, False
            )
    columns, rows = _grid(width, trials, Density.LINE, body)
    most = _most_cards(rows, body)
    metric = max(8, min(12, body - (most or rows)))
    return Layout(True, header, Density.LINE, columns, rows, metric, 0, 0, board, 0, True, 0, most)


def _most_cards(rows: int, body: int) -> int | None:
    """Rows for cards of one line that would fill more than half the body: a third of it."""
    return body // 3 if rows > body // 2 else None
