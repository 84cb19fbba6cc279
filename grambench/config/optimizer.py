"""The optimiser of one module, or of a strategy's free item vectors."""

from typing import Annotated, Literal

from pydantic import Field

from grambench.config.table import Positive, Rate, Table


class RowOptimizer(Table):
    """Adam for free item vectors, which never decay: a step reads few of them."""

    lr: Rate = 1e-4
    """Learning rate; with a warm-up the rate at its end."""
    schedule: Literal["constant", "noam", "linear", "cosine"] = "constant"
    """`noam`: linear warm-up, then decay with the inverse square root of the optimiser's own step. `linear`
    and `cosine`: linear warm-up, then decay to 0 over the planned training (`epochs`, `max_steps`), by the
    share of its samples that have been trained: the same for all strategies, and early stopping does not
    change it. The encoder's steps at a window's end are spread over the share that the window has taken."""
    warmup_steps: Positive = 400
    """Optimiser steps of the warm-up (`noam` only)."""
    warmup_share: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Share of the planned training in the warm-up (`linear` and `cosine`); 0: no warm-up."""
    clip_norm: Rate | None = None
    """Largest norm of the gradient of the mean loss over all weights of the module; a larger gradient is
    scaled down to it before the update. Unset: no clipping. In multi-step GRAM the encoder's is that of the
    pseudo-loss, which has another scale."""


class Optimizer(RowOptimizer):
    """Adam for one module; AdamW with `weight_decay`."""

    weight_decay: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    """Decoupled weight decay: each update shrinks matrices by lr x weight_decay, so in all less where the
    encoder is updated less often. Biases, norms, embeddings and single learnt vectors never decay."""
