"""What comparisons of several runs are made of: their trials as pairs, and one target for all."""

from collections.abc import Sequence

from grambench.analysis.comparison import REFERENCES
from grambench.analysis.pairs import Arrived, Pair, Target, arrived_on, target_from
from grambench.metrics.catalogue import Metric, metric
from grambench.reports.comparable import Source, label_of
from grambench.reports.trial_schema import Trial, rates_of

Block = tuple[int, int]
"""Seed and repeat."""


def metric_of(source: Source) -> Metric:
    """What selects checkpoints."""
    return metric(source.report.run.selected_by)


def reference_of(source: Source) -> str | None:
    """The label that a run's own comparisons are against; None: it has neither e2e nor a comparison."""
    if source.report.comparisons:
        return source.report.comparisons[0].reference
    wanted = ((name, trial) for name in REFERENCES for trial in source.trials)
    return next((label_of(trial) for name, trial in wanted if trial.strategy == name), None)


def target_over(sources: Sequence[Source]) -> Target:
    """One target for all trials: asked for, else from the references of these runs."""
    row, bests, references = metric_of(sources[0]), [], []
    for source in sources:
        references += [trial for trial in source.of(reference_of(source) or "") if trial.repeat == 1]
    for trial in references:
        best = trial.best_validation.value(row.name) if trial.best_validation else None
        bests += [] if best is None else [best]
    ended = all(trial.outcome is not None for trial in references)
    spec = sources[0].spec().model_dump(mode="json")
    return target_from(spec, row, reference_of(sources[0]), bests, ended)


def by_block(trials: Sequence[Trial]) -> dict[Block, Trial]:
    """Seed and repeat -> the trial."""
    return {(trial.seed, trial.repeat): trial for trial in trials}


def cost_of_trial(trial: Trial) -> float | None:
    """Training seconds a sample."""
    rate = trial.times.samples_per_s
    return 1 / rate if rate else None


def test_score(trial: Trial, row: Metric) -> float | None:
    """By the metric that selects checkpoints."""
    return trial.test.value(row.name) if trial.test else None


def arrived_at(trial: Trial, target: Target, row: Metric) -> Arrived | None:
    """When a trial reached the target; None: there is no target, or it was not trained."""
    if target.score is None or trial.times.train_s is None:
        return None
    curve = [(each.train_s, each.value(row.name)) for each in trial.validations]
    return arrived_on(curve, trial.times.train_s, target.score, row)


def pairs_between(own: Sequence[Trial], others: Sequence[Trial], target: Target, row: Metric) -> list[Pair]:
    """The trials of one label in two runs, by seed and repeat; `own` is the candidate."""
    against = by_block(others)
    return [
        _pair(trial, against[block], target, row)
        for block, trial in by_block(own).items()
        if block in against
    ]


def _pair(trial: Trial, other: Trial, target: Target, row: Metric) -> Pair:
    scores, alike = (test_score(trial, row), test_score(other, row)), trial.sizes == other.sizes
    difference = None if None in scores else row.better * (scores[0] - scores[1])  # type: ignore[operator]
    return Pair(
        seed=trial.seed,
        repeat=trial.repeat,
        candidate_cost=cost_of_trial(trial) if alike else None,
        reference_cost=cost_of_trial(other) if alike else None,
        difference=difference,
        candidate=arrived_at(trial, target, row),
        reference=arrived_at(other, target, row),
    )


def speedups_of(source: Source, label: str) -> dict[Block, float]:
    """Samples/s of a label over those of the run's reference, by seed and repeat."""
    found, references = {}, by_block(source.of(reference_of(source) or ""))
    for block, trial in by_block(source.of(label)).items():
        rates = rates_of([each for each in (trial, references.get(block)) if each is not None])
        if len(rates) == 2:
            found[block] = rates[0] / rates[1]
    return found
