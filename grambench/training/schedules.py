"""Learning rates over a training, as a share of the rate in the settings."""

import math
from collections.abc import Callable

from grambench.config.optimizer import RowOptimizer
from grambench.data.batches.base import PlannedShare

_DECAYS: dict[str, Callable[[float], float]] = {
    "linear": lambda passed: 1 - passed,
    "cosine": lambda passed: 0.5 * (1 + math.cos(math.pi * passed)),
}
"""Share of the training after the warm-up that has passed -> share of the rate."""


def rate_at(spec: RowOptimizer, step: int, progress: PlannedShare | None) -> float:
    """The learning rate of an update.

    The warm-up counts the samples of this update, and the decay those before it, so that neither the first
    nor the last update of a training has the rate 0.

    Args:
        spec: of the optimiser.
        step: its own updates, this one included.
        progress: what the update takes of the planned training; only read by `linear` and `cosine`.

    Raises:
        ValueError: such a schedule without the progress.
    """
    if spec.schedule == "constant":
        return spec.lr
    if spec.schedule == "noam":
        # Vaswani et al. (2017), section 5.3, scaled so that the peak at the end of the warm-up is lr
        return spec.lr * min(step / spec.warmup_steps, math.sqrt(spec.warmup_steps / step))
    if progress is None:
        raise ValueError(
            f"The schedule {spec.schedule} needs the progress of training: pass `batch.progress` to `step`."
        )
    warm_up = spec.warmup_share
    if warm_up and progress.before < warm_up:
        return spec.lr * min(1.0, progress.after / warm_up)
    passed = min(1.0, (progress.before - warm_up) / (1 - warm_up))
    return spec.lr * _DECAYS[spec.schedule](passed)
