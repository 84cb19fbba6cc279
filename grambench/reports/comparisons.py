"""Builds the report's comparisons and its self-grade, and reads pairs back from reports."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from grambench.analysis.compared import Compared, Cost, Within, compare, ratio, seed_differences
from grambench.analysis.confidence import ConfidenceInterval, to_ratio
from grambench.analysis.grade import Grade
from grambench.analysis.grade_facts import tuning_words
from grambench.analysis.pairs import (
    Arrived,
    Pair,
    Target,
    UserError,
    candidate_labels,
    has_begun,
    log_costs,
    margin_of,
    null_log_ratios,
    pairs_of,
    reference_label,
    target_of,
)
from grambench.analysis.time_to_target import TimeToTarget
from grambench.events.state import RunState
from grambench.reports import comparison_schema as schema
from grambench.reports.section import build_section

_FEW_SEEDS = "needs 3 seeds with a test score of both"


def compared_in(state: RunState, spec: dict[str, Any], folder: Path | None = None) -> list[Compared]:
    """Every candidate of a run that has trained, against its reference.

    Args:
        state: of the run.
        spec: its specification, JSON values.
        folder: of the run, where scores by impression lie; None: the error by test users is not looked for.
    """
    reference, target = reference_label(state), target_of(state, spec)
    if reference is None:
        return []
    costs, nulls = log_costs(state.trials.values()), null_log_ratios(state)
    found = []
    for label in candidate_labels(state):
        if not has_begun(state, label):
            continue
        users = user_errors(folder, state, label, reference) if folder is not None else None
        found.append(
            compare(
                label,
                reference,
                pairs_of(state, label, target, users),
                margin=margin_of(spec),
                metric=state.metric.title,
                target=target,
                others=[values for name, values in costs.items() if name not in (label, reference)],
                nulls=nulls,
                most_seeds=most_seeds(spec),
                not_comparable=_not_comparable(state, spec, label, reference),
            )
        )
    return found


def build_comparisons(
    state: RunState, compared: Sequence[Compared], target: Target, run: str
) -> list[schema.Comparison]:
    """The report's part about them."""
    return [
        build_comparison(
            each,
            target,
            run,
            primary=each is compared[0],
            tuning=tuning_words(state, each.comparison.candidate),
        )
        for each in compared
    ]


def build_comparison(
    each: Compared, target: Target, run: str, *, primary: bool, tuning: str
) -> schema.Comparison:
    """One candidate; `run` names the run of pairs that do not name theirs."""
    c = each.comparison
    return build_section(
        schema.Comparison,
        c,
        primary=primary,
        tuning=tuning,
        sentence=each.sentence,
        cost=_cost(each),
        quality=_quality(each),
        time_to_target=_time(c.time, target),
        pairs=[_pair(pair, pair.run or run) for pair in each.pairs],
    )


def build_grade(graded: Grade) -> schema.Grade:
    """The marks of the run."""
    marks = [
        schema.Mark(
            code=mark.code,
            outcome=mark.outcome,
            spoils=mark.spoils,
            value=mark.value if mark.value is not None and math.isfinite(mark.value) else None,
            limit=mark.limit,
            unit=mark.unit,
            message=mark.message,
            mend=mark.mend,
        )
        for mark in graded.marks
    ]
    return schema.Grade(kept=graded.kept, total=graded.total, headline=graded.headline(), marks=marks)


def read_pair(facts: schema.PairFacts) -> Pair:
    """A pair of a report, to be compared again with others."""
    width, clusters = facts.user_half_width, facts.user_clusters
    return Pair(
        run=facts.run,
        seed=facts.seed,
        repeat=facts.repeat,
        candidate_cost=facts.candidate_s_per_sample,
        reference_cost=facts.reference_s_per_sample,
        difference=facts.difference,
        users=UserError(half_width=width, clusters=clusters) if width is not None and clusters else None,
        candidate=_arrived(facts.candidate),
        reference=_arrived(facts.reference),
        blocks=tuple(facts.block_log_ratios),
        rounds=facts.rounds,
        rounds_left_out=facts.rounds_left_out,
    )


def user_errors(folder: Path, state: RunState, label: str, reference: str) -> dict[str, UserError]:
    """Trial -> error by test users of its difference from its reference, where both kept their scores."""
    from grambench.reports.kept_scores import user_error

    found = {}
    for trial in state.trials.values():
        if trial.label != label:
            continue
        against = trial.trial_name.of(reference)
        error = user_error(folder / trial.name, folder / str(against))
        if error is not None:
            found[trial.name] = error
    return found


def most_seeds(spec: dict[str, Any]) -> int | None:
    """`training.until_decided`; None: the number of seeds is fixed."""
    training = spec.get("training")
    most = training.get("until_decided") if isinstance(training, dict) else None
    return most if isinstance(most, int) else None


def _not_comparable(state: RunState, spec: dict[str, Any], label: str, reference: str) -> str:
    """The first reason for which nothing may be said about two labels; empty: there is none."""
    encoder = spec.get("encoder")
    dropout = encoder.get("dropout") if isinstance(encoder, dict) else None
    if state.setup.audit is not None and not state.setup.audit.equivalent:
        return "the audit found that single-step is not E2E here"
    if state.setup.audit is not None and not state.setup.audit.ranks_equivalent:
        return f"the audit found that {state.setup.audit.ranks} ranks are not one process here"
    if dropout:
        return f"with an encoder dropout of {dropout:g} the strategies train different models"
    gone = [
        t.name for t in state.trials.values() if t.label in (label, reference) and t.outcome == "diverged"
    ]
    if gone:
        return f"{' and '.join(gone)} diverged"
    words = [tuning_words(state, each) for each in (label, reference)]
    return "" if words[0] == words[1] else f"{label} was {words[0]}, {reference} {words[1]}"


def _cost(each: Compared) -> schema.Cost:
    cost = each.cost
    return build_section(
        schema.Cost,
        cost,
        reasons={
            "ratio": "the rate of one side was not measured",
            "between": cost.why_none,
            "process_sd_percent": "needs 2 processes of each",
        },
        ratio=ratio(cost.log_ratio),
        between=ratio_interval(cost.between),
        within=[_within(within) for within in cost.within],
        process_sd_percent=_percent(cost),
        outliers=[f"s{seed}" + (f".r{repeat}" if repeat > 1 else "") for seed, repeat in cost.outliers],
        sentence=each.cost_sentence,
    )


def _percent(cost: Cost) -> float | None:
    return None if cost.process_sd is None else 100 * math.expm1(cost.process_sd)


def _within(within: Within) -> schema.WithinRun:
    few = "needs 8 blocks of whole windows"
    return build_section(schema.WithinRun, within, otherwise=few, ratio=ratio_interval(within.interval))


def _quality(each: Compared) -> schema.Quality:
    c = each.comparison
    users = [pair.users for pair in each.pairs if pair.users is not None]
    return build_section(
        schema.Quality,
        c,
        reasons={
            "difference": "no seed has a test score of both",
            "interval": _FEW_SEEDS,
            "p": "needs 6 seeds with a test score of both",
        },
        otherwise="no scores by impression of both were kept",
        interval=_interval(c.quality, _finite),
        p=each.p,
        seeds=len(seed_differences(each.pairs)),
        user_half_width=max((user.half_width for user in users), default=None),
        user_clusters=max((user.clusters for user in users), default=None),
    )


def _time(time: TimeToTarget | None, target: Target) -> schema.TimeToTarget:
    unbounded = "no seed bounds it: one side missed the target with most seeds"
    return build_section(
        schema.TimeToTarget,
        time,
        reasons={
            "target": target.source,
            "interval": "needs 6 seeds",
            "at_least": "only where nothing but references missed the target, with 2 seeds or more",
        },
        otherwise=unbounded if time else target.source,
        target=target.score,
        target_source=target.source,
        ratio_low=_bounded(time.median_low) if time else None,
        ratio_high=_bounded(time.median_high) if time else None,
        interval=ratio_interval(time.interval) if time else None,
        at_least=None if time is None or time.at_least is None else to_ratio(time.at_least),
        **({} if time else {"seeds": 0, "candidate_reached": 0, "reference_reached": 0}),
    )


def _pair(pair: Pair, run: str) -> schema.PairFacts:
    users = pair.users
    return build_section(
        schema.PairFacts,
        pair,
        reasons={
            **dict.fromkeys(("candidate_s_per_sample", "reference_s_per_sample"), "no window was closed"),
            "difference": "one side has no test score",
            **dict.fromkeys(
                ("user_half_width", "user_clusters"), "no scores by impression of both were kept"
            ),
        },
        otherwise="there is no target",
        run=run,
        candidate_s_per_sample=pair.candidate_cost,
        reference_s_per_sample=pair.reference_cost,
        user_half_width=users.half_width if users else None,
        user_clusters=users.clusters if users else None,
        candidate=_arrival(pair.candidate),
        reference=_arrival(pair.reference),
        block_log_ratios=list(pair.blocks),
    )


def _arrival(side: Arrived | None) -> schema.Arrival | None:
    if side is None:
        return None
    return build_section(schema.Arrival, side, otherwise="the target was not reached")


def _arrived(side: schema.Arrival | None) -> Arrived | None:
    if side is None:
        return None
    return Arrived(
        seconds=side.seconds, budget_s=side.budget_s, bracket_s=side.bracket_s, validations=side.validations
    )


def ratio_interval(interval: ConfidenceInterval | None) -> schema.Interval | None:
    """An interval of a log ratio as one of a ratio."""
    return _interval(interval, _bounded)


def _interval(
    interval: ConfidenceInterval | None, end: Callable[[float], float | None]
) -> schema.Interval | None:
    """`end`: an end of the interval as the report has it; None where it is unbounded."""
    if interval is None:
        return None
    ends = {"low": end(interval.low), "high": end(interval.high)}
    return schema.Interval(**ends, level=interval.level, units=interval.units, method=interval.method)


def _bounded(log_ratio: float) -> float | None:
    """As a ratio; None where it is unbounded."""
    return _finite(to_ratio(log_ratio)) if log_ratio > -math.inf else None


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
