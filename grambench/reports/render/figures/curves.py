"""Scores over seconds and joules, with bands over seeds; and the drift of windows."""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean

from grambench.reports.render.figures.chart import (
    Chart,
    Curve,
    Figure,
    Key,
    Point,
    amount_axis,
    keys_of,
    value_axis,
)
from grambench.reports.render.labels import by_label, selecting_metric
from grambench.reports.schema import Report
from grambench.reports.section import OLDER_REPORT
from grambench.reports.trial_schema import Scores, Trial

_MOST = 120
"""Places at which several seeds are averaged."""
_KILO_FROM = 2000
"""Joules from which an axis is in kilojoules."""
_SEEDS = "mean over seeds; the band reaches from the lowest seed to the highest"


@dataclass(frozen=True, slots=True)
class _Subject:
    """What curves of trials show."""

    name: str
    title: str
    x_title: str
    unit: str
    y_title: str
    points: Callable[[Trial], list[Point]]
    why: Callable[[Trial], str | None]
    """Why a trial has no points, if that is known."""
    zero: bool = False


def score_over_seconds(report: Report) -> Figure:
    """Validation scores over training seconds."""
    score, row = _score(report), selecting_metric(report)
    return _figure(
        report,
        _Subject(
            "score-over-seconds",
            f"Validation {row.title} over training time",
            "training time",
            "s",
            row.title,
            lambda trial: [(e.train_s, y) for e in trial.validations if (y := score(e)) is not None],
            lambda trial: trial.reasons.get("best_validation"),
        ),
    )


def score_over_joules(report: Report) -> Figure:
    """Validation scores over the energy of the GPU."""
    score, row = _score(report), selecting_metric(report)
    joules = [trial.energy.joules for trial in report.trials if trial.energy.joules is not None]
    size, unit = (1000, "kJ") if max(joules, default=0.0) >= _KILO_FROM else (1, "J")

    def points(trial: Trial) -> list[Point]:
        at = [(_at(trial.curves.energy, each.train_s), score(each)) for each in trial.validations]
        return [(x / size, y) for x, y in at if x is not None and y is not None]

    return _figure(
        report,
        _Subject(
            "score-over-joules",
            f"Validation {row.title} over energy",
            "energy of the GPU",
            unit,
            row.title,
            points,
            lambda trial: trial.energy.reasons.get("joules", OLDER_REPORT),
        ),
    )


def drift_by_window(report: Report) -> Figure:
    """The drift of every window when it closes."""
    return _figure(
        report,
        _Subject(
            "drift",
            "Drift of each window",
            "training time at the close of the window",
            "s",
            "drift, a ratio",
            lambda trial: [*trial.curves.drift],
            lambda trial: trial.windows.reasons.get("mean_drift"),
            zero=True,
        ),
        "Mean ‖h̃ − h‖ / ‖h‖ of a window's items when it closes",
    )


def _score(report: Report) -> Callable[[Scores], float | None]:
    return lambda scores: scores.value(report.run.selected_by)


def _figure(report: Report, subject: _Subject, meaning: str = "") -> Figure:
    labels = by_label(report)
    keys = keys_of(labels)
    runs = {each.label: [found for t in each.trials if (found := subject.points(t))] for each in labels}
    curves = [over_seeds(keys[label], found) for label, found in runs.items() if found]
    if not curves:
        reasons = [why for each in labels for t in each.trials if (why := subject.why(t))]
        why = reasons[0] if reasons else "no trial was recorded"
        return Figure(subject.name, subject.title, None, f"Not drawn: {why}.")
    xs = [x for curve in curves for x, _ in curve.points]
    ys = [y for curve in curves for _, y in curve.points] + [
        y for curve in curves for _, *ends in curve.band for y in ends
    ]
    chart = Chart(
        amount_axis(subject.x_title, xs, subject.unit),
        value_axis(subject.y_title, ys, subject.zero),
        tuple(curves),
    )
    parts = [meaning, _SEEDS if any(curve.band for curve in curves) else ""]
    words = "; ".join(filter(None, parts)) or "One seed"
    return Figure(subject.name, subject.title, chart, f"{words[:1].upper()}{words[1:]}.")


def over_seeds(key: Key, runs: Sequence[list[Point]]) -> Curve:
    """The mean of several curves, read linearly where all of them have values, and their extremes."""
    first, last = max(points[0][0] for points in runs), min(points[-1][0] for points in runs)
    if len(runs) == 1 or first > last:
        longest: list[Point] = max(runs, key=lambda run: run[-1][0])
        return Curve(key, tuple(longest))
    places = sorted({x for points in runs for x, _ in points if first <= x <= last} | {first, last})
    places = places[::-1][:: -(-len(places) // _MOST)][::-1]
    values = [(x, [y for points in runs if (y := _at(points, x)) is not None]) for x in places]
    means = tuple((x, fmean(ys)) for x, ys in values)
    return Curve(key, means, tuple((x, min(ys), max(ys)) for x, ys in values))


def _at(points: Sequence[Point], x: float) -> float | None:
    """A curve read linearly; its ends go on unchanged. None: it has no points."""
    if not points:
        return None
    place = bisect_right(points, x, key=lambda point: point[0])
    if place in (0, len(points)):
        return points[min(place, len(points) - 1)][1]
    (x0, y0), (x1, y1) = points[place - 1], points[place]
    return y0 + (y1 - y0) * (x - x0) / (x1 - x0)
