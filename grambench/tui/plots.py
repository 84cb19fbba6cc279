"""What the plots of the race show: the validation score, and beside it the rows of `SIDE_PLOTS`."""

from bisect import bisect_right
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from statistics import fmean, median

from textual.content import Content

from grambench.events.series import Series
from grambench.events.state import TrialState
from grambench.events.types import Evaluated
from grambench.text import safe_text
from grambench.tui.line_parts import bar, styled
from grambench.tui.scene import Scene
from grambench.tui.view import XAxis, smoothed
from grambench.tui.widgets.chart import Curve, Picture, Unit
from grambench.tui.widgets.panel import Plot
from grambench.views import numbers
from grambench.views.axes import thin, x_scale
from grambench.views.palette import Look

GIB = numbers.GIB
Pick = Callable[[list[float]], float]
Name = Callable[[TrialState], str]
_MANY = 7
"""With more labels than this the plot says how to see one of them alone."""
_FAR_APART = 5
"""Ratio of the highest to the lowest rate from which their axis is logarithmic."""
_SETUP_PHASES = {
    "start": "loading the libraries",
    "prepare": "preparing the data",
    "audit": "auditing gram-1s against e2e in float64",
    "load": "loading the model",
    "done": "setup done",
}

_SCHEDULES = {"race": "side by side, in short turns", "parallel": "each on a device of its own"}

_UNITS: dict[XAxis, Unit] = {"seconds": "s", "steps": "steps", "joules": "J"}
_OVER: dict[XAxis, str] = {
    "seconds": "training time",
    "steps": "steps",
    "joules": "joules of the GPU",
}


def metric_plot(scene: Scene, width: int) -> Plot:
    """Validation AUC, with the read-out at the cursor."""
    picture = _metric_picture(scene)
    return Plot(
        picture, _metric_empty(scene, width), _metric_title(scene), _read_out(scene, picture, width - 8)
    )


def rate_plot(scene: Scene, width: int) -> Plot:
    """Samples/s of every trial; on a logarithmic axis where they lie far apart."""
    plot = series_plot(scene, width, lambda trial: trial.rate_series, "samples/s")
    rates = [median(y for _, y in curve.points) for curve in plot.picture.curves if curve.points]
    if not rates or max(rates) <= _FAR_APART * min(rates):
        return plot
    return replace(plot, picture=replace(plot.picture, logarithmic_y=True), title="samples/s (log)")


def memory_plot(scene: Scene, width: int) -> Plot:
    """GiB of every trial; a spike is never averaged away."""
    return series_plot(scene, width, lambda trial: trial.memory_series, "memory", max, GIB)


@dataclass(frozen=True, slots=True)
class SidePlot:
    """A panel beside the metric plot."""

    name: str
    """Its id on the screen."""
    title: str
    """In its frame."""
    plot: Callable[[Scene, int], Plot]
    """Of a scene, for a panel of some columns."""


SIDE_PLOTS = (
    SidePlot("rate", "samples/s", rate_plot),
    SidePlot("memory", "memory, GiB", memory_plot),
)
"""From top to bottom; where there is little room, the last ones are hidden."""


def _metric_title(scene: Scene) -> str:
    """What the plot shows, and the active modes."""
    view = scene.view
    modes = [word for word, on in (("log", view.logarithmic), ("smoothed", view.smooth)) if on]
    title = f"validation {scene.state.metric.title} over {_OVER[view.x_axis]}"
    return title + (f" ({', '.join(modes)})" if modes else "")


def _metric_picture(scene: Scene) -> Picture:
    """Every validation of every trial, named at its end, under the viewer's settings."""
    view = scene.view
    return Picture(
        metric_curves(scene, view.x_axis, _long_name, view.smooth),
        scene.tones,
        unit=_UNITS[view.x_axis],
        logarithmic=view.logarithmic,
        target=view.target,
        cursor=view.cursor,
    )


def metric_curves(scene: Scene, axis: XAxis, name: Name, smooth: bool = False) -> tuple[Curve, ...]:
    """Every validation of every trial."""

    def points(trial: TrialState) -> list[tuple[float, float]]:
        scores = [(_x_of(trial, e, axis), e.metrics.get(scene.state.select_by)) for e in trial.evaluations]
        pairs = [(x, y) for x, y in scores if x is not None and y is not None]
        return smoothed(pairs) if smooth else pairs

    return _curves(scene, points, 400, name, max if scene.state.metric.better > 0 else min)


def _read_out(scene: Scene, picture: Picture, columns: int) -> str:
    """The value of every curve at the cursor: its last point at or before it."""
    if picture.cursor is None or columns < 8:
        return highlight_hint(scene.looks, scene.view.highlighted)
    ends = [(c.points[-1][0], len(c.name) + 4) for c in picture.curves if c.points]
    values = [x for curve in picture.curves for x, _ in curve.points if x > 0]
    x = x_scale(ends, values, columns, picture.logarithmic).value(picture.cursor)
    at = numbers.clock(x) if picture.unit == "s" else f"{x:,.0f} {picture.unit}"
    values_there: list[tuple[TrialState, float]] = []
    for curve, trial in zip(picture.curves, scene.state.trials.values(), strict=True):
        before = [y for place, y in curve.points if place <= x]
        if before and not curve.dimmed:
            values_there.append((trial, before[-1]))
    text = "  ".join([at, *(f"{short_name(trial)} {value:.4f}" for trial, value in values_there)])
    return text if len(text) <= columns + 4 else _short_read_out(scene, at, values_there, columns + 4)


def _short_read_out(scene: Scene, at: str, values: list[tuple[TrialState, float]], room: int) -> str:
    """The markers and means of the labels in `room` cells, the best first."""
    of_label: dict[str, list[float]] = {}
    for trial, value in values:
        of_label.setdefault(trial.label, []).append(value)
    better = scene.state.metric.better
    best = sorted(
        ((fmean(found), label) for label, found in of_label.items()), key=lambda each: -better * each[0]
    )
    parts = [at, *(f"{scene.looks[label].marker} {mean:.4f}" for mean, label in best)]
    while len("  ".join(parts)) > room and len(parts) > 1:
        parts.pop()
    return "  ".join(parts)


def highlight_hint(looks: Mapping[str, Look], label: str | None) -> str:
    """How to see one label alone, where there are many; or the highlighted `label`."""
    if label is not None and label in looks:
        return f"{looks[label].marker} {safe_text(label, 32)}, h: next, esc: all"
    return f"h: highlight one of {len(looks)}" if len(looks) > _MANY else ""


def _x_of(trial: TrialState, evaluation: Evaluated, axis: XAxis) -> float | None:
    if axis == "steps":
        return float(evaluation.step)
    if axis == "seconds":
        return evaluation.train_s
    series = trial.energy_series
    place = bisect_right(series.xs, evaluation.train_s)
    return series.ys[place - 1] if place else None


def one_curve(
    scene: Scene, trial: TrialState, series: Series, width: int, unit: float = 1.0, zero: bool = True
) -> Picture:
    """A series of one trial over its training seconds.

    `zero`: the value axis begins at 0; scores and losses vary too far above it for that.
    """
    points = [(x, y / unit) for x, y in zip(series.xs, series.ys, strict=True)]
    look = scene.look(trial)
    curve = Curve("", look.colour, look.marker, thin(points, 2 * width, fmean), marked=False)
    return Picture((curve,), scene.tones, zero=zero)


def series_curves(
    scene: Scene,
    width: int,
    of: Callable[[TrialState], Series],
    name: Name,
    pick: Pick = fmean,
    unit: float = 1.0,
) -> tuple[Curve, ...]:
    """A series of every trial over its training seconds.

    Args:
        scene: what is drawn.
        width: columns of the panel.
        of: the series of a trial.
        name: of a trial, at the end of its curve.
        pick: makes one value of those that share a place.
        unit: what a value of 1 is in the series' own unit.
    """

    def points(trial: TrialState) -> list[tuple[float, float]]:
        series = of(trial)
        return [(x, y / unit) for x, y in zip(series.xs, series.ys, strict=True)]

    curves = _curves(scene, points, max(16, 2 * width), name, pick)
    return tuple(replace(curve, marked=False) for curve in curves)


def series_plot(
    scene: Scene,
    width: int,
    of: Callable[[TrialState], Series],
    subject: str,
    pick: Pick = fmean,
    unit: float = 1.0,
) -> Plot:
    """As `series_curves`, under short names.

    `subject`: what the series is of, for the sentence before the first point.
    """
    curves = series_curves(scene, width, of, short_name, pick, unit)
    return Plot(Picture(curves, scene.tones, zero=True), plain_empty(scene, subject))


def _curves(
    scene: Scene,
    points: Callable[[TrialState], list[tuple[float, float]]],
    most: int,
    name: Name,
    pick: Pick,
) -> tuple[Curve, ...]:
    """One curve per trial; a label is named once, at the end of its longest curve."""
    points_of = {trial.name: points(trial) for trial in scene.state.trials.values()}
    longest: dict[str, str] = {}
    for trial in scene.state.trials.values():
        best = longest.get(trial.label)
        ends = points_of[trial.name][-1][0] if points_of[trial.name] else -1.0
        if best is None or ends > (points_of[best][-1][0] if points_of[best] else -1.0):
            longest[trial.label] = trial.name
    return tuple(
        _curve(
            scene,
            trial,
            name(trial) if longest[trial.label] == trial.name else "",
            thin(points_of[trial.name], most, pick),
        )
        for trial in scene.state.trials.values()
    )


def _curve(scene: Scene, trial: TrialState, name: str, points: tuple[tuple[float, float], ...]) -> Curve:
    """Bright, or faint and without a name while another label is highlighted."""
    look = scene.look(trial)
    if scene.is_dimmed(trial):
        return Curve("", scene.tones.faint, look.marker, points, dimmed=True)
    return Curve(name, look.colour, look.marker, points)


def _long_name(trial: TrialState) -> str:
    return safe_text(trial.label, 16)


def short_name(trial: TrialState) -> str:
    """`1S` for gram-1s, `E2E` for e2e: the paper's own short forms."""
    name = _long_name(trial).removeprefix("gram-")
    return name.upper() if len(name) <= 4 and trial.label == trial.strategy else name


# --- text in place of a plot -------------------------------------------------------------------


def _metric_empty(scene: Scene, width: int) -> Content:
    """The setup's progress while it runs; then what the first validation waits for."""
    state, tones = scene.state, scene.tones
    lines = [*_setup_lines(scene, max(10, min(width - 4, 60)))]
    if state.finished:
        lines.append(styled("no trial was validated", tones.muted))
    elif not scene.setting_up:
        lines.append(styled("first validation after epoch 1", tones.muted))
    elif not lines:
        lines.append(styled("waiting for the run's first event", tones.muted))
    return Content("\n").join(lines)


def plain_empty(scene: Scene, subject: str) -> Content:
    """What stands in place of a plot without points."""
    ended = scene.state.finished
    return styled(
        f"no {subject} was measured" if ended else f"{subject} once training starts", scene.tones.muted
    )


def _setup_lines(scene: Scene, width: int) -> list[Content]:
    setup, tones = scene.state.setup, scene.tones
    lines: list[Content] = []
    prepare = setup.prepare
    if setup.data is not None:
        origin = "mapped from an earlier run" if setup.data.reused else "prepared"
        items = setup.data.counts.get("items")
        detail = f", {numbers.count(items)} items" if isinstance(items, int) else ""
        lines.append(
            Content.assemble(
                ("✓ ", tones.good),
                (f"data {origin} in {numbers.seconds(setup.data.seconds)} s{detail}", tones.text),
            )
        )
    elif prepare is not None:
        total = f" / {numbers.count(prepare.total)}" if prepare.total else ""
        amount = f"{numbers.count(prepare.done)}{total}"
        name = safe_text(prepare.phase, 40)
        lines.append(Content.assemble(("▸ ", tones.accent), (f"{name}  ", tones.text), (amount, tones.text)))
        if prepare.total:
            lines.append(
                Content.assemble("  ", bar(prepare.done / prepare.total, width, tones.accent, tones.faint))
            )
    audit = setup.audit
    if audit is not None:
        verdict = "1S = E2E" if audit.equivalent else "1S ≠ E2E"
        worst = numbers.tolerance(audit.relative)
        sign, colour = ("✓ ", tones.good) if audit.equivalent else ("✗ ", tones.bad)
        detail = f"audit: {verdict} to {worst} on {audit.users} users, {audit.unique_items} items"
        lines.append(Content.assemble((sign, colour), (detail, tones.text)))
    if setup.outcome in ("failed", "stopped"):
        reason = safe_text(setup.reason, 200)
        lines.append(Content.assemble(("✗ ", tones.bad), (f"setup {setup.outcome}: {reason}", tones.bad)))
    elif setup.phase is not None and scene.setting_up and audit is None and (prepare is None or setup.data):
        what = _SETUP_PHASES.get(setup.phase, setup.phase)
        lines.append(Content.assemble(("▸ ", tones.accent), (what, tones.text)))
    if scene.setting_up and scene.state.run and not scene.state.finished:
        todo = [] if audit is not None or setup.phase == "audit" else ["audit of gram-1s against e2e"]
        how = _SCHEDULES.get(scene.state.schedule, "one after the other")
        todo += [f"{len(scene.state.trials)} trials, {how}"] if scene.state.trials else []
        lines += [styled(f"· {what}", tones.muted) for what in todo]
    return lines
