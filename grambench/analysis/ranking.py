"""Which label is best by its test scores, and which are not told apart from it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from grambench.analysis.paired import FEWEST_FOR_T, t_interval
from grambench.events.state import RunState

FEWEST_LABELS = 3
"""With two, the comparison with the reference says it all."""
_LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class Place:
    """A label's place by its mean test score, in the score's own unit."""

    label: str
    mean: float
    seeds: int
    behind: float | None
    """Mean by which the best label is better with the same seed; None: the best, or without a common seed."""
    low: float | None
    """Lower end of the interval of `behind`; None: fewer than 3 common seeds."""
    high: float | None
    told_apart: bool
    """The interval excludes no difference, or a negative one."""


def places(scores: Mapping[str, Mapping[int, float]], better: int = 1) -> list[Place]:
    """Labels by their mean, best first; empty for fewer than three labels.

    The best is chosen by the scores that then compare it, so the t intervals hold for all pairs of labels
    together (Bonferroni, 95 %), whichever comes first. A label without a seed that another has comes behind
    those with all: its mean is that of other seeds, perhaps the easy ones, on which it did not diverge.

    Args:
        scores: label -> seed -> score.
        better: 1 where a higher score is better, else -1.
    """
    means = {label: fmean(of_seeds.values()) for label, of_seeds in scores.items() if of_seeds}
    if len(means) < FEWEST_LABELS:
        return []
    most = max(map(len, scores.values()))
    order = sorted(means, key=lambda label: (len(scores[label]) < most, -better * means[label]))
    level = 1 - (1 - _LEVEL) / (len(means) * (len(means) - 1) / 2)
    return [_place(label, order[0], scores, means[label], better, level) for label in order]


def _place(
    label: str, best: str, scores: Mapping[str, Mapping[int, float]], mean: float, better: int, level: float
) -> Place:
    own, top = scores[label], scores[best]
    differences = [better * (top[seed] - own[seed]) for seed in sorted(own.keys() & top.keys())]
    if label == best or not differences:
        return Place(label, mean, len(own), None, None, None, False)
    interval = t_interval(differences, level) if len(differences) >= FEWEST_FOR_T else None
    low, high = (interval.low, interval.high) if interval else (None, None)
    return Place(label, mean, len(own), fmean(differences), low, high, low is not None and low > 0)


def scores_by_label(state: RunState) -> dict[str, dict[int, float]]:
    """Label -> seed -> test score by the metric that selects, the mean of repeats; without null tests."""
    found: dict[str, dict[int, list[float]]] = {}
    for trial in state.trials.values():
        score = trial.test.metrics.get(state.metric.name) if trial.test else None
        if score is not None and not trial.is_null:
            found.setdefault(trial.label, {}).setdefault(trial.seed, []).append(score)
    return {label: {seed: fmean(v) for seed, v in of_seeds.items()} for label, of_seeds in found.items()}


def ranking_sentence(found: Sequence[Place], title: str) -> str:
    """Who won, and how surely; empty where nothing is ranked.

    Args:
        found: from `places`.
        title: of the score.
    """
    if not found:
        return ""
    best, *others = found
    seeds = "1 seed" if best.seeds == 1 else f"mean of {best.seeds} seeds"
    words = f"Best by test {title}: {best.label}, {best.mean:.4f} ({seeds})."
    behind = [_behind(place) for place in others if place.told_apart]
    open_ = [place.label for place in others if not place.told_apart]
    if open_:
        words += f" Not told apart from it: {', '.join(open_)}."
    if behind:
        words += f" Behind it: {', '.join(behind)} (simultaneous 95 % intervals)."
    return words


def _behind(place: Place) -> str:
    return f"{place.label} by {place.behind:.4f} ({place.low:.4f} to {place.high:.4f})"
