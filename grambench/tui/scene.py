"""What every widget is given to draw: the state, and how strategies and quiet things look."""

from dataclasses import dataclass

from grambench.events.state import RunState, TrialState
from grambench.events.types import AuditFinished
from grambench.runner import standings, words
from grambench.text import safe_text
from grambench.tui.palette import DARK, LIGHT, Look, Tones, looks


def audit_words(audit: AuditFinished) -> str:
    """`1S = E2E to 3e-15`: the verdict and the largest relative difference."""
    relative = (audit.encoder_relative, audit.filter_relative)
    found = [value for value in relative if value is not None]
    if len(found) < len(relative):
        return "1S ≠ E2E, a gradient is not finite"
    worst = words.tolerance(max(found))
    return f"1S = E2E to {worst}" if audit.equivalent else f"1S ≠ E2E, off by {worst}"


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
    """The run has not ended, but its runner is no process of this machine."""

    @classmethod
    def of(cls, state: RunState, dark: bool, reported: bool = False, gone: bool = False) -> "Scene":
        """The scene of a state under the dark or the light theme."""
        strategies = [trial.strategy for trial in state.trials.values()]
        tones = DARK if dark else LIGHT
        return cls(state, looks(strategies, dark), tones, standings.several_seeds(state), reported, gone)

    def look(self, trial: TrialState) -> Look:
        """Colour and marker of a trial."""
        return self.looks[trial.strategy]

    def title(self, trial: TrialState, limit: int = 24) -> str:
        """`gram-1e`, or `gram-1e s1` where several seeds run."""
        name = safe_text(trial.strategy, limit)
        return f"{name} s{trial.seed}" if self.seeds else name

    def words(self, trial: TrialState) -> str:
        """The trial's state in one word."""
        return standings.state_word(self.state, trial)

    @property
    def setting_up(self) -> bool:
        """True until the first trial begins."""
        return all(trial.phase is None for trial in self.state.trials.values())
