"""What an epoch of gram-1e and one of e2e cost at a size that was not trained, from their parts' seconds.

    gram-1e = items x forward  +  CF steps  +  items x (forward and backward)
    e2e     = answers x (forward and backward, as many at once as e2e holds)  +  CF steps

An item is encoded without a graph when the epoch's window opens, and with one, in small mini-batches, when it
closes; e2e encodes the item of every answer, many at once, which on a GPU is cheaper. Left out: the table's
moves, and the steps of the encoder's optimiser.
"""

from dataclasses import dataclass
from math import ceil


@dataclass(frozen=True, slots=True)
class Costs:
    """Seconds of the parts with one encoder and its filter on one machine."""

    forward_s: float
    """Encoding an item without a graph."""
    training_s: float
    """Encoding an item, forward and backward, in the mini-batches of a closing window."""
    e2e_s: float
    """Encoding an item, forward and backward, with as many others as e2e holds a graph of."""
    cf_step_s: float
    """A step of the filter alone, on a whole batch."""


@dataclass(frozen=True, slots=True)
class Size:
    """What an epoch reads: every answer once, in sequences without padding."""

    items: int
    answers: int
    sequence: int = 100
    """Answers in a sequence."""
    batch: int = 32
    """Sequences in a CF step."""

    @property
    def steps(self) -> int:
        """CF steps of the epoch; the last sequence and the last batch may be short."""
        return ceil(ceil(self.answers / self.sequence) / self.batch)

    @property
    def appearances(self) -> float:
        """Mean answers to an item: R, the reuse ratio of the epoch."""
        return self.answers / self.items


TOEIC = Size(items=9_336, answers=94_264_845)
"""Table 3 of the GRAM paper."""
TOEIC_TOKENS = 147.47
"""Mean tokens of its items."""

_H100_TRAINING_S = TOEIC_TOKENS / 692_640
H100 = Costs(_H100_TRAINING_S / 3, _H100_TRAINING_S, _H100_TRAINING_S, cf_step_s=5e-3)
"""What an H100 may reach with the paper's encoder, 6 layers and 768 wide: 692,640 tokens a second forward and
backward (`results/gpu.json`, the best bucket of its many items), a third of these seconds forward, and the
5 ms that a CF step of NRMS took there; the LSTM's has not been measured."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """Seconds of both epochs."""

    opening_s: float
    cf_s: float
    closing_s: float
    e2e_s: float

    @property
    def gram_s(self) -> float:
        """Of gram-1e's epoch."""
        return self.opening_s + self.cf_s + self.closing_s

    @property
    def ratio(self) -> float:
        """Samples per second of gram-1e over those of e2e."""
        return self.e2e_s / self.gram_s

    @property
    def ceiling(self) -> float:
        """The same for the filter alone: what more answers to the same items tend to."""
        return self.e2e_s / self.cf_s


def predict(costs: Costs, size: Size) -> Prediction:
    """Both epochs of a size."""
    cf_s = size.steps * costs.cf_step_s
    return Prediction(
        opening_s=size.items * costs.forward_s,
        cf_s=cf_s,
        closing_s=size.items * costs.training_s,
        e2e_s=size.answers * costs.e2e_s + cf_s,
    )
