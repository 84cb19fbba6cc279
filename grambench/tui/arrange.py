"""Applies a layout to the widgets."""

from textual.screen import Screen

from grambench.tui import plots
from grambench.tui.layout import NARROW_BELOW, Density, Layout


def panel_names() -> tuple[str, ...]:
    """Ids of the panels that can have the whole body."""
    return ("metric", *_side_names(), "board", "log")


def _side_names() -> list[str]:
    return [row.name for row in plots.SIDE_PLOTS]


def arrange(screen: Screen[None], layout: Layout, solo: str | None, board_width: int) -> None:
    """Set rows, columns and visibility.

    Args:
        screen: the race.
        layout: rows of every part.
        solo: the panel that gets the whole body.
        board_width: columns of the leaderboard when the log is beside it.
    """
    screen.set_class(layout.stacked, "-stacked")
    screen.set_class(screen.app.size.width < NARROW_BELOW, "-narrow")
    screen.query_one("#header").styles.height = layout.header
    cards = screen.query_one("#cards")
    cards.styles.grid_size_columns = layout.card_columns
    cards.styles.grid_size_rows = layout.card_rows
    cards.styles.grid_rows = str(layout.card)
    cards.styles.height = layout.cards
    cards.set_class(layout.density == Density.LINE, "-lines")
    cards.set_class(layout.most_cards is not None, "-scrolls")
    heights = {"metric": layout.metric, "board": layout.board, "log": layout.log}
    sides = _side_names()
    heights |= dict.fromkeys(sides[: layout.side_panels], layout.side)
    for name in panel_names():
        screen.query_one(f"#{name}").display = solo == name or (solo is None and heights.get(name, 0) > 0)
    cards.display = solo is None
    upper, bottom, side_box = (screen.query_one(f"#{name}") for name in ("plots", "bottom", "side"))
    side_box.display = solo in sides or (solo is None and layout.side > 0)
    upper.display = solo in (None, "metric", *sides)
    bottom.display = solo in (None, "board", "log")
    screen.query_one("#body").set_class(solo is not None, "-solo")
    upper.styles.height = "1fr" if solo else layout.metric + (layout.side if layout.stacked else 0)
    bottom_rows = layout.board + layout.log if layout.stacked else layout.board
    bottom.styles.height = "1fr" if solo else bottom_rows
    side_box.styles.height = layout.side if layout.stacked and not solo else "1fr"
    board = screen.query_one("#board")
    board.styles.height = layout.board if layout.stacked and not solo else "1fr"
    board.styles.width = "100%" if layout.stacked or solo else board_width
