"""SASRec over item vectors (Kang and McAuley, 2018; with item vectors as in MoRec, Yuan et al., 2023).

Legend: B users, H history positions, C candidates of a user, K of all users, N item vectors, D width.
"""

from typing import Literal

import torch
from torch import Tensor, nn

from grambench.config.networks import Filter as FilterSpec
from grambench.models.filters.base import RankingView
from grambench.models.filters.blocks import AttentionBlock, require_heads
from grambench.models.filters.users import UserFilter
from grambench.models.rows import rows_at

Negatives = Literal["sampled", "in-batch"]


def make(spec: FilterSpec, width: int) -> "SASRec":
    """Build it from the `filter` table.

    Raises:
        ConfigError: `filter.sasrec.heads` does not divide the width.
    """
    table = spec.sasrec
    require_heads("sasrec", table.heads, width)
    return SASRec(width, table.blocks, table.heads, spec.history, table.negatives)


class SASRec(UserFilter):
    """Causal self-attention over the clicks; the state of the latest click times the candidate's vector.

    The authors predict the next item at every position; here a user has one target, the clicked candidate.
    """

    def __init__(
        self, width: int, blocks: int, heads: int, history: int, negatives: Negatives = "sampled"
    ) -> None:
        """
        Args:
            width: D, divisible by `heads`.
            blocks: post-norm blocks with a feed-forward layer of 4 D.
            heads: of each block.
            history: most clicks.
            negatives: which candidates `loss` reads.
        """
        super().__init__(width)
        self.across_users = negatives == "in-batch"
        self.position = nn.Embedding(history, width)
        self.norm = nn.LayerNorm(width)
        self.blocks = nn.ModuleList(AttentionBlock(width, heads, 4 * width) for _ in range(blocks))
        self.apply(_draw)

    def user_vectors(self, clicks_BHD: Tensor, readable_BH: Tensor) -> Tensor:
        """States [B, D] of the latest clicks; positions count back from them, so that padding moves none."""
        clicks = clicks_BHD.shape[1]
        states_BHD = self.norm(clicks_BHD + self.position.weight[:clicks].flip(0))
        earlier_BHH = readable_BH[:, None, :].expand(-1, clicks, -1).tril()
        itself_HH = torch.eye(clicks, dtype=torch.bool, device=readable_BH.device)
        mask_BHH = earlier_BHH | itself_HH  # padding reads itself and is read by nothing
        *lower, last = self.blocks
        for block in lower:
            states_BHD = block(states_BHD, states_BHD, mask_BHH)
        latest_B1D: Tensor = last(states_BHD[:, -1:], states_BHD, mask_BHH[:, -1:])
        return latest_B1D[:, 0]

    def loss(self, item_vectors_ND: Tensor, view: RankingView) -> Tensor:
        """Softmax cross-entropy of the clicked candidate, SUMMED over the users (eq. 8)."""
        compute = self.in_batch_loss if self.across_users else super().loss
        return compute(item_vectors_ND, view)

    def in_batch_loss(self, item_vectors_ND: Tensor, view: RankingView) -> Tensor:
        """The loss among the distinct candidates of all users that are not in the user's own history.

        The clicked one counts once, also where it is in the history or another user's candidate.

        It is not the loss of MoRec, MicroLens and IISAN. Their columns are all positions of all sequences, an
        item seen c times counting c times, less the logarithm of its share of the training clicks. Here
        columns are distinct, so that an item's weight does not grow with its popularity in the batch, which
        is what that logarithm corrects; they include items that were shown and not clicked, and there is one
        target a user.
        """
        users_BD = self.users(self.project(item_vectors_ND), view.history_BH, view.mask_BH, view.clicks_B)
        candidates_KD = rows_at(item_vectors_ND, view.candidates.flatten())
        clicked_BD = candidates_KD[:: view.candidates.shape[1]]
        negatives_BK = (users_BD @ candidates_KD.T).masked_fill(~is_negative(view), float("-inf"))
        clicked_B1 = (users_BD * clicked_BD).sum(dim=1, keepdim=True)
        return (torch.cat((clicked_B1, negatives_BK), dim=1).logsumexp(dim=1) - clicked_B1[:, 0]).sum()


def _draw(module: nn.Module) -> None:
    """First values so small that a user starts as the latest click, as in PixelRec (Cheng et al., 2023)."""
    if isinstance(module, nn.Linear | nn.Embedding):
        nn.init.normal_(module.weight, std=0.02)
    if isinstance(module, nn.Linear):
        nn.init.zeros_(module.bias)


def is_negative(view: RankingView) -> Tensor:
    """Mask [B, K] of all users' candidates: each user's negatives, distinct and none of its clicks."""
    history_BH = _ids(view, view.history_BH).where(view.mask_BH, -1)
    ids_K = _ids(view, view.candidates).flatten()
    clicked_B1 = ids_K[:: view.candidates.shape[1], None]
    is_repeated_K = (ids_K[:, None] == ids_K).tril(-1).any(dim=1)
    is_own_BK = (ids_K[:, None] == history_BH[:, None]).any(dim=2) | (ids_K == clicked_B1)
    return ~(is_repeated_K | is_own_BK)


def _ids(view: RankingView, index: Tensor) -> Tensor:
    return index if view.items_N is None else view.items_N[index]
