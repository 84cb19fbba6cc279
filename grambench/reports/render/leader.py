"""Which label has the best mean test score, and over which others its lead is sure."""

from collections.abc import Mapping, Sequence
from statistics import fmean

from grambench.analysis.confidence import ConfidenceInterval
from grambench.analysis.paired import seed_interval
from grambench.analysis.sentences import signed
from grambench.reports.render.labels import by_label, estimate_of, selecting_metric, test_score
from grambench.reports.schema import Report
from grambench.views import numbers

_FEWEST = 3
"""Labels; of two, the verdict says all."""


def leader_words(report: Report) -> str:
    """`Best mean test AUC: gram-1e, 0.7422 ± 0.0181 (6 seeds). …`, with its lead over each other label.

    Empty: fewer than three labels have scores, or the run went on until it was decided, whose repeated looks
    these intervals do not cover.
    """
    by = selecting_metric(report)
    scores = {each.label: found for each in by_label(report) if (found := each.by_seed(test_score(by.name)))}
    if len(scores) < _FEWEST or report.until_decided is not None:
        return ""
    best, *others = sorted(scores, key=lambda label: -by.better * fmean(scores[label].values()))
    leads = {label: _differences(scores[best], scores[label]) for label in others}
    return f"Best mean test {by.title}: {best}, {_mean(scores[best])}. {_leads(leads, by.better)}"


def _differences(one: Mapping[int, float], other: Mapping[int, float]) -> list[float]:
    """Of the seeds that both have."""
    return [one[seed] - other[seed] for seed in one if seed in other]


def _mean(scores: Mapping[int, float]) -> str:
    found = estimate_of(list(scores.values()))
    assert found is not None
    half = "" if found.half is None else f" ± {found.half:.4f}"
    return f"{numbers.score(found.mean)}{half} ({found.seeds} seed{'s' if found.seeds != 1 else ''})"


def _leads(leads: Mapping[str, Sequence[float]], better: int) -> str:
    """`Surely ahead of a (+.159 [+.110, +.190]); not surely ahead of b (…).`."""
    intervals = {label: seed_interval(differences) for label, differences in leads.items()}
    known = {label: interval for label, interval in intervals.items() if interval is not None}
    if not known:
        return "Whether its lead is sure takes three seeds or more."
    sure = [label for label, found in known.items() if min(better * found.low, better * found.high) > 0]
    groups = (
        ("surely ahead of", sure),
        ("not surely ahead of", [label for label in leads if label not in sure]),
    )
    words = "; ".join(
        f"{how} {', '.join(_lead(label, leads[label], intervals[label]) for label in named)}"
        for how, named in groups
        if named
    )
    level = min(found.level for found in known.values())
    return f"Over the same seeds it is {words}. Each interval stands at its own level ({100 * level:.0f} %)."


def _lead(label: str, differences: Sequence[float], interval: ConfidenceInterval | None) -> str:
    if interval is None:
        return label
    return f"{label} ({signed(fmean(differences))} [{signed(interval.low)}, {signed(interval.high)}])"
