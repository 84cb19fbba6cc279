"""`grambench merge`: runs of one specification, of several machines or times, as one comparison."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Literal

from grambench.analysis.compared import Compared, compare
from grambench.analysis.paired import MOST_SEEDS
from grambench.analysis.pairs import Pair, Target, margin_of
from grambench.config.trial_name import TrialName
from grambench.errors import NotComparableError
from grambench.reports import comparison_schema as schema
from grambench.reports.comparable import (
    ComparedRun,
    EnvironmentDifference,
    Source,
    environment_differences,
    require_comparable,
)
from grambench.reports.comparisons import build_comparison, read_pair
from grambench.reports.over_runs import arrived_at, metric_of, target_over
from grambench.reports.section import Model
from grambench.reports.trial_schema import are_alike

_Sides = tuple[str, str]
"""Candidate and reference."""


class MergedRuns(Model):
    """Several runs as one: pairs stay within a run, so that their machines may differ."""

    schema_version: Literal[1]
    """Version of this schema."""
    runs: list[ComparedRun]
    """In the order in which they were named."""
    environment: list[EnvironmentDifference]
    """In what machines, software and engines differ."""
    metric: str
    """The metric that selects checkpoints, by which tests are scored."""
    comparisons: list[schema.Comparison]
    """Each candidate against its reference over all runs. The same seed in two runs is two processes, but one
    seed, with the mean difference of both."""


def merge_runs(sources: Sequence[Source]) -> MergedRuns:
    """Two or more runs as one.

    Raises:
        NotComparableError: they do not have one specification; names the first reason.
    """
    require_comparable(sources, across_hardware=True)
    target = target_over(sources)
    sides = dict.fromkeys(found for source in sources for found in _sides(source))
    compared = {each: _compared(sources, each, target) for each in sides}
    return MergedRuns(
        schema_version=1,
        runs=[source.described() for source in sources],
        environment=environment_differences(sources),
        metric=metric_of(sources[0]).name,
        comparisons=[
            build_comparison(
                each,
                target,
                "",
                primary=number == 0,
                tuning=" and ".join(dict.fromkeys(one.tuning for one in _of(sources, names))),
            )
            for number, (names, each) in enumerate(compared.items())
        ],
    )


def _sides(source: Source) -> Iterator[_Sides]:
    """The comparisons of a run.

    Raises:
        NotComparableError: it compares nothing.
    """
    if not source.report.comparisons:
        raise NotComparableError(
            f"The report of {source.name} compares nothing.",
            "Give the folder of a run of two strategies or more; reports of version 1 hold no pairs.",
        )
    return ((each.candidate, each.reference) for each in source.report.comparisons)


def _of(sources: Sequence[Source], sides: _Sides) -> list[schema.Comparison]:
    found = (each for source in sources for each in source.report.comparisons)
    return [each for each in found if (each.candidate, each.reference) == sides]


def _compared(sources: Sequence[Source], sides: _Sides, target: Target) -> Compared:
    pairs = [pair for source in sources for pair in _pairs(source, sides, target)]
    trials = [trial for source in sources for label in sides for trial in source.of(label)]
    if not are_alike(trials):
        pairs = [replace(pair, candidate_cost=None, reference_cost=None, blocks=()) for pair in pairs]
    spec = sources[0].spec().model_dump(mode="json")
    reasons = [each.not_comparable for each in _of(sources, sides)]
    return compare(
        *sides,
        pairs,
        margin=margin_of(spec),
        metric=metric_of(sources[0]).title,
        target=target,
        most_seeds=_most_seeds(sources, len({pair.seed for pair in pairs})),
        not_comparable=next(filter(None, reasons), ""),
    )


def _pairs(source: Source, sides: _Sides, target: Target) -> Iterator[Pair]:
    """The pairs of a run, with seconds to the target of all runs."""
    trials, row = {trial.name: trial for trial in source.trials}, metric_of(source)
    for facts in (facts for each in _of([source], sides) for facts in each.pairs):
        names = [str(TrialName(label, facts.seed, facts.repeat)) for label in sides]
        candidate, reference = (
            arrived_at(trials[name], target, row) if name in trials else None for name in names
        )
        yield replace(read_pair(facts), run=source.name, candidate=candidate, reference=reference)


def _most_seeds(sources: Sequence[Source], seeds: int) -> int | None:
    """Where a run has looked at its seeds, its interval stays that of all looks."""
    looked = [each.most_seeds for source in sources if (each := source.report.until_decided)]
    return max(*looked, seeds) if looked and max(*looked, seeds) <= MOST_SEEDS else None
