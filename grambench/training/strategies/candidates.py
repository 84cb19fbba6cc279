"""`e2e-cand`: the gradient reaches the encoder through the candidates only.

Legend: U distinct items of a batch, C those that are candidates, D width.
"""

import functools

import numpy as np
import torch
from torch import Tensor

from grambench import gram
from grambench.training.phases import encode, encoder_backward, filter_backward
from grambench.training.protocols import Batch, StepResult
from grambench.training.strategies.single_step import SingleStep
from grambench.transfer import sent


class CandidatesOnly(SingleStep):
    """Single-step without the history's gradient: what a cache of the history costs in quality if it is
    never out of date.

    Each distinct item is encoded once, with the current weights; only candidates keep a graph. A
    candidate that is also in a history gets the gradient of its uses as a candidate.
    """

    def gradients(self, batch: Batch) -> StepResult:
        """Encode the distinct items, filter, and backpropagate the candidates' ∂𝓛/∂h through the encoder."""
        view, system, device = batch.unique(), self.system, self.system.clock.device
        items_U = view.host_items_N
        is_candidate_U = np.isin(items_U, batch.candidates())
        places_C, others = (
            sent(torch.from_numpy(np.flatnonzero(mask_U)), device)
            for mask_U in (is_candidate_U, ~is_candidate_U)
        )
        chunks, order_C = self._chunks(items_U[is_candidate_U])

        def filter_pass(candidates_CD: Tensor) -> tuple[Tensor, Tensor]:
            vectors_UD = candidates_CD.new_empty(len(items_U), candidates_CD.shape[1])
            vectors_UD[places_C] = candidates_CD.detach()
            with torch.no_grad():
                vectors_UD[others] = encode(system, items_U[~is_candidate_U])
            twice = torch.cat((vectors_UD, vectors_UD))
            loss, gradient = filter_backward(system, view.apart(), twice, batch.users)
            return loss, gradient[places_C]

        loss = gram.single_step(
            functools.partial(encode, system),
            chunks,
            order_C,
            filter_pass,
            lambda vectors_ND, gradient_ND: encoder_backward(system, vectors_ND, gradient_ND),
        )
        return StepResult(loss, batch.users, view.occurrences, len(items_U))
