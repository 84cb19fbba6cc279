"""The LSTM knowledge tracer over item vectors (GRAM, section 4; Piech et al., 2015).

Legend: B users, L positions, N item vectors, D width.
"""

import torch
from torch import Tensor, nn

from grambench.config.networks import Filter as FilterSpec
from grambench.models.filters.base import AnswerFilter, AnswerView
from grambench.models.rows import rows_at

CORRECTNESS_WIDTH = POSITION_WIDTH = 16


def make(spec: FilterSpec, width: int) -> "LSTMTracer":
    """Build it from the `filter` table."""
    return LSTMTracer(width, spec.lstm.layers, spec.lstm.dropout, spec.sequence)


class LSTMTracer(AnswerFilter):
    """Reads the answers before each position and predicts the one to the item there.

    The input [item vector; correctness; position] is shifted by one, so that position t knows the answers
    before t; the logit is h_t · e of the item asked at t, and of no other item. The first position reads a
    learnt start vector.
    """

    def __init__(self, width: int, layers: int, dropout: float, length: int) -> None:
        """
        Args:
            width: D, of the item vectors and of the LSTM.
            layers: of the LSTM.
            dropout: between the LSTM's layers and on its output.
            length: most positions.
        """
        super().__init__()
        self.length = length
        self.correctness = nn.Embedding(2, CORRECTNESS_WIDTH)
        self.position = nn.Embedding(length, POSITION_WIDTH)
        self.start = nn.Parameter(torch.zeros(width + CORRECTNESS_WIDTH))
        self.mix = nn.Linear(width + CORRECTNESS_WIDTH + POSITION_WIDTH, width)
        self.lstm = nn.LSTM(width, width, layers, batch_first=True, dropout=dropout if layers > 1 else 0.0)
        self.drop = nn.Dropout(dropout)

    def scores(self, item_vectors_ND: Tensor, view: AnswerView) -> Tensor:
        """Logit [B, L] of a right answer at each position; undefined at padding."""
        asked_BLD = rows_at(item_vectors_ND, view.asked_BL)
        answered = torch.cat((asked_BLD, self.correctness(view.correct_BL)), dim=2)[:, :-1]
        start = self.start.expand(len(answered), 1, -1)
        known = torch.cat((start, answered), dim=1)
        positions = self.position.weight[: known.shape[1]].expand(len(known), -1, -1)
        mixed_BLD = self.mix(torch.cat((known, positions), dim=2))
        state_BLD = self.drop(self.lstm(mixed_BLD)[0])
        logits_BL: Tensor = (state_BLD * asked_BLD).sum(dim=2)
        return logits_BL
