"""`training.until_decided`: when the supervisor looks at the scores, and what it then knows."""

from collections.abc import Collection, Sequence
from typing import Any

from grambench.analysis.looks import Look, looks
from grambench.config.spec import FEWEST_LOOKED_AT, Spec
from grambench.config.trial_name import TrialName
from grambench.events.state import RunState
from grambench.events.types import DecisionLooked


class Decision:
    """Looks once after each finished seed from the 6th on, until the run is decided.

    A seed counts as finished when it and every one before it have ended, so that seeds that run side by side
    enter in the order that was fixed before the first.
    """

    def __init__(self, spec: Spec, before: Sequence[DecisionLooked]) -> None:
        """`before`: the looks of earlier supervisors of the run."""
        self._spec, self._most = spec, spec.training.until_decided
        self._looked = max((look.seeds for look in before), default=FEWEST_LOOKED_AT - 1)
        self.decided_after = next((look.seeds for look in before if look.decided), None)
        """Seeds that decided the run, a count."""

    def is_due(self, unfinished: Collection[str]) -> bool:
        """Whether seeds have been finished since the last look; `unfinished`: trials that wait or run."""
        due = self._most is not None and self.decided_after is None
        return due and self._finished(unfinished) > self._looked

    def look(self, state: RunState, unfinished: Collection[str]) -> DecisionLooked:
        """Compare the finished seeds."""
        assert self._most is not None  # it is due
        training, margin = self._spec.training, self._spec.evaluation.margin_auc
        self._looked = self._finished(unfinished)
        found = looks(state, training.seeds[: self._looked], self._most, margin)
        asked = [one for one in found if training.decide in (None, one.label)]
        decided = bool(asked) and all(one.verdict != "undecided" for one in asked)
        self.decided_after = self._looked if decided else None
        return DecisionLooked(self._looked, self._most, [_row(one) for one in found], decided)

    def left_out(self, pending: Collection[str]) -> list[str]:
        """Trials of the seeds that a decided run does not need."""
        if self.decided_after is None:
            return []
        needed = self._spec.training.seeds[: self.decided_after]
        return [trial for trial in pending if _seed(trial) not in needed]

    def _finished(self, unfinished: Collection[str]) -> int:
        open_seeds = {_seed(trial) for trial in unfinished}
        seeds = self._spec.training.seeds
        return next((count for count, seed in enumerate(seeds) if seed in open_seeds), len(seeds))


def _row(look: Look) -> dict[str, Any]:
    low, high = (look.interval.low, look.interval.high) if look.interval else (None, None)
    return {
        "label": look.label,
        "seeds": look.seeds,
        "difference": look.difference,
        "low": low,
        "high": high,
        "verdict": look.verdict,
    }


def _seed(trial: str) -> int | None:
    name = TrialName.parse(trial)
    return name.seed if name else None
