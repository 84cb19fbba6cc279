"""The code of `gram-halves`; only grambench's workers import it."""

import torch

from grambench.training.phases import encode, encoder_backward, filter_backward
from grambench.training.protocols import Batch, StepResult
from grambench.training.strategies import OneStep, StrategyInputs


class Halves(OneStep):
    """Gradients of both halves are accumulated, so that the step is that of the whole batch."""

    def gradients(self, batch: Batch) -> StepResult:
        """Encode the distinct items of a half, filter, and push ∂𝓛/∂h through the encoder; then the other."""
        losses, occurrences, encoded = [], 0, 0
        for half in batch.split(max(1, -(-batch.users // 2))):
            view = half.unique()
            vectors_UD = encode(self.system, view.host_items_N)
            loss, gradient_UD = filter_backward(self.system, view, vectors_UD, batch.users)
            encoder_backward(self.system, vectors_UD, gradient_UD)
            losses.append(loss)
            occurrences += view.occurrences
            encoded += len(view.host_items_N)
        return StepResult(torch.stack(losses).sum(), batch.users, occurrences, encoded)


def make(inputs: StrategyInputs) -> Halves:
    """The strategy of a trial."""
    return Halves(inputs.system)
