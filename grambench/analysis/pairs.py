"""Pairs of trials with the same seed, each in a process of its own: the units of inference."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from grambench.analysis import comparison
from grambench.analysis.anytime import block_log_ratios
from grambench.analysis.comparison import REFERENCES, group_sizes, samples_per_second
from grambench.analysis.rounds import paired_rounds
from grambench.analysis.time_to_target import Wait, arrival
from grambench.analysis.verdict import MARGIN_AUC
from grambench.events.rounds import Round
from grambench.events.state import RunState, TrialState
from grambench.metrics.catalogue import Metric


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrived:
    """When one trial reached the target."""

    seconds: float | None
    """Training seconds, read between validations; None: it did not."""
    budget_s: float
    """Training seconds of the whole trial."""
    bracket_s: float | None = None
    """Training seconds between the last validation below the target and the first one that is not."""
    validations: int = 0
    """Validations up to the target, or all of them where it was missed; a count."""

    @property
    def wait(self) -> Wait:
        """For `time_to_target`."""
        return Wait(self.seconds or None, self.budget_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class UserError:
    """What other test users would change about the difference of two trained models."""

    half_width: float
    """Of its 95 % interval, in the unit of the score."""
    clusters: int
    """Users or students, a count."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A candidate and its reference; differences are candidate - reference, larger is better."""

    seed: int
    repeat: int = 1
    run: str = ""
    """The run that it comes from, where several are merged."""
    candidate_cost: float | None = None
    """Training seconds a sample over the closed windows; None: not measured."""
    reference_cost: float | None = None
    difference: float | None = None
    """Of the test scores; None: one side has none."""
    users: UserError | None = None
    candidate: Arrived | None = None
    reference: Arrived | None = None
    blocks: tuple[float, ...] = ()
    """Log ratios of cost of the blocks of a race."""
    rounds: int = 0
    """Rounds of the race that both finished, a count."""
    rounds_left_out: int = 0
    """Of these, rounds in which something disturbed the race."""

    @property
    def log_ratio(self) -> float | None:
        """Log of the rate of the candidate over that of the reference; above 0 the candidate is faster."""
        if not self.candidate_cost or not self.reference_cost:
            return None
        return math.log(self.reference_cost / self.candidate_cost)


@dataclass(frozen=True, slots=True)
class Target:
    """The validation score that "seconds to the target" waits for."""

    score: float | None
    """None if there is no target."""
    source: str
    """Where it comes from, or why it is missing."""
    words: str = ""
    """For sentences, such as `e2e's AUC − .002`; empty: the number itself."""


NO_TARGET = Target(None, "no target was asked for")


def reference_label(state: RunState) -> str | None:
    """What the run's trials are compared with: e2e, else e2e-unique, else the first of the run."""
    for strategy in REFERENCES:
        label = comparison.reference_label(state, strategy)
        if label is not None:
            return label
    return next((trial.label for trial in state.trials.values() if not trial.is_null), None)


def candidate_labels(state: RunState) -> list[str]:
    """The other labels of the run in running order, without null tests."""
    reference = reference_label(state)
    labels = dict.fromkeys(trial.label for trial in state.trials.values() if not trial.is_null)
    return [label for label in labels if label != reference]


def has_begun(state: RunState, label: str) -> bool:
    """Whether a label and the reference have trained with the same seed, and can be compared."""
    against = reference_label(state)
    trials = [trial for trial in state.trials.values() if trial.label == label and trial.progress]
    references = (state.named(trial.trial_name.of(against)) for trial in trials if against is not None)
    return any(reference is not None and reference.progress is not None for reference in references)


def margin_of(spec: dict[str, Any]) -> float:
    """`evaluation.margin_auc`."""
    margin = _evaluation(spec).get("margin_auc")
    return float(margin) if isinstance(margin, int | float) else MARGIN_AUC


def target_of(state: RunState, spec: dict[str, Any]) -> Target:
    """`evaluation.target_auc`, else the median over seeds of the reference's best validation less the margin.

    One number for all seeds and strategies. Provisional until the reference has ended with every seed.
    """
    label = reference_label(state)
    references = [t for t in state.trials.values() if t.label == label and t.repeat == 1]
    bests = [best for trial in references if (best := _best(trial, state.metric)) is not None]
    return target_from(spec, state.metric, label, bests, all(trial.ended for trial in references))


def target_from(
    spec: dict[str, Any], metric: Metric, label: str | None, bests: list[float], ended: bool
) -> Target:
    """The same from the reference's best validation of each seed; `ended`: there will be no better one."""
    asked, margin = _evaluation(spec).get("target_auc"), margin_of(spec)
    if isinstance(asked, int | float):
        return Target(float(asked), "evaluation.target_auc", f"{metric.title} {asked:g}")
    if label is None or not bests:
        return Target(
            None, f"no evaluation.target_auc, and {label or 'the run'} has no validation {metric.title}"
        )
    score = metric.better * median(metric.better * best for best in bests) - metric.better * margin
    so_far = "" if ended else " so far"
    of = f"the best validation {metric.title}{so_far} of {label}"
    source = (
        f"{of} less the margin"
        if len(bests) == 1
        else f"the median over {len(bests)} seeds of {of} less the margin"
    )
    return Target(score, source)


def arrived(trial: TrialState, target: float, metric: Metric) -> Arrived:
    """When a trial reached a target, read linearly between its validations made monotone."""
    read = [(each.train_s, each.metrics.get(metric.name)) for each in trial.evaluations]
    return arrived_on(read, trial.train_s, target, metric)


def arrived_on(
    validations: Iterable[tuple[float, float | None]], budget_s: float, target: float, metric: Metric
) -> Arrived:
    """The same of (training seconds, score) of each validation, and the training seconds of the trial."""
    curve = [
        (seconds, metric.better * score)
        for seconds, score in validations
        if score is not None and math.isfinite(score)
    ]
    seconds, scores = [x for x, _ in curve], [y for _, y in curve]
    when = arrival(seconds, scores, metric.better * target)
    if when is None:
        return Arrived(seconds=None, budget_s=budget_s, validations=len(curve))
    count = sum(x < when.seconds for x in seconds) + 1
    return Arrived(
        seconds=when.seconds,
        budget_s=budget_s,
        bracket_s=when.bracket_s,
        validations=min(count, len(curve)),
    )


def seconds_to(trial: TrialState, target: float, metric: Metric) -> float | None:
    """Training seconds to a target; None: it was not reached."""
    return arrived(trial, target, metric).seconds


def pairs_of(
    state: RunState, label: str, target: Target, users: dict[str, UserError] | None = None
) -> list[Pair]:
    """Every pair of a label with the reference, in running order.

    Args:
        state: of the run.
        label: of the candidate.
        target: of the run.
        users: name of a trial -> error by test users of its difference from its reference, where it is known.
    """
    against = reference_label(state)
    found = []
    for trial in state.trials.values():
        if trial.label != label or against is None:
            continue
        reference = state.named(trial.trial_name.of(against))
        if reference is not None:
            found.append(pair_of(state, trial, reference, target, (users or {}).get(trial.name)))
    return found


def pair_of(
    state: RunState, trial: TrialState, reference: TrialState, target: Target, users: UserError | None = None
) -> Pair:
    """A trial and what it is compared with."""
    score, reached = target.score, _arrived_at(target, state.metric)
    alike = trained_alike(state, trial.label, reference.label)
    return Pair(
        seed=trial.seed,
        repeat=trial.repeat,
        candidate_cost=cost_of_trial(trial) if alike else None,
        reference_cost=cost_of_trial(reference) if alike else None,
        difference=_difference(trial, reference, state.metric),
        users=users,
        candidate=reached(trial) if score is not None else None,
        reference=reached(reference) if score is not None else None,
        **race_of(paired_rounds(trial.rounds, reference.rounds) if alike else []),
    )


def trained_alike(state: RunState, *labels: str) -> bool:
    """Whether one number of ranks has trained all trials of these labels: else no rates are compared."""
    return len(group_sizes(trial for trial in state.trials.values() if trial.label in labels)) < 2


def race_of(rounds: Sequence[tuple[Round, Round]]) -> dict[str, Any]:
    """`blocks`, `rounds` and `rounds_left_out` of a pair."""
    left_out = [number for number, (own, other) in enumerate(rounds) if own.disturbed or other.disturbed]
    own, other = ([(each[side].train_s, each[side].samples) for each in rounds] for side in (0, 1))
    return {
        "blocks": tuple(block_log_ratios(own, other, left_out)),
        "rounds": len(rounds),
        "rounds_left_out": len(left_out),
    }


def _arrived_at(target: Target, metric: Metric) -> Any:
    return lambda trial: arrived(trial, target.score or 0.0, metric)


def cost_of_trial(trial: TrialState) -> float | None:
    """Training seconds a sample; None also for numbers that no clock has measured, from a damaged log."""
    rate = samples_per_second(trial)
    cost = 1 / rate if rate and rate > 0 else 0.0
    return cost if 0 < cost < math.inf else None


def log_costs(trials: Iterable[TrialState]) -> dict[str, list[float]]:
    """Label -> log of the training seconds a sample of each of its processes, without null tests.

    Empty where several numbers of ranks have trained them.
    """
    found: dict[str, list[float]] = {}
    every = list(trials)
    for trial in every if len(group_sizes(every)) < 2 else ():
        cost = None if trial.is_null else cost_of_trial(trial)
        if cost is not None:
            found.setdefault(trial.label, []).append(math.log(cost))
    return found


def null_log_ratios(state: RunState) -> list[float]:
    """Log ratios of the rate of each null test over that of what it repeats."""
    found = []
    for trial in state.trials.values():
        repeated = state.named(trial.trial_name.repeated) if trial.is_null else None
        ratio = comparison.ratio_over(trial, repeated)
        if ratio is not None:
            found.append(math.log(ratio))
    return found


def _difference(trial: TrialState, reference: TrialState, metric: Metric) -> float | None:
    own, other = (one.test.metrics.get(metric.name) if one.test else None for one in (trial, reference))
    if own is None or other is None or not math.isfinite(own - other):
        return None
    return metric.better * (own - other)


def _best(trial: TrialState, metric: Metric) -> float | None:
    best = trial.best.metrics.get(metric.name) if trial.best else None
    return best if best is not None and math.isfinite(best) else None


def _evaluation(spec: dict[str, Any]) -> dict[str, Any]:
    evaluation = spec.get("evaluation")
    return evaluation if isinstance(evaluation, dict) else {}
