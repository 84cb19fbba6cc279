"""What the keys ask of the run and of the view; the dashboard mixes it in."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from textual.app import App, SystemCommand
from textual.screen import ModalScreen, Screen

from grambench.errors import GrambenchError
from grambench.runner.commands import Action, Command, send
from grambench.text import safe_text
from grambench.tui.export import export
from grambench.tui.scene import Scene
from grambench.tui.screens.ask import ConfirmScreen, PromptScreen
from grambench.tui.view import PLAIN, View


class Controls(App[str | None]):
    """Actions that need no widget of the dashboard."""

    view: View = PLAIN
    _folder: Path
    _live: bool

    @property
    def scene(self) -> Scene:
        """What is drawn now."""
        raise NotImplementedError

    @property
    def is_over(self) -> bool:
        """Nothing goes on that could be asked."""
        raise NotImplementedError

    def redraw(self, sides: bool = True) -> None:
        """Draw the scene anew."""
        raise NotImplementedError

    # --- the run -------------------------------------------------------------------------------

    def _ask_run(self, action: Action, trial: str = "", text: str = "") -> bool:
        """Send a command to the supervisor; says why where that is impossible."""
        if self.is_over:
            self.notify("The run is over.", severity="warning")
            return False
        try:
            send(self._folder, Command(action, trial, text))
        except (GrambenchError, OSError) as error:
            self.notify(safe_text(str(error), 200), severity="error", markup=False)
            return False
        return True

    def action_pause(self) -> None:
        """Withhold all turns, or grant them again."""
        paused = self.scene.state.paused
        if self._ask_run("resume" if paused else "pause"):
            self.notify("Resuming." if paused else "Pausing after the step under way.")

    def action_skip(self) -> None:
        """End the strategy that trains, and go on with the next."""
        active = self.scene.state.trials.get(self.scene.state.active or "")
        if active is None:
            self.notify("No strategy trains now.", severity="warning")
            return

        def answered(yes: bool | None) -> None:
            if yes:
                self._ask_run("skip", active.name)

        name = self.scene.title(active)
        question = f"End {name} after its step, without a test score? The next strategy goes on."
        self.push_screen(ConfirmScreen("skip", question, f"Skip {name}"), answered)

    def action_stop(self) -> None:
        """End the run after the step under way."""

        def answered(yes: bool | None) -> None:
            if yes and self._ask_run("stop"):
                self.notify("Stopping after the step under way.")

        if self.is_over:
            self.notify("The run is over.", severity="warning")
            return
        question = "End the run after the step under way? What was measured stays, with a report."
        self.push_screen(ConfirmScreen("stop", question, "Stop the run"), answered)

    def action_detach(self) -> None:
        """Leave the run alone."""
        self.exit(None if self.is_over else "detach")

    def action_mark(self) -> None:
        """Put a sentence into the log."""

        def answered(text: str | None) -> None:
            if text:
                self._ask_run("mark", text=text[:200])

        self.push_screen(PromptScreen("mark", "A sentence for the log, with the time of now."), answered)

    def action_export(self) -> None:
        """Write the report and a picture of the screen into the run's folder."""
        try:
            path = export(self._folder, self.export_screenshot(title="grambench"))
        except (GrambenchError, OSError) as error:
            self.notify(safe_text(str(error), 200), severity="error", markup=False)
            return
        place = safe_text(path.relative_to(self._folder), 80)
        self.notify(f"{place} and report.json written", markup=False)

    # --- the view ------------------------------------------------------------------------------

    def _look(self, **changes: Any) -> None:
        self.view = replace(self.view, **changes)
        self.redraw()

    def action_axis(self) -> None:
        """Training seconds, steps, or joules where they are measured."""
        has_energy = any(len(trial.energy_series) for trial in self.scene.state.trials.values())
        self._look(x_axis=self.view.next_axis(has_energy))

    def action_logarithmic(self) -> None:
        """Linear or logarithmic x-axis."""
        self._look(logarithmic=not self.view.logarithmic)

    def action_smooth(self) -> None:
        """Curves as they are, or a moving average of them."""
        self._look(smooth=not self.view.smooth)

    def action_cursor(self, steps: int) -> None:
        """Move the read-out."""
        self._look(cursor=self.view.moved_cursor(steps))

    def action_target(self) -> None:
        """Set the validation score that the target line shows."""

        title = self.scene.state.metric.title

        def answered(text: str | None) -> None:
            if text is None:
                return
            if not text:
                self._look(target=None)
                return
            try:
                target = float(text)
            except ValueError:
                target = -1.0
            if 0 < target < 1:
                self._look(target=target)
            else:
                self.notify(
                    f"{safe_text(text, 20)} is no {title} between 0 and 1.", severity="error", markup=False
                )

        now = "" if self.view.target is None else f"{self.view.target:g}"
        hint = f"A validation {title} between 0 and 1; an empty line takes the target away."
        self.push_screen(PromptScreen("target", hint, now), answered)

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        """The palette: every action."""
        if isinstance(screen, ModalScreen):
            return
        for title, about, action in (
            ("Pause or resume", "Withhold all turns, or grant them again", self.action_pause),
            ("Skip strategy", "End the one that trains; asks", self.action_skip),
            ("Stop the run", "End it after the step under way; asks", self.action_stop),
            ("Detach", "Leave the run alone; `grambench watch` shows it again", self.action_detach),
            ("Mark", "Put a sentence into the log", self.action_mark),
            ("Export", "report.json and a picture of the screen", self.action_export),
            ("Axis", "Training seconds, steps or joules", self.action_axis),
            ("Logarithmic", "Linear or logarithmic x-axis", self.action_logarithmic),
            ("Smooth", "A moving average of the curves, or not", self.action_smooth),
            ("Target", "A validation score to reach, as a line", self.action_target),
        ):
            yield SystemCommand(title, about, action)
