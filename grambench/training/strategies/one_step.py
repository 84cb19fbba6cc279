"""Base class of strategies with N = 1: the encoder is updated at every step."""

from abc import ABC, abstractmethod

from grambench.training.phases import System, dry_run
from grambench.training.protocols import Batch, State, StepResult


class OneStep(ABC):
    """Gradients of the whole batch for both modules, then one step of both optimisers."""

    window_steps = 1

    def __init__(self, system: System) -> None:
        self.system = system

    @abstractmethod
    def gradients(self, batch: Batch) -> StepResult:
        """Accumulate the gradients of the mean loss over the batch's users in both modules."""

    def step(self, batch: Batch) -> StepResult:
        """One update of filter and encoder."""
        result, system = self.gradients(batch), self.system
        system.sum_gradients(system.filter_optimizer, system.encoder_optimizer)
        system.filter_optimizer.clip()
        system.encoder_optimizer.clip()
        system.filter_optimizer.step(batch.progress)
        system.encoder_optimizer.step(batch.progress)
        return result

    def state_dict(self) -> State:
        """Empty: weights and optimisers hold the whole state."""
        return {}

    def load_state_dict(self, state: State) -> None:
        """Nothing to restore."""
        del state

    def warm_up(self, batch: Batch) -> None:
        """Compute and drop the gradients of a batch."""
        with dry_run(self.system):
            self.gradients(batch)
