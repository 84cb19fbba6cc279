"""What all screens of a run have in common: they follow its state, and their keys act on it."""

from abc import abstractmethod
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import ClassVar

from textual.app import SystemCommand
from textual.binding import Binding, BindingType
from textual.css.query import NoMatches
from textual.screen import Screen

from grambench.errors import GrambenchError
from grambench.reports.runfile import RUN_FILE
from grambench.runner.commands import Action, Command, send
from grambench.text import safe_text
from grambench.tui.export import export
from grambench.tui.scene import EMPTY, Scene
from grambench.tui.screens.ask import ConfirmScreen, PromptScreen

_COMMANDS = {"pause", "resume", "skip", "stop", "detach", "mark"}
"""Actions on a run in progress."""


class RunScreen(Screen[None]):
    """Draws the newest scene of the app; pauses, skips, stops, marks and exports.

    Args:
        folder: the run's folder, where commands and exports go.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("p", "pause", "pause"),
        Binding("p", "resume", "resume"),
        Binding("d", "detach", "detach"),
        Binding("s", "skip", "skip"),
        Binding("x", "stop", "stop"),
        Binding("n", "mark", "note"),
        Binding("e", "export", "export"),
        Binding("V", "verdict", "verdict"),
    ]

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder, self.scene = folder, EMPTY
        self._behind, self._bound = False, (False, False, False)

    def on_mount(self) -> None:
        """Follow the app's scene."""
        self.watch(self.app, "scene", self._follow)

    def on_screen_resume(self) -> None:
        """Draw what was missed while another screen was on top."""
        if self._behind:
            self._show()

    def _follow(self, scene: Scene) -> None:
        self.scene = scene
        if self._bound != (bound := (scene.is_over, scene.state.finished, scene.state.paused)):
            self._bound = bound
            self.refresh_bindings()
        self._behind = not (self.app.screen is self or self.app.screen.is_modal)
        if not self._behind:
            self._show()

    def _show(self) -> None:
        self._behind = False
        with suppress(NoMatches):  # some widgets are already gone: the screen is being closed
            self.show(self.scene)

    @abstractmethod
    def show(self, scene: Scene) -> None:
        """Draw the scene."""

    # --- the run -------------------------------------------------------------------------------

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """A run that has ended takes no commands, and offers its verdict; before, the app has that key.

        A folder without the run's own file, as of a recording, has no report to export.
        """
        if action == "verdict":
            return self.scene.state.finished
        if action == "export":
            return not self.scene.is_over or (self._folder / RUN_FILE).exists()
        if action in ("pause", "resume") and self.scene.state.paused != (action == "resume"):
            return False
        return not (action in _COMMANDS and self.scene.is_over)

    async def action_verdict(self) -> None:
        """Show what the run says."""
        await self.run_action("app.verdict")

    def _send(self, action: Action, trial: str = "", text: str = "") -> bool:
        """Send a command to the supervisor, or show why it cannot be sent."""
        if self.scene.is_over:
            self.notify("The run has ended.", severity="warning")
            return False
        try:
            send(self._folder, Command(action, trial, text))
        except (GrambenchError, OSError) as error:
            self._complain(str(error))
            return False
        return True

    def _complain(self, message: str) -> None:
        self.notify(safe_text(message, 200), severity="error", markup=False)

    def action_pause(self) -> None:
        """Pause the run."""
        if self._send("pause"):
            self.notify("Pausing after the current step.")

    def action_resume(self) -> None:
        """Resume a run that is paused."""
        if self._send("resume"):
            self.notify("Resuming.")

    def action_skip(self) -> None:
        """End the strategy in training and continue with the next; asks first."""
        active = self.scene.state.trials.get(self.scene.state.active or "")
        if active is None:
            self.notify("No strategy is training.", severity="warning")
            return

        def answered(yes: bool | None) -> None:
            if yes:
                self._send("skip", active.name)

        name = self.scene.title(active)
        question = f"End {name} after its step, without a test score? The next strategy continues."
        self.app.push_screen(ConfirmScreen("skip", question, f"Skip {name}"), answered)

    def action_stop(self) -> None:
        """End the run after the current step; asks first."""

        def answered(yes: bool | None) -> None:
            if yes and self._send("stop"):
                self.notify("Stopping after the current step.")

        if self.scene.is_over:
            self.notify("The run has ended.", severity="warning")
            return
        question = "End the run after the current step? What was measured is kept, with a report."
        self.app.push_screen(ConfirmScreen("stop", question, "Stop the run"), answered)

    def action_detach(self) -> None:
        """Leave the dashboard and let the run continue."""
        self.app.exit(None if self.scene.is_over else "detach")

    def action_mark(self) -> None:
        """Add a note to the log."""

        def answered(text: str | None) -> None:
            if text:
                self._send("mark", text=text[:200])

        self.app.push_screen(PromptScreen("mark", "A note for the log, with the current time."), answered)

    def action_export(self) -> None:
        """Write the report and a picture of the screen to the run's folder."""
        try:
            path = export(self._folder, self.app.export_screenshot(title="grambench"))
        except (GrambenchError, OSError) as error:
            self._complain(str(error))
            return
        place = safe_text(path.relative_to(self._folder), 80)
        self.notify(f"{place} and report.json written", markup=False)

    def system_commands(self) -> Iterator[SystemCommand]:
        """The screen's part of the command palette."""
        for title, meaning, action in (
            ("Pause", "Withhold all turns", self.action_pause),
            ("Resume", "Grant turns again", self.action_resume),
            ("Skip strategy", "End the one in training; asks", self.action_skip),
            ("Stop the run", "End it after the current step; asks", self.action_stop),
            ("Detach", "Leave the run alone; `grambench watch` shows it again", self.action_detach),
            ("Mark", "Add a note to the log", self.action_mark),
            ("Export", "report.json and a picture of the screen", self.action_export),
        ):
            yield SystemCommand(title, meaning, action)
