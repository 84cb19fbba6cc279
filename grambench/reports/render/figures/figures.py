"""The figures of a report: one row each."""

from collections.abc import Callable

from grambench.errors import ConfigError
from grambench.reports.render.figures.bars import factor_waterfall, memory_bars
from grambench.reports.render.figures.chart import Figure
from grambench.reports.render.figures.curves import drift_by_window, score_over_joules, score_over_seconds
from grambench.reports.render.figures.points import quality_over_cost, speedup_over_reuse
from grambench.reports.schema import Report

FIGURES: dict[str, Callable[[Report], Figure]] = {
    "score-over-seconds": score_over_seconds,
    "score-over-joules": score_over_joules,
    "quality-over-cost": quality_over_cost,
    "speedup-over-reuse": speedup_over_reuse,
    "factors": factor_waterfall,
    "memory": memory_bars,
    "drift": drift_by_window,
}
"""Name -> the function that makes it of a report; in the order of the page."""


def figures_of(report: Report, name: str | None = None) -> list[Figure]:
    """All figures of a report, or the one of a name.

    Raises:
        ConfigError: there is no figure of that name.
    """
    if name is None:
        return [make(report) for make in FIGURES.values()]
    if name not in FIGURES:
        raise ConfigError(f"There is no figure {name!r}.", f"Use one of {', '.join(FIGURES)}.")
    return [FIGURES[name](report)]
