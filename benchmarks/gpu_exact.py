"""Section of `benchmarks.measure`: graphs against plain steps, packed rows against buckets.

In float64 with a small encoder both are one computation in another order; with the full encoder in the
product's precision the distance says what that order costs there.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from benchmarks.gpu_checks import gradients
from benchmarks.gpu_lab import Lab, altered
from benchmarks.targets import Target
from benchmarks.trials import Trial
from grambench.config.spec import Spec
from grambench.training.strategies import SingleStep


@dataclass(frozen=True, slots=True)
class Precision:
    """Where the two are compared."""

    name: str
    double: bool
    rows_bound: float
    """Of vectors and gradients, over their norm."""
    graphs_bound: float
    """Of weights, over the way that they have gone; Adam makes large differences of small ones."""


PRECISIONS = (
    Precision("fp64, small encoder", True, 1e-10, 1e-6),
    Precision("the product's precision, full encoder", False, 2e-2, 0.2),
)
WINDOWS = 2


def engines(lab: Lab) -> None:
    """Both comparisons in both precisions."""
    for precision in PRECISIONS:
        _rows(lab, precision)
        _graphs(lab, precision)
        lab.release()


def _spec(lab: Lab, precision: Precision, layout: str, graphs: str = "off") -> Spec:
    spec = altered(lab.spec, "training", batch_size=lab.sizes.exact_users)
    if precision.double:
        spec = altered(spec, "encoder", architecture=lab.sizes.small_encoder)
    spec = altered(altered(spec, "encoder", layout=layout), "engine", graphs=graphs)
    return altered(spec, "multi_step", encoder_batch=lab.sizes.exact_users)


def _trial(lab: Lab, name: str, precision: Precision, spec: Spec) -> Trial:
    if precision.double:
        return lab.trial(name, spec, autocast=False, dtype=torch.float64)
    return lab.trial(name, spec)


def _rows(lab: Lab, precision: Precision) -> None:
    """Vectors and gradients of a batch, packed against in buckets."""
    found = {}
    for layout in ("buckets", "packed"):
        made = _trial(lab, "gram-1s", precision, _spec(lab, precision, layout))
        batch = made.sampler.batch(0)
        with torch.no_grad():
            vectors = made.system.encode(batch.unique().host_items_N)
        found[layout] = {"vectors": vectors, **gradients(SingleStep(made.system), made.modules, batch)}
    distances = {name: distance(found["packed"][name], wanted) for name, wanted in found["buckets"].items()}
    what = f"packed rows against buckets, {precision.name}"
    note = ", ".join(f"{name} {value:.1e}" for name, value in distances.items())
    lab.row(what, f"{max(distances.values()):.1e} of the norm", note, f"below {precision.rows_bound:.0e}")
    lab.claim(Target(what, precision.rows_bound, "at most"), max(distances.values()), note)


def _graphs(lab: Lab, precision: Precision) -> None:
    """Weights after two windows, replayed against plain: CF steps and the encoder's at a window's end."""
    weights: dict[str, dict[str, Tensor]] = {}
    troubles = ""
    for graphs in ("off", "on"):
        made = _trial(lab, "gram-4s", precision, _spec(lab, precision, "packed", graphs))
        before = {name: value.clone() for name, value in made.modules.state_dict().items()}
        made.strategy.warm_up(made.sampler.batch(0))
        for step in range(WINDOWS * made.strategy.window_steps):
            made.strategy.step(made.sampler.batch(step))
        weights[graphs] = {name: value - before[name] for name, value in made.modules.state_dict().items()}
        troubles = made.system.fixed.trouble
    distances = {}
    for part in ("encoder", "filter"):
        moved = [
            torch.cat([value.flatten() for name, value in side.items() if name.startswith(f"{part}.")])
            for side in (weights["on"], weights["off"])
        ]
        distances[part] = distance(*moved)
    what = f"graphs against plain steps, {precision.name}"
    if troubles:
        lab.left_out(what, f"nothing was captured: {troubles}")
        return
    note = ", ".join(f"{part} {value:.1e}" for part, value in distances.items()) + f"; {WINDOWS} windows"
    bound = f"below {precision.graphs_bound:.0e}"
    lab.row(what, f"{max(distances.values()):.1e} of the movement", note, bound)
    lab.claim(Target(what, precision.graphs_bound, "at most"), max(distances.values()), note)


def distance(found: Tensor, wanted: Tensor) -> float:
    """Norm of the difference over that of what is wanted; not a number where that has not moved."""
    norm = float(wanted.norm())
    return float((found - wanted).norm()) / norm if norm else float("nan")
