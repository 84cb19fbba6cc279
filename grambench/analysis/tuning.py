"""What the trials of a tuning say: which settings to choose, and what a budget of another size would find."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from grambench.analysis.confidence import finite
from grambench.config.spec import Spec
from grambench.config.tune import Range
from grambench.config.tuning import TuningPlan, drawn, own_value, position, tuning_label
from grambench.events.state import RunState
from grambench.metrics.catalogue import Metric

_EDGE = 0.1
"""A selected value within this share of its range's logarithm from an end lies at the edge."""


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


def tuned_contestants(plan: TuningPlan, spec: Spec, state: RunState) -> list[TunedContestant]:
    """Every contestant of an ended tuning run.

    Args:
        plan: of the tuning.
        spec: of its final run.
        state: of the tuning run.
    """
    found = []
    for entry in spec.entries:
        settings = [drawn(plan, spec, entry, draw) for draw in range(plan.budget)]
        trials = [_trial(plan, state, entry.label, draw, own) for draw, own in enumerate(settings)]
        best = selected(trials, state.metric)
        found.append(
            TunedContestant(
                entry.label, entry.strategy, tuple(trials), best, tuple(_cautions(plan, spec, trials, best))
            )
        )
    return found


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


def _trial(
    plan: TuningPlan, state: RunState, label: str, draw: int, settings: Mapping[str, Any]
) -> TuningTrial:
    trial = state.trials.get(f"{tuning_label(label, draw)}.s{plan.seed}")
    if trial is None:
        return TuningTrial(draw, settings, "", "it did not begin", None, 0.0)
    done = trial.outcome in ("completed", "early-stopped") and trial.best is not None
    score = trial.best.metrics.get(state.select_by) if done and trial.best else None
    kept = score if score is not None and math.isfinite(score) else None
    return TuningTrial(draw, settings, trial.outcome or "", trial.reason, kept, trial.train_s)


def _cautions(
    plan: TuningPlan, spec: Spec, trials: Sequence[TuningTrial], best: TuningTrial | None
) -> Iterable[str]:
    failed = [trial for trial in trials if trial.validation is None]
    if best is None:
        yield f"none of its {len(trials)} trials gave a validation score: the final run leaves it out"
    elif failed:
        how = " and ".join(sorted({trial.outcome or "not begun" for trial in failed}))
        yield f"{len(failed)} of its {len(trials)} trials gave no validation score ({how})"
    for key, value in (best.settings if best else {}).items():
        where, own = plan.space[key], own_value(spec, key)
        if isinstance(where, Range) and not _EDGE <= (at := position(where, own, value)) <= 1 - _EDGE:
            end = "lower" if at < _EDGE else "upper"
            yield f"the selected {key} = {value:g} lies at the {end} edge of its range: widen [tune]"
