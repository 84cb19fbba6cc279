"""The optimiser of one module, or of a strategy's free item vectors."""

from typing import Literal

from grambench.config.table import Positive, Rate, Table


class Optimizer(Table):
    """Adam for one module."""

    lr: Rate = 1e-4
    """Learning rate; with `noam` the rate at the end of the warm-up."""
    schedule: Literal["constant", "noam"] = "constant"
    """`noam`: linear warm-up, then decay with the inverse square root of the step."""
    warmup_steps: Positive = 400
    """Optimiser steps of the warm-up (`noam` only)."""
