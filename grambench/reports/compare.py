"""`grambench compare`: the trials of several runs beside each other, and what has changed since the first."""

import math
from collections.abc import Mapping, Sequence
from statistics import fmean, median
from typing import Any, Literal

from grambench.analysis.compared import compare, cost_of, ratio
from grambench.analysis.pairs import Pair, Target, margin_of
from grambench.reports import comparison_schema as schema
from grambench.reports.comparable import (
    ComparedRun,
    EnvironmentDifference,
    Source,
    environment_differences,
    label_of,
    require_comparable,
)
from grambench.reports.comparisons import build_comparison, ratio_interval
from grambench.reports.over_runs import (
    arrived_at,
    metric_of,
    pairs_between,
    reference_of,
    speedups_of,
    target_over,
    test_score,
)
from grambench.reports.section import Model, Section, build_section
from grambench.reports.trial_schema import Trial, rates_of, why_no_rate

_NO_PAIR = "the runs have no seed in common"


class LabelOfRun(Section):
    """The trials of one label in one run."""

    run: str
    """Name of the run."""
    trials: int
    """Trials, a count."""
    samples_per_s: float | None
    """Users trained on per training second, geometric mean over the trials."""
    test_score: float | None
    """Mean test score by the metric that selects checkpoints."""
    train_s_to_target: float | None
    """Median training seconds to the target."""
    speedup: float | None
    """Samples/s over those of the run's own reference, geometric mean over the pairs; a ratio."""


class SpeedUpChange(Section):
    """The speed-up of a label in one run over that in another."""

    ratio: float | None
    """Geometric mean over the common pairs; above 1, the speed-up is larger than before."""
    interval: schema.Interval | None
    """Of this ratio, between fresh processes."""
    pairs: int
    """Seeds and repeats that both runs have, a count."""


class Change(Section):
    """One label in a later run against the same label in an earlier one, paired by seed and repeat."""

    run: str
    """Name of the run."""
    against: str
    """Name of the first run that has the label."""
    cost: schema.Cost | None
    """Samples/s over those of the earlier run."""
    quality: schema.Quality | None
    """Test scores less those of the earlier run, and the verdict by the margin."""
    time_to_target: schema.TimeToTarget | None
    """Training seconds to the target of the earlier run over those of this one."""
    speedup: SpeedUpChange | None
    """Whether the speed-up over the run's own reference has changed."""


class LabelCompared(Model):
    """One label in every run that has it."""

    label: str
    """The label."""
    strategy: str
    """Name of its strategy."""
    runs: list[LabelOfRun]
    """In the order of the runs."""
    changes: list[Change]
    """Each later run against the first one."""


class RunsCompared(Section):
    """Several runs of the same data, model and settings."""

    schema_version: Literal[1]
    """Version of this schema."""
    runs: list[ComparedRun]
    """In the order in which they were named."""
    across_hardware: bool
    """True where other hardware and versions were allowed: seconds then do not compare trials."""
    environment: list[EnvironmentDifference]
    """In what machines, software and engines differ."""
    metric: str
    """The metric that selects checkpoints, by which tests are scored."""
    margin: float
    """Smallest difference of the score that matters, in the metric's unit."""
    target: float | None
    """Validation score that seconds are counted to, from the first run."""
    target_source: str
    """Where it comes from."""
    labels: list[LabelCompared]
    """Labels of two or more runs."""
    left_out: list[str]
    """Labels of one run only."""


def compare_runs(sources: Sequence[Source], *, across_hardware: bool = False) -> RunsCompared:
    """Two or more runs, the first of which is what the others are compared with.

    Raises:
        NotComparableError: a difference would not be one of the trials; names the first reason.
    """
    require_comparable(sources, across_hardware=across_hardware)
    target = target_over(sources[:1])
    strategies = {label_of(trial): trial.strategy for source in sources for trial in source.trials}
    having = {label: [source for source in sources if source.of(label)] for label in strategies}
    return build_section(
        RunsCompared,
        otherwise=target.source,
        schema_version=1,
        runs=[source.described() for source in sources],
        across_hardware=across_hardware,
        environment=environment_differences(sources),
        metric=metric_of(sources[0]).name,
        margin=_margin(sources[0]),
        target=target.score,
        target_source=target.source,
        labels=[
            LabelCompared(
                label=label,
                strategy=strategies[label],
                runs=[_of_run(source, label, target) for source in among],
                changes=[_change(source, among[0], label, target) for source in among[1:]],
            )
            for label, among in having.items()
            if len(among) > 1
        ],
        left_out=[label for label, among in having.items() if len(among) == 1],
    )


def changes_by_name(compared: RunsCompared, run: str) -> tuple[dict[str, Any], dict[str, str]]:
    """`change.samples_per_s.LABEL` and `change.auc.LABEL` of one run against the first, nested; and why some
    are None."""
    found: dict[str, dict[str, float | None]] = {"samples_per_s": {}, "auc": {}}
    reasons = {}
    for each in compared.labels:
        for change in (change for change in each.changes if change.run == run):
            for name, section, field in (
                ("samples_per_s", change.cost, "ratio"),
                ("auc", change.quality, "difference"),
            ):
                found[name][each.label] = getattr(section, field) if section else None
                why = section.reasons.get(field, "") if section else _NO_PAIR
                reasons[f"change.{name}.{each.label}"] = why
    return {"change": found}, reasons


def _margin(source: Source) -> float:
    return margin_of(source.spec().model_dump(mode="json"))


def _of_run(source: Source, label: str, target: Target) -> LabelOfRun:
    trials, row = source.of(label), metric_of(source)
    scores = [score for trial in trials if (score := test_score(trial, row)) is not None]
    seconds, why = _seconds(trials, source, target)
    reference = reference_of(source)
    return build_section(
        LabelOfRun,
        reasons={
            "samples_per_s": why_no_rate(trials),
            "test_score": "no trial was scored on the test part",
            "train_s_to_target": why,
            "speedup": f"the rate of {label} or {reference} was not measured"
            if reference
            else "no reference",
        },
        run=source.name,
        trials=len(trials),
        samples_per_s=_geometric(rates_of(trials)),
        test_score=fmean(scores) if scores else None,
        train_s_to_target=seconds,
        speedup=_geometric([*speedups_of(source, label).values()]),
    )


def _seconds(trials: Sequence[Trial], source: Source, target: Target) -> tuple[float | None, str]:
    """Median seconds to the target, or why there is none."""
    arrivals = [arrived_at(trial, target, metric_of(source)) for trial in trials if trial.repeat == 1]
    waits = [math.inf if each.seconds is None else each.seconds for each in arrivals if each is not None]
    middle = median(waits) if waits else math.inf
    if middle < math.inf:
        return middle, ""
    return None, "most seeds missed the target" if waits else "it was not trained, or there is no target"


def _geometric(values: Sequence[float]) -> float | None:
    return math.exp(fmean(map(math.log, values))) if values else None


def _change(source: Source, first: Source, label: str, target: Target) -> Change:
    pairs = pairs_between(source.of(label), first.of(label), target, metric_of(first))
    sections = _sections(source, first, label, pairs, target) if pairs else {}
    parts = dict.fromkeys(("cost", "quality", "time_to_target", "speedup"))
    return build_section(
        Change, otherwise=_NO_PAIR, run=source.name, against=first.name, **{**parts, **sections}
    )


def _sections(
    source: Source, first: Source, label: str, pairs: Sequence[Pair], target: Target
) -> Mapping[str, Any]:
    compared = compare(
        f"{label} of {source.name}",
        f"{label} of {first.name}",
        pairs,
        margin=_margin(first),
        metric=metric_of(first).title,
        target=target,
    )
    built = build_comparison(compared, target, source.name, primary=True, tuning="")
    return {
        "cost": built.cost,
        "quality": built.quality,
        "time_to_target": built.time_to_target,
        "speedup": _speedup_change(source, first, label),
    }


def _speedup_change(source: Source, first: Source, label: str) -> SpeedUpChange:
    now, before = speedups_of(source, label), speedups_of(first, label)
    references = reference_of(source), reference_of(first)
    why = "it is the reference" if label in references else ""
    if references[0] != references[1]:
        why = f"the reference is {references[0]} in one run, {references[1]} in the other"
    pairs = [
        Pair(seed=block[0], repeat=block[1], candidate_cost=1 / now[block], reference_cost=1 / before[block])
        for block in now
        if not why and block in before
    ]
    cost = cost_of(pairs)
    return build_section(
        SpeedUpChange,
        reasons={"ratio": why or "no speed-up was measured in both runs", "interval": why or cost.why_none},
        ratio=ratio(cost.log_ratio),
        interval=ratio_interval(cost.between),
        pairs=cost.processes,
    )
