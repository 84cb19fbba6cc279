"""SAKT over item vectors (Pandey and Karypis, EDM 2019; read in pykt-toolkit, `sakt.py`).

Legend: B users, L positions, N item vectors, D width.
"""

import torch
from torch import Tensor, nn

from grambench.config.networks import Filter as FilterSpec
from grambench.models.filters.base import AnswerFilter, AnswerView
from grambench.models.filters.blocks import AttentionBlock, require_heads


def make(spec: FilterSpec, width: int) -> "SAKT":
    """Build it from the `filter` table.

    Raises:
        ConfigError: `filter.sakt.heads` does not divide the width.
    """
    require_heads("sakt", spec.sakt.heads, width)
    return SAKT(width, spec.sakt.blocks, spec.sakt.heads, spec.sequence)


class SAKT(AnswerFilter):
    """The item asked reads the answers before it; a linear map of its state is the logit.

    An answer is the item's vector + one of two, for wrong and right, + its position's. The answers are
    shifted by one behind a learnt start vector, which is all that the first position reads. A block's queries
    are always the items asked; its keys and values are the states of the block before it.
    """

    def __init__(self, width: int, blocks: int, heads: int, length: int) -> None:
        """
        Args:
            width: D, divisible by `heads`.
            blocks: post-norm blocks with a feed-forward layer of D.
            heads: of each block.
            length: most positions.
        """
        super().__init__()
        self.start = nn.Parameter(torch.zeros(width))
        self.correctness = nn.Embedding(2, width)
        self.position = nn.Embedding(length, width)
        self.blocks = nn.ModuleList(AttentionBlock(width, heads, width) for _ in range(blocks))
        self.score = nn.Linear(width, 1)

    def scores(self, item_vectors_ND: Tensor, view: AnswerView) -> Tensor:
        """Logit [B, L] of a right answer at each position; undefined at padding."""
        asked_BLD, known_BLD = self.vectors(item_vectors_ND, view)
        answered = (known_BLD + self.correctness(view.correct_BL))[:, :-1]
        known_BLD = torch.cat((self.start.expand(len(answered), 1, -1), answered), dim=1)
        length = known_BLD.shape[1]
        states_BLD = known_BLD + self.position.weight[:length]
        mask_1LL = asked_BLD.new_ones(1, length, length, dtype=torch.bool).tril()
        for block in self.blocks:
            states_BLD = block(asked_BLD, states_BLD, mask_1LL)
        logits_BL: Tensor = self.score(states_BLD).squeeze(2)
        return logits_BL
