"""One dot a label: quality against cost, and the speed-up against the reuse ratio that bounds it."""

from grambench.metrics.catalogue import Metric
from grambench.reports.render.figures.chart import Chart, Dot, Figure, Key, keys_of, log_axis, value_axis
from grambench.reports.render.labels import Estimate, LabelTrials, by_label, selecting_metric, test_score
from grambench.reports.schema import Report
from grambench.views.palette import SOLID

_Pair = tuple[Estimate, Estimate]
_HOLLOW = "Hollow: another label is at least as good and as cheap, and better in one of the two."
_RINGED = "Ringed: no other label is at least as good and as cheap, and better in one of the two."
_INTERVALS = " Vertical bars are 95 % intervals of the mean over seeds (t)."


def quality_over_cost(report: Report) -> Figure:
    """Test scores over the training seconds to the checkpoint that was scored."""
    row, labels = selecting_metric(report), by_label(report)
    name, title = "quality-over-cost", f"Test {row.title} against training time"
    found: dict[str, _Pair] = {}
    for each in labels:
        cost, quality = each.estimate(lambda t: t.times.train_s_to_best), each.estimate(test_score(row.name))
        if cost and quality and cost.mean > 0:
            found[each.label] = cost, quality
    if not found:
        return Figure(name, title, None, f"Not drawn: {_why_no_quality(report)}.")
    keys = keys_of(labels)
    solid = all(keys[label].marker in SOLID for label in found)
    dots = [_quality_dot(keys[label], found, row, solid) for label in found]
    chart = Chart(
        log_axis("training seconds to the best checkpoint (log)", [dot.x for dot in dots]),
        value_axis(row.title, [end for dot in dots for end in (dot.low, dot.high)]),
        dots=tuple(dots),
    )
    return Figure(name, title, chart, (_HOLLOW if solid else _RINGED) + _with_intervals(dots))


def _quality_dot(key: Key, found: dict[str, _Pair], row: Metric, solid: bool) -> Dot:
    """Hollow if another label dominates it; ringed if none does and not all markers are `solid`."""
    (cost, quality), dominated = found[key.label], _dominated(key.label, found, row)
    ends = quality.low, quality.high
    return Dot(
        key, cost.mean, quality.mean, *ends, hollow=dominated and solid, ringed=not (dominated or solid)
    )


def speedup_over_reuse(report: Report) -> Figure:
    """Speed-up over e2e by R, with the line that reuse cannot pass."""
    name, title = "speedup-over-reuse", "Speed-up against reuse ratio R"
    labels = by_label(report)
    reference = next((each for each in labels if each.is_reference), None)
    if reference is None or reference.strategy != "e2e":
        return Figure(name, title, None, "Not drawn: R bounds the speed-up over e2e, which did not run.")
    dots = [dot for each in labels if (dot := _speedup_dot(each, labels))]
    if not dots:
        return Figure(name, title, None, f"Not drawn: {_why_no_speedup(labels)}.")
    xs, ys = [1.0, *(dot.x for dot in dots)], [1.0, *(end for dot in dots for end in (dot.low, dot.high))]
    highest = max(xs)
    chart = Chart(
        log_axis("reuse ratio R (log)", xs),
        log_axis(f"speed-up over {reference.label} (log)", [*ys, highest]),
        dots=tuple(dots),
        line=((min(xs), min(xs)), (highest, highest), "speed-up = R"),
    )
    bars = " Vertical bars are intervals between processes." if any(d.low != d.high for d in dots) else ""
    return Figure(name, title, chart, f"Reuse alone can make a strategy R times as fast at most.{bars}")


def _speedup_dot(each: LabelTrials, labels: list[LabelTrials]) -> Dot | None:
    reuse, found = each.estimate(lambda trial: trial.reuse_ratio), each.speedup
    if reuse is None or found is None:
        return None
    ratio, low, high = found
    return Dot(keys_of(labels)[each.label], reuse.mean, ratio, low or ratio, high or ratio)


def _dominated(label: str, found: dict[str, _Pair], row: Metric) -> bool:
    cost, quality = (each.mean for each in found[label])
    others = [(c.mean, row.better * (q.mean - quality)) for name, (c, q) in found.items() if name != label]
    return any(c <= cost and gain >= 0 and (c < cost or gain > 0) for c, gain in others)


def _with_intervals(dots: list[Dot]) -> str:
    return _INTERVALS if any(dot.low != dot.high for dot in dots) else ""


def _why_no_quality(report: Report) -> str:
    reasons = [
        why for t in report.trials for why in (t.reasons.get("test"), *t.times.reasons.values()) if why
    ]
    return reasons[0] if reasons else "no trial was recorded"


def _why_no_speedup(labels: list[LabelTrials]) -> str:
    others = [trial for each in labels if not each.is_reference for trial in each.trials]
    reasons = [
        why
        for trial in others
        for why in (trial.speedups["e2e"].reasons.get("samples_per_s"), trial.reasons.get("reuse_ratio"))
        if why
    ]
    return reasons[0] if reasons else "only the reference ran"
