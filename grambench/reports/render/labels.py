"""The trials of a report by label, and means over their seeds: what tables and figures are made of."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean

from grambench.analysis.confidence import to_ratio
from grambench.analysis.paired import FEWEST_FOR_T, LEVEL, t_interval
from grambench.metrics.catalogue import METRICS, Metric, metric
from grambench.reports.comparable import Source
from grambench.reports.comparison_schema import Comparison
from grambench.reports.over_runs import reference_of
from grambench.reports.schema import Report
from grambench.reports.trial_schema import Trial

Measure = Callable[[Trial], float | None]
JOULES_PER_KWH = 3.6e6


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over seeds."""

    mean: float
    half: float | None
    """Half-width of its 95 % t interval over seeds; None below three seeds."""
    seeds: int

    @property
    def low(self) -> float:
        """Lower end of the interval; the mean without one."""
        return self.mean - (self.half or 0.0)

    @property
    def high(self) -> float:
        """Upper end of the interval; the mean without one."""
        return self.mean + (self.half or 0.0)


@dataclass(frozen=True, slots=True)
class LabelTrials:
    """The trials of one label, null tests left out."""

    label: str
    strategy: str
    trials: tuple[Trial, ...]
    comparison: Comparison | None
    """Against the reference of the run."""
    is_reference: bool

    def estimate(self, measure: Measure) -> Estimate | None:
        """Mean over seeds, each the mean of its repeats; None: no trial has the number."""
        by_seed: dict[int, list[float]] = {}
        for trial in self.trials:
            if (value := measure(trial)) is not None:
                by_seed.setdefault(trial.seed, []).append(value)
        return estimate_of([fmean(values) for values in by_seed.values()])

    def largest(self, measure: Measure) -> float | None:
        """Over all trials; None: no trial has the number."""
        return max((value for trial in self.trials if (value := measure(trial)) is not None), default=None)

    @property
    def speedup(self) -> tuple[float, float | None, float | None] | None:
        """Mean ratio of samples/s to the reference's, and the ends of its interval between processes."""
        if self.comparison is not None and self.comparison.cost.ratio is not None:
            between = self.comparison.cost.between
            low, high = (between.low, between.high) if between else (None, None)
            return self.comparison.cost.ratio, low, high
        if self.comparison is not None or self.is_reference:
            return None
        found = [value for trial in self.trials if (value := trial.speedups["e2e"].samples_per_s)]
        return (to_ratio(fmean(map(math.log, found))), None, None) if found else None

    @property
    def seeds(self) -> int:
        """Different seeds, a count."""
        return len({trial.seed for trial in self.trials})


def estimate_of(values: Sequence[float]) -> Estimate | None:
    """Mean of independent values with its t interval; None: there is none."""
    if not values:
        return None
    interval = t_interval(values, LEVEL) if len(values) >= FEWEST_FOR_T else None
    half = (interval.high - interval.low) / 2 if interval else None
    return Estimate(fmean(values), half, len(values))


def by_label(report: Report) -> list[LabelTrials]:
    """The labels of a report in running order."""
    source = Source(report.run.name, report)
    reference = reference_of(source)
    compared = {each.candidate: each for each in report.comparisons}
    found: dict[str, list[Trial]] = {}
    for trial in source.trials:
        found.setdefault(trial.label or trial.strategy, []).append(trial)
    return [
        LabelTrials(label, trials[0].strategy, tuple(trials), compared.get(label), label == reference)
        for label, trials in found.items()
    ]


def selecting_metric(report: Report) -> Metric:
    """What selects checkpoints, and is compared."""
    return metric(report.run.selected_by)


def test_metrics(report: Report) -> list[Metric]:
    """The metrics of which a test score was measured, the selecting one first."""
    rows = sorted(METRICS, key=lambda row: row.name != report.run.selected_by)
    return [row for row in rows if row.can_select and any(map(test_score(row.name), report.trials))]


def test_score(name: str) -> Measure:
    """The test score by the name of its metric."""
    return lambda trial: trial.test.value(name) if trial.test else None


def peak_bytes(trial: Trial) -> float | None:
    """Torch's allocation on a GPU, else the process's resident memory."""
    memory = trial.memory
    peak = memory.torch_peak_allocated_bytes
    return memory.rss_peak_bytes if peak is None else peak


def co2e_kg(joules: float, grams_per_kwh: float) -> float:
    """Kilograms of CO2e of an energy, by a factor in grams per kilowatt-hour."""
    return joules / JOULES_PER_KWH * grams_per_kwh / 1000


def kilograms(value: float) -> str:
    """With three digits, however few they are: `0.0000779`."""
    decimals = 2 - math.floor(math.log10(value)) if value > 0 else 0
    return f"{value:,.{max(0, decimals)}f}"
