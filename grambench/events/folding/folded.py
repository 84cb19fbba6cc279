"""The state of a fold, and how handlers find the trial or worker that an event changes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from grambench.config.trial_name import NULL, TrialName
from grambench.events import types as ev
from grambench.events.state import SETUP, RunState, SetupState, TrialState
from grambench.text import safe_text


@dataclass(slots=True)
class Folded:
    """The complete state of a fold, enough to continue it."""

    state: RunState = field(default_factory=RunState)
    start_ns: dict[str, int] = field(default_factory=dict)
    """Boot -> its monotonic time when the run's clock was at 0."""
    recent: dict[str, list[ev.Progress]] = field(default_factory=dict)
    """Trial -> its newest counters, from which the current rate is computed."""
    turns: int = 0
    """Turns that the newest supervisor has granted."""
    turns_before: int = 0
    """Turns that those before it granted."""

    def trial(self, name: str) -> TrialState:
        """The trial of a name; for an unknown trial, a state that is discarded."""
        if name not in self.state.trials and not self.state.run:  # the trials have not been named yet
            self.add_trial(name, {})
        if name in self.state.trials:
            return self.state.trials[name]
        message = f"The logs name a trial that this run does not have: {safe_text(name, 80)!r}."
        self.state.warnings["unknown-trial"] = f"{message} What they say about it is left out."
        return TrialState(name, "", 0)

    def worker(self, name: str) -> SetupState | TrialState:
        """The setup, or the trial of a name."""
        return self.state.setup if name == SETUP else self.trial(name)

    def add_trial(self, name: str, strategies: Mapping[str, str]) -> None:
        """Add the trial of a name unless it is there; `strategies`: label -> strategy, where they differ."""
        trial = TrialName.parse(name)
        if trial is not None:
            strategy = strategies.get(trial.repeated.label, trial.repeated.label)
            known = TrialState(name, with_null(trial, strategy), trial.seed, trial.repeat)
            self.state.trials.setdefault(name, known)

    def release(self, name: str) -> None:
        """Take the turn from a trial, or from the setup."""
        holders = self.state.holders
        if name in holders:
            holders.remove(name)
        if self.state.active == name:
            self.state.active = holders[-1] if holders else None


Handler = Callable[[Folded, str, Any], None]
"""Takes an event of its type, and the log that it is from (empty: the supervisor's, else a trial's name)."""


def with_null(trial: TrialName | TrialState, strategy: str) -> str:
    """The strategy's name for this trial; a null test's has a prefix."""
    return NULL + strategy if trial.is_null else strategy
