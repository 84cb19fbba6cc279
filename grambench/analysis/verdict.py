"""Does it pay? The word for a difference of quality, and the conclusion from quality and time together."""

from dataclasses import dataclass
from typing import Literal

from grambench.analysis.confidence import ConfidenceInterval
from grambench.analysis.paired import FEWEST_FOR_SIGN_FLIP
from grambench.analysis.time_to_target import TimeToTarget

MARGIN_AUC = 0.002
"""Smaller differences of AUC do not matter, unless a preset says otherwise."""
Verdict = Literal["better", "as good", "worse", "undecided"]
Conclusion = Literal["pays", "does not pay", "undecided", "not comparable"]


def verdict(interval: ConfidenceInterval | None, margin: float = MARGIN_AUC) -> Verdict:
    """Judge a difference candidate - reference of a score that is better when larger.

    "As good" means surely not lower by the margin or more. Without an interval nothing is decided.
    """
    if interval is None:
        return "undecided"
    if interval.low > 0:
        return "better"
    if interval.low > -margin:
        return "as good"
    return "worse" if interval.high < 0 else "undecided"


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What a candidate did against its reference over the seeds that both ran."""

    candidate: str
    reference: str
    seeds: int
    time: TimeToTarget | None = None
    difference: float | None = None
    """Mean difference of the score, candidate - reference."""
    quality: ConfidenceInterval | None = None
    """Its interval over seeds."""
    margin: float = MARGIN_AUC
    metric: str = "AUC"
    target: str = ""
    """What the target is, for people; empty: the score of the reference minus the margin."""
    not_comparable: str = ""
    """Why the two cannot be compared, as a clause; empty: they can."""

    @property
    def verdict(self) -> Verdict:
        """The verdict on quality."""
        return verdict(self.quality, self.margin)

    @property
    def conclusion(self) -> Conclusion:
        """Whether the candidate pays: surely faster to the target, and surely not worse by the margin.

        Both claims must hold, each at its own level (an intersection-union test, Berger 1982): neither is
        corrected for the other. One seed has no interval, so it never pays.
        """
        if self.not_comparable:
            return "not comparable"
        speed = self.time.interval if self.time else None
        if self.verdict == "worse" or self._never_arrives or (speed and speed.high < 0):
            return "does not pay"
        faster = speed is not None and speed.low > 0
        return "pays" if faster and self.verdict in ("better", "as good") else "undecided"

    @property
    def _never_arrives(self) -> bool:
        """No seed of the candidate reached the target and most of the reference did, over enough seeds."""
        time = self.time
        if time is None or time.seeds < FEWEST_FOR_SIGN_FLIP:
            return False
        return not time.candidate_reached and 2 * time.reference_reached > time.seeds
