"""`training.until_decided`: what the test scores of the finished seeds say about every label beside e2e."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from grambench.analysis.comparison import reference_label, reference_of
from grambench.analysis.confidence import ConfidenceInterval
from grambench.analysis.paired import repeated_interval
from grambench.analysis.verdict import Verdict, verdict
from grambench.events.state import RunState, TrialState


@dataclass(frozen=True, slots=True)
class Look:
    """One comparison after some seeds; differences are label - reference, better when larger."""

    label: str
    seeds: int
    """In which both sides have a test score, a count."""
    difference: float | None
    """Mean over these seeds, of the metric that selects; None: there are none."""
    interval: ConfidenceInterval | None
    """Valid at all looks together; None below 6 seeds."""
    verdict: Verdict


def looks(
    state: RunState, seeds: Sequence[int], most: int, margin: float, strategy: str = "e2e"
) -> list[Look]:
    """Every label against the reference of `strategy`, in running order, without null tests.

    Args:
        state: of the run.
        seeds: that every trial has finished.
        most: seeds after which the run ends in any case, 6 to 30.
        margin: difference of the score that does not matter.
    """
    reference = reference_label(state, strategy)
    labels = dict.fromkeys(t.label for t in state.trials.values() if not t.is_null and t.label != reference)
    return [_look(state, label, seeds, most, margin, strategy) for label in labels]


def _look(state: RunState, label: str, seeds: Sequence[int], most: int, margin: float, strategy: str) -> Look:
    found = seed_differences(state, label, strategy)
    differences = [found[seed] for seed in seeds if seed in found]
    interval = repeated_interval(differences, most)
    mean = fmean(differences) if differences else None
    return Look(label, len(differences), mean, interval, verdict(interval, margin))


def seed_differences(state: RunState, label: str, strategy: str = "e2e") -> dict[int, float]:
    """Seed -> difference of the test scores, better when larger, of a label and the reference of `strategy`.

    The mean over the repeats of a seed. A seed in which no pair of both sides reached its end has none: one
    failed, diverged or was skipped.
    """
    found: dict[int, list[float]] = {}
    for trial in state.trials.values():
        reference = reference_of(state, trial, strategy)
        own, other = _score(state, trial), _score(state, reference)
        if trial.label == label and own is not None and other is not None:
            found.setdefault(trial.seed, []).append(state.metric.better * (own - other))
    return {seed: fmean(differences) for seed, differences in found.items()}


def _score(state: RunState, trial: TrialState | None) -> float | None:
    """Of the test part, by the metric that selects."""
    if trial is None or trial.test is None or trial.outcome not in ("completed", "early-stopped"):
        return None
    return trial.test.metrics.get(state.select_by)
