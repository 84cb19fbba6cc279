"""Intervals of speed-ups for the dashboard, which asks at every refresh: only changes are computed."""

from collections.abc import Sequence
from zlib import crc32

from grambench.analysis.compared import Within, cost_of, within_of
from grambench.analysis.confidence import ConfidenceInterval
from grambench.analysis.pairs import (
    Pair,
    cost_of_trial,
    log_costs,
    null_log_ratios,
    race_of,
    reference_label,
    trained_alike,
)
from grambench.analysis.rounds import paired_rounds
from grambench.events.rounds import Round
from grambench.events.state import RunState, TrialState

Key = tuple[Round | int | None, ...]
_RACES: dict[str, tuple[Key, Within]] = {}
"""Trial -> what its race said, and of which rounds."""
_FRESH = 128
"""Rounds up to which a race counts to its last round at once."""


class LiveIntervals:
    """Of one state of the run."""

    def __init__(self, state: RunState) -> None:
        self._state, self._reference = state, reference_label(state)
        ended = [trial for trial in state.trials.values() if trial.ended or state.finished]
        self._ended, self._costs, self._nulls = ended, log_costs(ended), null_log_ratios(state)
        self._between: dict[str, ConfidenceInterval | None] = {}

    def between(self, label: str) -> ConfidenceInterval | None:
        """Of the log ratio over fresh processes whose pairs have ended; in the end that of the report."""
        if label not in self._between:
            others = [costs for name, costs in self._costs.items() if name not in (label, self._reference)]
            self._between[label] = cost_of(self._pairs(label), others, self._nulls).between
        return self._between[label]

    def within(self, trial: TrialState) -> Within | None:
        """What its race alone says of a trial and its reference; None: they do not race."""
        reference = self._reference_of(trial)
        if reference is None or not trial.rounds or not reference.rounds:
            return None
        own, other = (self._looked_at(trial.name, one.rounds) for one in (trial, reference))
        key: Key = (len(own), own[-1], len(other), other[-1])
        if trial.name not in _RACES or _RACES[trial.name][0] != key:
            pair = Pair(seed=trial.seed, repeat=trial.repeat, **race_of(paired_rounds(own, other)))
            _RACES[trial.name] = key, within_of(pair)
        return _RACES[trial.name][1]

    def _looked_at(self, name: str, rounds: Sequence[Round]) -> Sequence[Round]:
        """All rounds of a short race or a finished run; of a long one all but the last 64th.

        So a long race is gone through once for many rounds, and never with every trial at the same refresh.
        """
        step = 1 if self._state.finished else max(1, (1 << len(rounds).bit_length()) // _FRESH)
        behind = (len(rounds) - crc32(name.encode())) % step
        return rounds[: len(rounds) - behind]

    def _reference_of(self, trial: TrialState) -> TrialState | None:
        """None for the reference itself, for null tests, and where their rates are not compared."""
        if self._reference in (None, trial.label) or trial.is_null:
            return None
        if not trained_alike(self._state, trial.label, str(self._reference)):
            return None
        return self._state.named(trial.trial_name.of(str(self._reference)))

    def _pairs(self, label: str) -> list[Pair]:
        """Costs alone."""
        found = []
        for trial in self._ended:
            reference = self._reference_of(trial) if trial.label == label else None
            if reference is not None and (reference.ended or self._state.finished):
                own, other = cost_of_trial(trial), cost_of_trial(reference)
                found.append(Pair(seed=trial.seed, candidate_cost=own, reference_cost=other))
        return found
