"""What every widget is given to draw: the state, and how trials and quiet things look."""

from dataclasses import dataclass

from grambench.events.state import RunState, TrialState
from grambench.text import safe_text
from grambench.tui.palette import DARK, LIGHT, Look, Tones, looks
from grambench.tui.view import PLAIN, View
from grambench.views import comparison_table


@dataclass(frozen=True, slots=True)
class Scene:
    """One state, ready to be drawn."""

    state: RunState
    looks: dict[str, Look]
    tones: Tones
    seeds: bool
    """Several seeds run, so that a trial's name carries its seed."""
    reported: bool
    """report.json is written."""
    gone: bool
    """The run has not ended, but its supervisor is no process of this machine."""
    view: View = PLAIN
    """How the viewer wants to see it."""

    @classmethod
    def of(
        cls, state: RunState, dark: bool, reported: bool = False, gone: bool = False, view: View = PLAIN
    ) -> "Scene":
        """The scene of a state under the dark or the light theme."""
        strategies = {trial.label: trial.strategy for trial in state.trials.values()}
        tones = DARK if dark else LIGHT
        return cls(
            state, looks(strategies, dark), tones, comparison_table.several_seeds(state), reported, gone, view
        )

    def look(self, trial: TrialState) -> Look:
        """Colour and marker of a trial."""
        return self.looks[trial.label]

    def title(self, trial: TrialState, limit: int = 24) -> str:
        """`gram-1e`, or `gram-1e s1` where several seeds run."""
        name = safe_text(trial.label, limit)
        return f"{name} s{trial.seed}" if self.seeds else name

    def words(self, trial: TrialState) -> str:
        """The trial's state in one word."""
        return comparison_table.state_word(self.state, trial)

    @property
    def setting_up(self) -> bool:
        """True until the first trial begins."""
        return all(trial.phase is None for trial in self.state.trials.values())
