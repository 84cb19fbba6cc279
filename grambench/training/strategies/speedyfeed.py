"""SpeedyFeed (Xiao et al., 2022): single-step with a cache of item vectors that receive no gradient.

Legend: U distinct items of a batch, F freshly encoded ones, D width.
"""

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from grambench.config.baselines import SpeedyFeed as SpeedyFeedSpec
from grambench.data.batches import counter
from grambench.training.phases import System, encode, encoder_backward, filter_backward
from grambench.training.protocols import Batch, Cached, Sampler, State, StepResult
from grambench.training.strategies.one_step import OneStep
from grambench.training.strategies.staleness import sampled
from grambench.transfer import read, sent

_NEVER = -(1 << 62)


class SpeedyFeed(OneStep):
    """Central batching (each distinct item once), a cache with expiry, and dynamic batching (the buckets).

    At step t the cache is used with probability 1 − exp(−β t), drawn once for all items of the step (with
    `draw = "item"`, separately for each). An item then comes from the cache if it was encoded at most γ steps
    ago; else it is encoded. Only freshly encoded items receive a gradient, so the update differs from E2E's.
    """

    def __init__(self, system: System, sampler: Sampler, spec: SpeedyFeedSpec, seed: int) -> None:
        super().__init__(system)
        self.spec, self.seed, self.device = spec, seed, sampler.device
        catalogue = len(system.encode.tokens)
        self.encoded_at_I = np.full(catalogue, _NEVER, np.int64)
        """Step at which each cached vector was encoded, on the host, which selects the items to encode."""
        dtype = next(system.encode.encoder.parameters()).dtype
        self.cache_ID = torch.zeros(
            catalogue, system.encode.encoder.width, dtype=dtype, device=sampler.device
        )

        self._last: tuple[NDArray[np.int64], int] | None = None
        """Items of the last step, and CF steps done after it."""

    def warm_up(self, batch: Batch) -> None:
        """Compute and drop the gradients of a batch; the cache stays empty."""
        before = self.encoded_at_I.copy()
        super().warm_up(batch)
        self.encoded_at_I = before

    def gradients(self, batch: Batch) -> StepResult:
        """Encode the items not taken from the cache, filter, and backpropagate ∂𝓛/∂h through those."""
        view = batch.unique()
        items_U = view.host_items_N
        fresh_U = ~self._looked_up(batch.step, items_U)
        fresh_F = items_U[fresh_U]
        places_F = sent(torch.from_numpy(np.flatnonzero(fresh_U)), self.device)
        vectors_UD = self.cache_ID[view.items_N]
        encoded_FD: Tensor | None = None
        if len(fresh_F):
            encoded_FD = encode(self.system, fresh_F)
            vectors_UD[places_F] = encoded_FD.detach()
        loss, gradient_UD = filter_backward(self.system, view, vectors_UD, batch.users)
        if encoded_FD is not None:
            encoder_backward(self.system, encoded_FD, gradient_UD[places_F])
            self.cache_ID[sent(torch.from_numpy(fresh_F), self.device)] = encoded_FD.detach()
            self.encoded_at_I[fresh_F] = batch.step
        self._last = items_U, batch.step + 1
        return StepResult(loss, batch.users, view.occurrences, len(fresh_F), batch_items=len(items_U))

    def cached(self) -> Cached | None:
        """See `ReadsCached`: what the last step took from the cache, and what it has put there."""
        if self._last is None:
            return None
        items_U, steps = self._last
        items_N = items_U[sampled(self.seed, items_U)]
        vectors_ND = self.cache_ID[sent(torch.from_numpy(items_N), self.device)]
        return Cached(items_N, vectors_ND, steps - self.encoded_at_I[items_N])

    def state_dict(self) -> State:
        """The cache, and the step at which each vector was encoded."""
        return {"encoded_at": self.encoded_at_I, "cache": self.cache_ID}

    def load_state_dict(self, state: State) -> None:
        """Restore the state."""
        self.encoded_at_I = np.asarray(state["encoded_at"])
        self.cache_ID.copy_(torch.as_tensor(state["cache"]))
        self._last = None

    def _looked_up(self, step: int, items_U: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Mask [U] of the items taken from the cache."""
        rate = 1 - math.exp(-self.spec.beta * step)
        drawn_for = items_U if self.spec.draw == "item" else np.zeros(1, np.int64)
        numbers_U = torch.from_numpy(drawn_for)  # on the host, so that reading the draws does not synchronise
        draws_U = read(counter.bits32(counter.key(self.seed, counter.Purpose.CACHE, step), numbers_U))
        is_fresh_enough_U = step - self.encoded_at_I[items_U] <= self.spec.expiry
        looked_up_U: NDArray[np.bool_] = (draws_U < rate * 2**32) & is_fresh_enough_U
        return looked_up_U
