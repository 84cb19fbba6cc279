"""What of the encoder's work a trial saves, factor by factor: what is GRAM's, and what is not.

The unit is one layer run forward on one item. A layer's backward pass costs another for the gradient of its
input and a third for that of its weights, which low-rank updates save.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from grambench.config.strategies import adapts, row_of
from grambench.events.state import TrialState

if TYPE_CHECKING:
    from grambench.config.spec import Spec

_POSITIONS = {
    "news": lambda spec: spec.filter.history + 1 + spec.training.negatives,
    "knowledge-tracing": lambda spec: spec.filter.sequence,
}
"""Domain -> items of a sample with its padding."""
_TRAINED, _LOW_RANK = 3.0, 2.0
"""Units of a trained layer, forward and backward."""
_UNCOUNTED = "e2e-cand"
"""Encodes items with a graph and without, which its counters do not tell apart."""


@dataclass(frozen=True, slots=True)
class EncoderWork:
    """Each factor: work before over work after; above 1 it saves. Their product is the whole."""

    padding: float | None
    """Positions of samples padded to full length over real items. Engineering: published code often encodes
    padding."""
    trained_layers: float | None
    """All layers trained over what is trained, as published, where frozen layers run in each step."""
    cached_layers: float | None
    """That, over frozen layers computed once; None: no layer is left to run in a step."""
    repeated_items: float | None
    """Items of the batches over distinct items of each batch: single-step GRAM's."""
    windows: float | None
    """Distinct items of each batch over those of windows: multi-step GRAM's. Of `speedyfeed`, over those that
    its cache does not give."""
    recomputation: float | None
    """Below 1: a second forward pass of chunks, or at a window's end; None: no layer runs in a step, or the
    strategy is `e2e-cand`."""

    @property
    def product(self) -> float | None:
        """Work of padded end-to-end training of all layers over the trial's."""
        whole = 1.0
        for value in self.factors():
            if value is None:
                return None
            whole *= value
        return whole

    def factors(self) -> tuple[float | None, ...]:
        """In the order in which they multiply."""
        return (
            self.padding,
            self.trained_layers,
            self.cached_layers,
            self.repeated_items,
            self.windows,
            self.recomputation,
        )


def encoder_work(spec: "Spec", trial: TrialState) -> EncoderWork | None:
    """The factors of a trial so far; None: nothing is known of its layers or its items.

    None also for strategies that do not train the specified encoder.

    Args:
        spec: the run's settings with the trial's own.
        trial: of any strategy.
    """
    plan, seen = trial.plan, trial.settled
    if plan is None or seen is None or not plan.layers or not seen.unique_items or not seen.occurrences:
        return None
    if not adapts(row_of(plan.strategy)):
        return None
    positions = _POSITIONS.get(spec.data.domain)
    cost = _LOW_RANK if plan.adapt == "lora" else _TRAINED
    trained = plan.layers - plan.frozen_layers
    work = _Work(trained, cost, plan.frozen_layers if trial.states is None else 0)
    as_published = plan.frozen_layers + cost * trained
    distinct = seen.batch_items or seen.unique_items
    return EncoderWork(
        padding=positions(spec) * seen.samples / seen.occurrences if positions else None,
        trained_layers=_TRAINED * plan.layers / as_published,
        cached_layers=as_published / work.with_graph if work.with_graph else None,
        repeated_items=seen.occurrences / distinct,
        windows=distinct / seen.unique_items,
        recomputation=_recomputation(spec, trial, work),
    )


@dataclass(frozen=True, slots=True)
class _Work:
    """Of encoding an item in a step."""

    trained: int
    """Trained layers."""
    cost: float
    """Units of each, forward and backward."""
    frozen: int
    """Frozen layers that run in each step."""

    @property
    def with_graph(self) -> float:
        return self.frozen + self.cost * self.trained

    @property
    def without(self) -> float:
        return float(self.frozen + self.trained)


def _recomputation(spec: "Spec", trial: TrialState, work: _Work) -> float | None:
    """One forward and backward pass of each item over all passes."""
    plan, seen = trial.plan, trial.settled
    assert plan is not None
    assert seen is not None
    if plan.strategy == _UNCOUNTED:
        return None
    passes = spec.multi_step.encoder_passes if plan.window_steps > 1 else 1
    with_graph = seen.unique_items * passes
    done = work.with_graph * with_graph + work.without * (seen.items_encoded - with_graph)
    if row_of(plan.strategy).passes > 3:  # checkpointed layers are trained ones
        done += work.trained * seen.items_encoded
    return work.with_graph * seen.unique_items / done if done > 0 else None


def break_even_epochs(trial: TrialState) -> float | None:
    """Epochs after which states computed once have cost less than computing them in each step.

    Both run the same layers: once for all items of the catalogue, against each item encoded in an epoch.
    """
    if trial.states is None or not trial.epochs:
        return None
    encoded = sum(epoch.tokens_encoded for epoch in trial.epochs) / len(trial.epochs)
    return trial.states.rows / encoded if encoded else None
