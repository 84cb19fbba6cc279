"""The leaderboard: the comparison table of `grambench.views.comparison_table`, in colour."""

from textual.content import Content
from textual.geometry import Region

from grambench.events.state import RunState
from grambench.tui.line_parts import styled
from grambench.tui.palette import state_colour
from grambench.tui.scene import Scene
from grambench.tui.widgets.text import TextPanel
from grambench.views import numbers
from grambench.views.comparison_table import Standings, ordered, sorted_part, standings

_FRAME = 5  # border, padding and a possible scrollbar


class Board(TextPanel, can_focus=True):
    """Rows by score; the columns that fit."""

    def __init__(self) -> None:
        super().__init__("board", leaderboard)
        self._highlighted: str | None = None

    def show(self, scene: Scene) -> None:
        """Draw the scene's table, and bring a label into view when it is highlighted."""
        means = scene.seeds and sorted_part(scene.state)
        self.border_title = "leaderboard, by the means of the seeds" if means else "leaderboard"
        super().show(scene)
        if scene.view.highlighted != self._highlighted:
            self._highlighted = scene.view.highlighted
            labels = [trial.label for trial in ordered(scene.state)]
            if self._highlighted in labels:
                rows = Region(0, labels.index(self._highlighted), 1, 1 + labels.count(self._highlighted))
                self.scroll_to_region(rows, top=True, animate=False)


def board_width(state: RunState, width: int) -> int:
    """Columns for the panel on a screen of `width`, the log keeping at least 44, or 2 in 5."""
    most = width - max(44, width * 3 // 10) if width >= 140 else width * 3 // 5
    table = standings(state, 1000)
    natural = 2 + table.name_width + sum(table.widths) + 2 * len(table.widths) + _FRAME
    return max(min(natural + len(table.widths), most), width // 2)


def leaderboard(scene: Scene, width: int) -> Content:
    """Head and rows, as far as they fit."""
    if not scene.state.trials:
        return styled("trials appear when the run starts", scene.tones.muted)
    table = standings(scene.state, width, target=scene.view.target)
    spare = width - 2 - table.name_width - sum(table.widths) - 2 * len(table.widths)
    gap = " " * (2 + min(2, spare // max(1, len(table.widths))))
    rows = [_head(scene, table, gap)]
    rows += [_row(scene, table, row, gap) for row in range(len(table.trials))]
    return Content("\n").join(rows)


def _head(scene: Scene, table: Standings, gap: str) -> Content:
    cells = [f"  {'strategy':<{table.name_width}}"]
    for column, width in zip(table.columns, table.widths, strict=True):
        cells.append(f"{column.head:<{width}}" if column.left else f"{column.head:>{width}}")
    return styled(gap.join(cells), scene.tones.muted)


def _row(scene: Scene, table: Standings, row: int, gap: str) -> Content:
    trial = table.trials[row]
    look, tones = scene.look(trial), scene.tones
    cells = [styled(f"{look.marker} {table.names[row]:<{table.name_width}}", f"bold {look.colour}")]
    plain = tones.muted if scene.is_dimmed(trial) else tones.text
    for column, text, width in zip(table.columns, table.cells[row], table.widths, strict=True):
        style = tones.faint if text == numbers.DASH else plain
        if column.head == "state":
            style = state_colour(text, tones, look.colour)
        elif column.head == "× e2e" and text != numbers.DASH:
            style = f"bold {plain}"
        cells.append(styled(f"{text:<{width}}" if column.left else f"{text:>{width}}", style))
    return Content(gap).join(cells)
