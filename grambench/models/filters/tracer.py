"""The LSTM knowledge tracer over item vectors (GRAM, section 4; Piech et al., 2015).

Legend: B users, L positions, N item vectors, D width.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from grambench.config.networks import Filter as FilterSpec
from grambench.models.filters.base import AnswerFilter, AnswerView

CORRECTNESS_WIDTH = POSITION_WIDTH = 16


def make(spec: FilterSpec, width: int) -> "LSTMTracer":
    """Build it from the `filter` table."""
    lstm = spec.lstm
    return LSTMTracer(width, lstm.layers, lstm.dropout, spec.sequence, lstm.masks)


class MaskedLSTM(nn.LSTM):
    """An LSTM whose dropout takes the masks of the view, so that it runs layer by layer.

    Weights have the names and the first values of `nn.LSTM`'s.
    """

    def __init__(self, width: int, layers: int, dropout: float) -> None:
        super().__init__(width, width, layers, batch_first=True)
        self.dropout = dropout

    def flatten_parameters(self) -> None:
        """On CUDA, lay out the weights as cuDNN reads them: layer by layer, where `nn.LSTM` lays out all."""
        first = self.weight_ih_l0
        if not (first.is_cuda and torch.backends.cudnn.is_acceptable(first)):
            return
        sizes = self.input_size, torch.backends.cudnn.rnn.get_cudnn_mode(self.mode), self.hidden_size, 0
        with torch.no_grad(), torch.cuda.device_of(first):
            for weights in self.all_weights:
                torch._cudnn_rnn_flatten_weight(tuple(weights), len(weights), *sizes, 1, True, False)

    def states(self, inputs_BLD: Tensor, view: AnswerView) -> Tensor:
        """h [B, L, D] of the last layer; in training each layer's is multiplied by its masks."""
        masks: Sequence[Tensor] = ()
        if self.training and self.dropout:
            sizes = self.num_layers, self.hidden_size, self.dropout
            masks = view.dropout_masks(*sizes, inputs_BLD.dtype).unbind(dim=2)
        states_BLD, zeros = inputs_BLD, inputs_BLD.new_zeros(1, len(inputs_BLD), self.hidden_size)
        for layer, weights in enumerate(self.all_weights):
            states_BLD, _, _ = torch.lstm(
                states_BLD,
                (zeros, zeros),
                tuple(weights),
                has_biases=True,
                num_layers=1,
                dropout=0.0,
                train=self.training,
                bidirectional=False,
                batch_first=True,
            )
            states_BLD = states_BLD * masks[layer] if masks else states_BLD
        return states_BLD


class LSTMTracer(AnswerFilter):
    """Reads the answers before each position and predicts the one to the item there.

    The input [item vector; correctness; position] is shifted by one, so that position t knows the answers
    before t; the logit is h_t · e of the item asked at t, and of no other item. The first position reads a
    learnt start vector.
    """

    def __init__(
        self,
        width: int,
        layers: int,
        dropout: float,
        length: int,
        masks: Literal["counter", "torch"] = "counter",
    ) -> None:
        """
        Args:
            width: D, of the item vectors and of the LSTM.
            layers: of the LSTM.
            dropout: between the LSTM's layers and on its output.
            length: most positions.
            masks: of dropout, from the view or from torch's global generator.
        """
        super().__init__()
        self.length = length
        self.correctness = nn.Embedding(2, CORRECTNESS_WIDTH)
        self.position = nn.Embedding(length, POSITION_WIDTH)
        self.start = nn.Parameter(torch.zeros(width + CORRECTNESS_WIDTH))
        self.mix = nn.Linear(width + CORRECTNESS_WIDTH + POSITION_WIDTH, width)
        self.lstm: nn.LSTM
        if dropout and masks == "counter":
            self.lstm = MaskedLSTM(width, layers, dropout)
        else:
            between = dropout if layers > 1 else 0.0
            self.lstm = nn.LSTM(width, width, layers, batch_first=True, dropout=between)
            self.drop = nn.Dropout(dropout)

    def scores(self, item_vectors_ND: Tensor, view: AnswerView) -> Tensor:
        """Logit [B, L] of a right answer at each position; undefined at padding."""
        asked_BLD, answered_BLD = self.vectors(item_vectors_ND, view)
        answered = torch.cat((answered_BLD, self.correctness(view.correct_BL)), dim=2)[:, :-1]
        start = self.start.expand(len(answered), 1, -1)
        known = torch.cat((start, answered), dim=1)
        positions = self.position.weight[: known.shape[1]].expand(len(known), -1, -1)
        mixed_BLD = self.mix(torch.cat((known, positions), dim=2))
        logits_BL: Tensor = (self._states(mixed_BLD, view) * asked_BLD).sum(dim=2)
        return logits_BL

    def _states(self, mixed_BLD: Tensor, view: AnswerView) -> Tensor:
        if isinstance(self.lstm, MaskedLSTM):
            return self.lstm.states(mixed_BLD, view)
        states_BLD: Tensor = self.drop(self.lstm(mixed_BLD)[0])
        return states_BLD
