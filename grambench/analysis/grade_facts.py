"""What a run knows about its own conditions: the facts of the self-grade."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from grambench.analysis.compared import Compared
from grambench.analysis.grade import unidentified_changes
from grambench.events.state import RunState, TrialState


@dataclass(slots=True)
class Facts:
    """Numbers by the names in `checks.CHECKS`, and why some cannot exist here."""

    numbers: dict[str, float | None] = field(default_factory=dict)
    not_applicable: dict[str, str] = field(default_factory=dict)


def facts_of(
    state: RunState, spec: Mapping[str, Any], host: Mapping[str, Any], compared: Sequence[Compared]
) -> Facts:
    """The facts of a run.

    Args:
        state: of the run.
        spec: its resolved specification, JSON values.
        host: what `run.json` says about the machine and the software.
        compared: its comparisons.
    """
    trials = [trial for trial in state.trials.values() if trial.phase is not None]
    facts = Facts()
    facts.numbers |= {
        "audit_relative_error": _audit_error(state),
        "encoder_dropout": _number(spec, "encoder", "dropout"),
        "diverged_trials": sum(trial.outcome == "diverged" for trial in trials),
        "selected_on_test": len(trials) if _value(spec, "data", "protocol") == "paper" else 0,
        "unfinished_curves": sum(map(_still_rising, trials)),
        "stopped_wall_s": sum(trial.stopped_s for trial in trials),
        "first_to_rest_ratio": _largest(map(_first_to_rest, trials)),
        "unidentified_changes": unidentified_changes(host.get("git_changed"), host.get("package_digest")),
    }
    _tuning(facts, state)
    _disturbance(facts, trials)
    _of_comparisons(facts, state, compared)
    return facts


def tuning_words(state: RunState, label: str) -> str:
    """`not tuned`, or `tuned (2 of 3)`: how many settings were tried for it, of the most for any label."""
    tried = settings_tried(state)
    most = max(tried.values(), default=1)
    return "not tuned" if most == 1 else f"tuned ({tried.get(label, 1)} of {most})"


def settings_tried(state: RunState) -> dict[str, int]:
    """Label -> settings tried: by `grambench tune`, else labels that train its strategy alike, a count.

    A label that trains another part of the encoder is another contestant: `lora-1s` is not a retry of
    `gram-1s`.
    """
    if state.tuned:
        return state.tuned
    planned = [(trial, trial.plan) for trial in state.trials.values() if trial.plan and not trial.is_null]
    contestants = {trial.label: (trial.strategy, plan.adapt) for trial, plan in planned}
    often = Counter(contestants.values())
    return {label: often[contestant] for label, contestant in contestants.items()}


def _tuning(facts: Facts, state: RunState) -> None:
    tried = settings_tried(state).values()
    facts.numbers["tuning_gap_trials"] = max(tried, default=1) - min(tried, default=1)
    facts.numbers["least_tuning_trials"] = min(tried, default=1)


def _disturbance(facts: Facts, trials: Sequence[TrialState]) -> None:
    """Shares of the sampled training time, the largest over the trials."""
    watched = [trial for trial in trials if trial.watched_s > 0]
    facts.numbers["foreign_cpu_share"] = _largest(map(_foreign_cpu, watched))
    on_gpu = [trial for trial in watched if trial.started is not None and trial.started.gpu_uuid is not None]
    for fact, kind in (("foreign_gpu_share", "shared-gpu"), ("throttled_share", "slowed-gpu")):
        facts.numbers[fact] = _largest(t.disturbed_s.get(kind, 0.0) / t.watched_s for t in on_gpu)
        if trials and not any(t.started and t.started.gpu_uuid for t in trials):
            facts.not_applicable[fact] = "The run used no GPU."


def _of_comparisons(facts: Facts, state: RunState, compared: Sequence[Compared]) -> None:
    pairs = [pair for each in compared for pair in each.pairs]
    arrivals = [side for pair in pairs for side in (pair.candidate, pair.reference) if side is not None]
    reached = [side for side in arrivals if side.seconds]
    races = [within for each in compared for within in each.cost.within]
    halves = [pair.users.half_width for pair in pairs if pair.users is not None]
    facts.numbers |= {
        "processes": _smallest(each.cost.processes for each in compared),
        "seeds": _smallest(each.comparison.seeds for each in compared),
        "user_half_width_auc": _largest(halves),
        "fewest_validations_to_target": _smallest(side.validations for side in reached),
        "widest_bracket_share": _largest(
            (side.bracket_s or 0.0) / side.seconds for side in reached if side.seconds
        ),
        "drifting_pairs": sum(within.drifts for within in races),
    }
    if not races:
        facts.not_applicable["drifting_pairs"] = (
            "Only a race can show drift: the trials ran one after the other."
        )
    if not compared:
        for fact in ("processes", "seeds", "user_half_width_auc", "fewest_validations_to_target"):
            facts.not_applicable[fact] = "The run compares nothing."
        facts.not_applicable["widest_bracket_share"] = "The run compares nothing."


def _audit_error(state: RunState) -> float | None:
    audit = state.setup.audit
    if audit is None:
        return None
    if not (audit.equivalent and audit.ranks_equivalent):
        return math.inf
    errors = [audit.encoder_relative, audit.filter_relative, audit.ranks_relative]
    return max((e for e in errors if e is not None), default=None)


def _foreign_cpu(trial: TrialState) -> float | None:
    if not trial.foreign_cpu_s:
        return 0.0
    return trial.foreign_cpu_s / trial.watched_s / trial.foreign_of_cpus if trial.foreign_of_cpus else None


def _still_rising(trial: TrialState) -> bool:
    """Whether the trial used up its epochs and its last validation was its best."""
    if trial.outcome != "completed" or trial.best is None or not trial.evaluations:
        return False
    return trial.best.step == trial.evaluations[-1].step and len(trial.evaluations) > 1


def _first_to_rest(trial: TrialState) -> float | None:
    """Cost of the first epoch over the median of the others; None below 3 epochs."""
    costs = [epoch.train_s / epoch.samples for epoch in trial.epochs if epoch.samples and epoch.train_s > 0]
    return costs[0] / median(costs[1:]) if len(costs) > 2 else None


def _largest(values: Iterable[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)


def _smallest(values: Iterable[float | None]) -> float | None:
    return min((value for value in values if value is not None), default=None)


def _value(spec: Mapping[str, Any], table: str, name: str) -> Any:
    settings = spec.get(table)
    return settings.get(name) if isinstance(settings, Mapping) else None


def _number(spec: Mapping[str, Any], table: str, name: str) -> float | None:
    value = _value(spec, table, name)
    return float(value) if isinstance(value, int | float) else None
