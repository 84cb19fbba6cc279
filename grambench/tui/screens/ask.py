"""A question with yes and no, and a question with a text field."""

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Button, Input, Static


class ConfirmScreen(ModalScreen[bool]):
    """Enter presses the focused button, which is the harmless one."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,n", "answer(False)", "No"),
        Binding("y", "answer(True)", "Yes"),
        Binding("left", "app.focus_previous", show=False),
        Binding("right", "app.focus_next", show=False),
    ]

    def __init__(self, title: str, question: str, yes: str) -> None:
        super().__init__()
        self._title, self._question, self._yes = title, question, yes

    def compose(self) -> ComposeResult:
        """Question and buttons."""
        with Vertical(classes="dialog ask") as box:
            box.border_title = self._title
            yield Static(Content(self._question), classes="hint")
            with Horizontal(classes="buttons"):
                yield Button(self._yes, id="yes", compact=True)
                yield Button("Back", id="no", compact=True)

    def on_mount(self) -> None:
        """Focus the harmless button."""
        self.query_one("#no", Button).focus()

    @on(Button.Pressed)
    def _pressed(self, event: Button.Pressed) -> None:
        self.dismiss(event.button.id == "yes")

    def action_answer(self, yes: bool) -> None:
        """Dismiss with a key's answer."""
        self.dismiss(yes)


class PromptScreen(ModalScreen[str | None]):
    """Enter returns the text, esc None."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss", "Back")]

    def __init__(self, title: str, hint: str, value: str = "") -> None:
        super().__init__()
        self._title, self._hint, self._value = title, hint, value

    def compose(self) -> ComposeResult:
        """The hint and the text field."""
        with Vertical(classes="dialog ask") as box:
            box.border_title = self._title
            yield Static(Content(self._hint), classes="hint")
            yield Input(self._value, compact=True, select_on_focus=True)

    def on_mount(self) -> None:
        """Focus the text field."""
        self.query_one(Input).focus()

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        self.dismiss(event.value.strip())
