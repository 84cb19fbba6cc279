"""What the trials of a tuning say: which settings to choose, and what a budget of another size would find."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from grambench.analysis.confidence import finite
from grambench.metrics.catalogue import Metric


@dataclass(frozen=True, slots=True)
class TuningTrial:
    """A contestant with one draw."""

    draw: int
    """From 0, the contestant's own values."""
    settings: Mapping[str, Any]
    """Dotted setting -> drawn value."""
    outcome: str
    """How it ended; empty: it has not."""
    reason: str
    """Why, if it did not complete."""
    validation: float | None
    """Its best validation score; None if it failed or diverged."""
    train_s: float
    """Its training seconds."""


@dataclass(frozen=True, slots=True)
class TunedContestant:
    """A contestant, its trials, and the draw selected by validation."""

    label: str
    strategy: str
    trials: tuple[TuningTrial, ...]
    selected: TuningTrial | None
    """None: all of its trials failed."""
    cautions: tuple[str, ...]
    """What a careful reader should know, in sentences."""

    @property
    def train_s(self) -> float:
        """Training seconds that its tuning took."""
        return math.fsum(trial.train_s for trial in self.trials)


def selected(trials: Iterable[TuningTrial], metric: Metric) -> TuningTrial | None:
    """The trial with the best validation score, of equal ones the cheaper; None: all failed."""
    scored = [(metric.better * t.validation, -t.train_s, t) for t in trials if t.validation is not None]
    return max(scored, key=lambda row: row[:2])[2] if scored else None


def expected_bests(contestant: TunedContestant, floor: float, metric: Metric) -> list[float]:
    """Expected best validation score with 1, 2, … of its trials.

    Args:
        contestant: with one trial or more.
        floor: score of a trial that failed: the worst of all trials of the tuning.
        metric: the score.
    """
    scores = [metric.better * (floor if t.validation is None else t.validation) for t in contestant.trials]
    return [metric.better * expected_best(scores, size) for size in range(1, len(scores) + 1)]


def expected_best(scores: Iterable[float], trials: int) -> float:
    """Expected best score of `trials` of these tuning trials, drawn without replacement.

    Dodge et al. 2019, Tang et al. 2020. Larger scores are better; negate a loss.

    Raises:
        ValueError: `trials` is not 1 to the number of scores, or a score is not finite.
    """
    ordered = sorted(finite(scores))
    if not 1 <= trials <= len(ordered):
        raise ValueError(f"the best of {trials} of {len(ordered)} trials is not defined")
    chances = math.comb(len(ordered), trials)
    return math.fsum(score * math.comb(i, trials - 1) / chances for i, score in enumerate(ordered))
