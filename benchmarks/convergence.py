"""Trainings side by side: how many training seconds each needs to the AUC that single-step reaches.

The first strategy runs until its validation AUC falls; the others stop as soon as they are there.
"""

import math

from benchmarks.harness import Bench
from benchmarks.trials import Point, best, curve, seconds_to
from grambench.config.spec import Spec
from grambench.domains.prepared import Prepared
from grambench.events import types as ev


def race(result: Bench, specs: dict[str, Spec], data: Prepared, share: float) -> dict[str, float]:
    """Training seconds of each strategy to `share` of the first one's best AUC; infinite: never reached."""
    names = list(specs)
    points, events = curve(names[0], specs[names[0]], data)
    target = share * best(points).auc
    found = {names[0]: _report(result, names[0], points, events, target)}
    for name in names[1:]:
        points, events = curve(
            name, specs[name], data, until=lambda points: bool(points) and points[-1].auc >= target
        )
        found[name] = _report(result, name, points, events, target)
    result.facts["target_auc"] = round(target, 4)
    return found


def _report(result: Bench, name: str, points: list[Point], events: list[ev.Event], target: float) -> float:
    reached = seconds_to(points, target)
    windows = [event for event in events if isinstance(event, ev.WindowClosed)]
    result.samples[f"{name}: train s"] = tuple(round(point.train_s, 3) for point in points)
    result.samples[f"{name}: validation AUC"] = tuple(round(point.auc, 5) for point in points)
    result.row(
        strategy=name,
        seconds_to_the_target="never" if reached is None else f"{reached:.1f}",
        best_AUC=f"{best(points).auc:.4f}",
        AUC_by_epoch=" ".join(f"{point.auc:.4f}" for point in points),
        seconds_an_epoch=f"{points[-1].train_s / len(points):.1f}",
        windows=f"{len(windows)}" if windows else "",
        drift=f"{windows[0].drift:.2f} to {windows[-1].drift:.2f}" if windows else "",
    )
    return math.inf if reached is None else reached
