"""The validation score that "seconds to a target" waits for."""

import math
from typing import Any, NamedTuple

from grambench.analysis import comparison
from grambench.events.state import RunState, TrialState

SHARE_OF_E2E = 0.99


class Target(NamedTuple):
    """A target of the selecting metric (None: none) and where it comes from, or why it is missing."""

    score: float | None
    source: str


def target_of(state: RunState, trial: TrialState, spec: dict[str, Any]) -> Target:
    """`evaluation.target_auc`, else 99 % of the best validation score of e2e with the same seed."""
    evaluation, metric = spec.get("evaluation"), state.metric
    asked = evaluation.get("target_auc") if isinstance(evaluation, dict) else None
    if isinstance(asked, int | float):
        return Target(float(asked), "evaluation.target_auc")
    reference = comparison.reference_of(state, trial, "e2e")
    if reference is None:
        return Target(None, f"no evaluation.target_auc, and e2e did not run with seed {trial.seed}")
    best = reference.best.metrics.get(metric.name) if reference.best else None
    if best is None or not math.isfinite(best):
        lacks = f"{reference.name} has no validation {metric.title}"
        return Target(None, f"no evaluation.target_auc, and {lacks}")
    so_far = "" if reference.ended else " so far"
    source = f"99 % of the best validation {metric.title}{so_far} of {reference.name}"
    return Target(metric.nearly(best, SHARE_OF_E2E), source)
