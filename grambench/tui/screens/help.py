"""Keys, and the terms of the method."""

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

Rows = tuple[tuple[str, str], ...]
"""Keys, or terms, with what they mean."""
KEYS: Rows = (
    ("q  ctrl+c", "quit; asks first during a run"),
    ("tab", "next panel"),
    ("m  enter", "maximise the panel, or back"),
    ("l", "maximise the log, or back"),
    ("t", "dark or light"),
    ("v", "details of one strategy; again: the next"),
    ("y  j", "the machine; the log on its own screen"),
    ("V", "the verdict: does each strategy pay, and what would make the run say more"),
    ("p", "pause the run, or resume it"),
    ("s", "skip the strategy in training; asks"),
    ("x", "stop the run; asks"),
    ("d", "detach: leave the run alone"),
    ("n", "add a note to the log"),
    ("e", "export report.json and a picture of the screen"),
    ("a", "x-axis: seconds, steps, joules"),
    ("o  z", "logarithmic axis; smoothed curves"),
    ("← →", "read values at a moment, as with the mouse"),
    ("h  H", "highlight the next strategy, or the one before; esc: all"),
    ("g", "set a target AUC, shown as a line and a column"),
    ("ctrl+p", "all of these in a searchable list"),
    ("↑ ↓ pgup pgdn", "scroll"),
    ("esc", "back"),
)
_LIVE = {"q  ctrl+c", "p", "s", "x", "d", "n", "← →"}
REPLAY_KEYS: Rows = (
    ("q  ctrl+c", "quit"),
    ("space", "pause, or play on; at the end, from the start"),
    ("← →", "5 s back or forward"),
    ("home end", "to the start or the end"),
    ("+ −", "faster or slower"),
    *(row for row in KEYS if row[0] not in _LIVE),
)
"""Those of a replay, which nothing can be asked of."""
_TERMS: Rows = (
    ("E2E", "end to end: every item of every user is encoded again"),
    ("e2e-unique", "the same gradient, each distinct item of the batch encoded once"),
    ("1S", "single-step GRAM: E2E's gradient from one pass over the batch's distinct items"),
    ("N-step, 1E", "multi-step GRAM: the encoder is updated once every N steps, or once per epoch"),
    ("auto", "multi-step GRAM whose window closes when the item table has drifted far enough"),
    ("× e2e", "samples per second relative to e2e with the same seed"),
    ("95 %", "where × e2e lies over fresh processes; from 3 of each on (--seeds, --repeats)"),
    (
        "in race",
        "± of × e2e by this race alone, for these processes; ✓ surely not 1, 3 of 8: too short",
    ),
    ("R", "reuse ratio: item occurrences / unique items, the ceiling of the encoder's speed-up"),
    ("window", "the N steps between two updates of the encoder"),
    ("drift", "how far the item table moved within a window: mean ‖h̃ − h‖ / ‖h‖"),
    ("val AUC", "the score that selects the checkpoint; test AUC is scored once, with that checkpoint"),
    ("seconds", "training only, without evaluation, saving and waiting"),
    ("place", "rank of the strategies that have finished training, by training seconds"),
    ("memory", "torch's allocation on a GPU, resident memory of the process on a CPU"),
    ("–", "not measured; the log says why"),
)


_TERM_COLUMNS, _WIDEST = 15, 82


class HelpScreen(ModalScreen[None]):
    """Closed by `?`, `q`, `esc` or enter."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,question_mark,enter", "dismiss", "Back"),
    ]

    def __init__(self, accent: str, keys: Rows) -> None:
        super().__init__()
        self._accent, self._keys = accent, keys

    def compose(self) -> ComposeResult:
        """Two lists."""
        with VerticalScroll(id="help", classes="dialog") as box:
            box.border_title, box.border_subtitle = "help", "↑ ↓ scroll, esc back"
            yield Static(id="rows")

    def on_mount(self) -> None:
        """Focus the lists, so that keys scroll them."""
        self.query_one("#help").focus()

    def on_resize(self) -> None:
        """Wrap to the new width."""
        room = max(16, min(_WIDEST, self.size.width * 94 // 100) - 8 - _TERM_COLUMNS)
        lists = [self._rows("keys", self._keys, room), Content(""), self._rows("words", _TERMS, room)]
        self.query_one("#rows", Static).update(Content("\n").join(lists))

    def _rows(self, title: str, rows: Rows, room: int) -> Content:
        lines = [Content.assemble((title, f"bold {self._accent}"))]
        for word, meaning in rows:
            wrapped = Content(meaning).wrap(room)
            lines.append(Content.assemble((f"{word:<{_TERM_COLUMNS}}", self._accent), wrapped[0]))
            lines += [Content.assemble(" " * _TERM_COLUMNS, rest) for rest in wrapped[1:]]
        return Content("\n").join(lines)
