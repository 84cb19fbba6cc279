"""The names of `--fail-on`: numbers of a report, and why some are missing."""

from collections.abc import Iterable, Mapping
from statistics import fmean
from typing import Any

from grambench.metrics.catalogue import metric
from grambench.reports.comparable import Source
from grambench.reports.comparison_schema import Comparison, Interval
from grambench.reports.over_runs import test_score
from grambench.reports.schema import Report
from grambench.reports.section import OLDER_REPORT, Section
from grambench.reports.trial_schema import rates_of, why_no_rate

Numbers = dict[str, Any]
"""Nested by the parts of a name; None: missing."""
OF_CANDIDATES = ("speedup", "speedup_low", "speedup_high", "difference", "time_ratio")
"""`NAME.LABEL` of each label that is compared with a reference."""
OF_LABELS = ("auc", "samples_per_s")
"""`NAME.LABEL` of each label."""
_GRADE = ("kept", "total")


def names_of(labels: Iterable[str]) -> Numbers:
    """What the report of a run with these labels will have, without values."""
    known = [*labels]
    found: Numbers = {name: dict.fromkeys(known) for name in (*OF_CANDIDATES, *OF_LABELS)}
    return {**found, "grade": dict.fromkeys(_GRADE)}


def numbers_of(report: Report) -> tuple[Numbers, dict[str, str]]:
    """The numbers of a report by name, and of each that is None the reason by its whole name."""
    source, reasons = Source(report.run.name, report), dict[str, str]()
    numbers = names_of(dict.fromkeys(trial.label or trial.strategy for trial in source.trials))
    for name in OF_CANDIDATES:
        for label in numbers[name]:
            reasons[f"{name}.{label}"] = OLDER_REPORT if report.grade is None else "it is the reference"
    for each in report.comparisons:
        for name, (value, why) in _of_comparison(each).items():
            numbers[name][each.candidate], reasons[f"{name}.{each.candidate}"] = value, why
    for label in numbers["auc"]:
        _means(source, label, numbers, reasons)
    for name in _GRADE:
        numbers["grade"][name] = getattr(report.grade, name, None)
        reasons[f"grade.{name}"] = OLDER_REPORT
    return numbers, reasons


def _of_comparison(each: Comparison) -> Mapping[str, tuple[float | None, str]]:
    cost, quality, time = each.cost, each.quality, each.time_to_target
    return {
        "speedup": (cost.ratio, _why(cost, "ratio")),
        "speedup_low": (_end(cost.between, "low"), _why(cost, "between")),
        "speedup_high": (_end(cost.between, "high"), _why(cost, "between")),
        "difference": (quality.difference, _why(quality, "difference")),
        "time_ratio": (time.ratio_low, _why(time, "ratio_low")),
    }


def _end(interval: Interval | None, end: str) -> float | None:
    return getattr(interval, end) if interval else None


def _why(section: Section, field: str) -> str:
    return section.reasons.get(field, "it is unbounded")


def _means(source: Source, label: str, numbers: Numbers, reasons: dict[str, str]) -> None:
    trials, row = source.of(label), metric(source.report.run.selected_by)
    scores = [score for trial in trials if (score := test_score(trial, row)) is not None]
    rates = rates_of(trials)
    numbers["auc"][label] = fmean(scores) if scores else None
    numbers["samples_per_s"][label] = fmean(rates) if rates else None
    reasons[f"auc.{label}"] = "no trial of it was scored on the test part"
    reasons[f"samples_per_s.{label}"] = why_no_rate(trials)
