"""What every widget draws: the state of the run, and the colours of strategies and of everything else."""

from dataclasses import dataclass, replace

from grambench.events.state import RunState, TrialState
from grambench.reports.verdict import Verdict
from grambench.text import safe_text
from grambench.tui.view import PLAIN, View
from grambench.views import comparison_table
from grambench.views.palette import DARK, LIGHT, Look, Tones, looks


@dataclass(frozen=True, slots=True)
class Scene:
    """One state, ready to be drawn."""

    state: RunState
    looks: dict[str, Look]
    tones: Tones
    seeds: bool
    """There are several seeds or repeats, so a trial's name includes its seed."""
    reported: bool
    """report.json has been written."""
    gone: bool
    """The run has not ended, but its supervisor is not a process of this machine."""
    is_over: bool = False
    """There is nothing to pause or stop: the run has ended, is a replay, or its supervisor is gone."""
    share_read: float = 1.0
    """How much of the log has been read, 0 to 1."""
    sides: bool = True
    """Throughput and memory, the most expensive plots, are to be redrawn too."""
    verdict: Verdict | None = None
    """What the run says; None: it is in progress, and nobody has asked."""
    view: View = PLAIN
    """The viewer's settings."""

    @classmethod
    def of(
        cls,
        state: RunState,
        dark: bool,
        *,
        reported: bool = False,
        gone: bool = False,
        is_over: bool = False,
        share_read: float = 1.0,
        sides: bool = True,
        verdict: Verdict | None = None,
    ) -> "Scene":
        """The scene of a state under the dark or the light theme."""
        strategies = {trial.label: trial.strategy for trial in state.trials.values()}
        tones = DARK if dark else LIGHT
        seeds = comparison_table.several_seeds(state)
        return cls(
            state, looks(strategies, dark), tones, seeds, reported, gone, is_over, share_read, sides, verdict
        )

    def look(self, trial: TrialState) -> Look:
        """Colour and marker of a trial; muted while another label is highlighted."""
        look = self.looks[trial.label]
        return replace(look, colour=self.tones.muted) if self.is_dimmed(trial) else look

    def is_dimmed(self, trial: TrialState) -> bool:
        """True while another label is highlighted."""
        return self.view.highlighted not in (None, trial.label)

    def title(self, trial: TrialState, limit: int = 24) -> str:
        """`gram-1e`, or `gram-1e s1` where several seeds run, of a repeat `gram-1e s1 r2`."""
        name = safe_text(trial.label, limit)
        return f"{name} s{comparison_table.seed_of(trial)}" if self.seeds else name

    def state_word(self, trial: TrialState) -> str:
        """The trial's state in one word."""
        return comparison_table.state_word(self.state, trial)

    @property
    def setting_up(self) -> bool:
        """True until the first trial begins."""
        return all(trial.phase is None for trial in self.state.trials.values())


EMPTY = Scene.of(RunState(), dark=True)
"""Before anything is read."""
