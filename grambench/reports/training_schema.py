"""How a trial trained: where it diverged, gradients that were clipped, windows, age of vectors, curves."""

from typing import Any

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from grambench.reports.section import GrownSection, Model, Section

Point = tuple[float, float]


class Divergence(Section):
    """The first non-finite number; no weight was changed from that step on."""

    step: int
    """The step, from 1."""
    last_loss: float | None
    """The newest finite mean loss per user."""
    last_loss_step: int | None
    """The step at which it was read."""
    last_drift: float | None
    """The newest finite drift of a window, a ratio."""


class Clipping(Section):
    """How often the gradient of a module was clipped (`clip_norm`)."""

    share: float | None
    """Share of its updates; 0 to 1."""
    mean_norm: float | None
    """Mean norm of its gradient before that; of the mean loss, or of the pseudo-loss of multi-step GRAM."""


class Windows(GrownSection):
    """Windows of multi-step GRAM; means are over the newest ones, which the fold keeps."""

    closed: int
    """Windows closed, a count."""
    averaged: int
    """Number of newest windows that the means below are over."""
    mean_steps: float | None
    """CF steps of a window."""
    shortest_steps: int | None
    """CF steps of the shortest of them."""
    longest_steps: int | None
    """CF steps of the longest of them."""
    mean_unique_items: float | None
    """Distinct items of a window."""
    mean_reuse_ratio: float | None
    """R of a window: occurrences / unique items."""
    mean_drift: float | None
    """Mean of ‖h̃ − h‖ / ‖h‖ at the close, a ratio."""
    largest_drift: float | None
    """Largest of the same."""
    mean_pseudo_loss: float | None
    """Mean of ½ ‖h̃ − CE(c)‖² over the items."""
    mean_encoder_s: float | None
    """Seconds of the encoder's steps in a window."""
    mean_spread_drift: float | None = None
    """Mean at the close of ‖h̃ − h‖ over the mean distance of the window's items to their mean, a ratio."""
    mean_untouched_items: float | None = None
    """Items encoded for a window but read by none of its steps."""


class Staleness(Section):
    """How far vectors that the filter read lay behind the encoder, of a sample of at most 64 items.

    Measured before a validation, after a CF step; at the end of a window before the encoder is trained.
    """

    step: int
    """CF steps done."""
    train_s: float
    """Training seconds at which it was measured; the measurement takes none."""
    items: int
    """Items in the sample, a count."""
    mean_age: float
    """CF steps since a vector was encoded: the mean."""
    p90_age: float
    """The same: the 90th percentile."""
    max_age: int
    """The same: the largest."""
    drift: float | None
    """Mean distance of the vectors from the encoder's, over these' mean distance from their mean, a ratio."""


class Curves(Model):
    """[x, y] pairs with x in training seconds, thinned to at most 256 points; the newest is kept."""

    throughput: list[Point]
    """y: users per training second."""
    loss: list[Point]
    """y: mean loss per user."""
    memory: list[Point]
    """y: bytes; torch's allocation on a GPU, else resident memory of the worker."""
    drift: list[Point]
    """y: drift at the close of a window, a ratio."""
    energy: list[Point] = Field(default_factory=list)
    """y: joules of the GPU so far, where they were measured."""

    @model_serializer(mode="wrap")
    def _as_before_without_energy(self, fields: SerializerFunctionWrapHandler) -> dict[str, Any]:
        found: dict[str, Any] = fields(self)
        if not self.energy:
            del found["energy"]
        return found
