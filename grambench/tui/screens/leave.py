"""The quit dialog of a run in progress."""

from typing import ClassVar, Literal

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.screen import ModalScreen
from textual.widgets import Button, Static

Choice = Literal["stop", "detach", "back"]

_HINT = "s stops it and writes a report of what was measured; d leaves it running; esc goes back."


class LeaveScreen(ModalScreen[Choice]):
    """Three choices; enter takes the focused one, which is the harmless `Back`."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,b", "choose('back')", "Back"),
        Binding("s", "choose('stop')", "Stop"),
        Binding("d", "choose('detach')", "Leave it running"),
        Binding("left", "app.focus_previous", show=False),
        Binding("right", "app.focus_next", show=False),
    ]

    def compose(self) -> ComposeResult:
        """Question, explanation, buttons."""
        with Vertical(id="leave", classes="dialog") as box:
            box.border_title = "leave"
            yield Static("The run is still in progress. Stop it?", classes="question")
            yield Static(_HINT, classes="hint")
            with Horizontal(classes="buttons"):
                yield Button("Stop the run", id="stop", compact=True)
                yield Button("Leave it running", id="detach", compact=True)
                yield Button("Back", id="back", compact=True)

    def on_mount(self) -> None:
        """Enter must not stop anything by accident."""
        self.query_one("#back", Button).focus()

    @on(Button.Pressed)
    def _pressed(self, event: Button.Pressed) -> None:
        choices: dict[str, Choice] = {"stop": "stop", "detach": "detach"}
        self.dismiss(choices.get(event.button.id or "", "back"))

    def action_choose(self, choice: Choice) -> None:
        """Dismiss with a key's choice."""
        self.dismiss(choice)
