"""How old the vectors are that a filter has read in place of freshly encoded ones, and how far off.

One definition for caches and windows, at the end of a CF step and before a window's end trains the encoder:
age is CF steps since the vector was encoded; drift is ‖v − CE(c)‖ over the spread of CE(c), the definition of
`Window.spread_drift`. Within a window the encoder does not change, so its h are CE(c).
Legend: U items that a step or a window has read, N of the sample, D width.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from grambench.data.batches import counter
from grambench.events.types import StalenessMeasured
from grambench.training.group import Group
from grambench.training.phases import System, dry_run
from grambench.training.protocols import Cached
from grambench.training.strategies.item_table import TINY, spread
from grambench.transfer import read

SAMPLE = 64
"""Items of a sample at most."""


def sampled(seed: int, items_U: NDArray[np.int64]) -> NDArray[np.int64]:
    """Places, ascending, of at most `SAMPLE` of the items; the same items wherever they are among them."""
    if len(items_U) <= SAMPLE:
        return np.arange(len(items_U))
    draws_U = read(counter.bits32(counter.key(seed, counter.Purpose.STALENESS), torch.from_numpy(items_U)))
    return np.sort(np.argpartition(draws_U, SAMPLE)[:SAMPLE])


def measured(system: System, cached: Cached, step: int, train_s: float) -> StalenessMeasured:
    """Ages and drift of a sample; changes no state of the training. Call it while the clock is stopped."""
    content_ND = cached.content_ND if cached.content_ND is not None else _encoded(system, cached.items_N)
    distance = (cached.vectors_ND - content_ND).norm(dim=1).double().mean()
    drift = float(read(distance / spread(content_ND, Group(alone=True)).clamp_min(TINY)))
    ages_N = cached.ages_N
    return StalenessMeasured(
        step=step,
        train_s=train_s,
        items=len(ages_N),
        mean_age=float(ages_N.mean()),
        p90_age=float(np.quantile(ages_N, 0.9, method="higher")),
        max_age=int(ages_N.max()),
        drift=drift if np.isfinite(drift) else None,
    )


@torch.no_grad()
def _encoded(system: System, items_N: NDArray[np.int64]) -> Tensor:
    """CE(c) in evaluation mode."""
    encoder = system.encode.encoder
    is_training = encoder.training
    with dry_run(system):
        encoder.eval()
        vectors_ND = system.encode(items_N)
        encoder.train(is_training)
    return vectors_ND
