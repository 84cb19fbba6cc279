"""Ratings in training: the items of users, AUC. Legend: B users, L ratings, N item vectors, D width."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from grambench.config.spec import Spec
from grambench.data.batches.base import SampleBatch, Samples
from grambench.data.batches.block import Block, Indexed
from grambench.data.batches.epochs import EpochSampler
from grambench.domains.evaluation import Evaluation, PartEvaluator
from grambench.metrics.binary import auc
from grambench.models.filters.base import Filter, Scorer
from grambench.models.rows import rows_at
from grambench.transfer import read, stored
from ratings_domain.domain import Ratings


@dataclass(frozen=True, slots=True)
class RatingView:
    """Ratings of items that index the item vectors."""

    items_N: Tensor
    host_items_N: NDArray[np.int64]
    occurrences: int
    rated_BL: Tensor
    mask_BL: Tensor
    liked_BL: Tensor

    def buffers(self) -> tuple[Tensor, ...]:
        return self.rated_BL, self.mask_BL, self.liked_BL

    def over(self, items_N: Tensor, buffers: Sequence[Tensor]) -> Self:
        return replace(self, items_N=items_N, **dict(zip(RatingBatch.tensors, buffers, strict=True)))


@dataclass(frozen=True, slots=True)
class RatingBatch(SampleBatch[RatingView]):
    tensors = ("rated_BL", "mask_BL", "liked_BL")
    rated_BL: Tensor
    mask_BL: Tensor
    liked_BL: Tensor

    @staticmethod
    def block_of(samples: Samples, step_ends: Sequence[int]) -> Block:
        return Block(samples[0], samples[1], step_ends)

    def view(self, of: Indexed) -> RatingView:
        count = int(self.at.block.counts(self.at.rows).sum())
        return RatingView(of.items_N, of.host_items_N, count, of.index_BX, self.mask_BL, self.liked_BL)


class LikedItems(nn.Module, Filter):
    """A user is the sum of the other items that the user liked, through one linear map."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.map = nn.Linear(width, width)

    def scores(self, item_vectors_ND: Tensor, view: RatingView) -> Tensor:
        vectors_BLD = rows_at(item_vectors_ND, view.rated_BL)
        liked_BLD = self.map(vectors_BLD) * view.liked_BL[:, :, None]
        return ((liked_BLD.sum(dim=1, keepdim=True) - liked_BLD) * vectors_BLD).sum(dim=2)

    def loss(self, item_vectors_ND: Tensor, view: RatingView) -> Tensor:
        scores_BL = self.scores(item_vectors_ND, view)
        losses_BL = functional.softplus(scores_BL) - view.liked_BL * scores_BL
        return losses_BL.where(view.mask_BL, 0).sum()


def samples_at(columns: Sequence[Tensor], users_B: Tensor) -> Samples:
    """Items, mask and likes [B, L] of some users."""
    rated_BL, liked_BL = (column[users_B] for column in columns)
    return rated_BL.long(), liked_BL >= 0, liked_BL.clamp(min=0)


class RatingSampler(EpochSampler[RatingBatch]):
    batch_type = RatingBatch
    drawn_ahead, collected = 64, 256

    def __init__(
        self, part: Ratings, *, seed: int, batch_size: int, epochs: int, max_steps: int | None, **place: Any
    ) -> None:
        super().__init__(seed, batch_size, **place)
        self.columns = [stored(column, **place) for column in (part.rated_UL, part.liked_UL)]
        self.plan(len(part.liked_UL), epochs, max_steps)

    def draw(self, epoch: int, samples_S: Tensor) -> Samples:
        return samples_at(self.columns, samples_S)


class RatingEvaluator(PartEvaluator):
    block = 4

    def __init__(self, part: Ratings, most: int | None, **options: Any) -> None:
        super().__init__(len(part.liked_UL), most, **options)
        self.columns = self.stored(part.rated_UL), self.stored(part.liked_UL)
        self.find_items()

    def read_items(self, block_B: Tensor) -> Sequence[Tensor]:
        rated_BL, mask_BL, _ = samples_at(self.columns, block_B)
        return (rated_BL[mask_BL],)

    def score(self, scorer: Scorer, block_B: Tensor) -> Tensor:
        rated_BL, mask_BL, liked_BL = samples_at(self.columns, block_B)
        at_BL = self.slots(rated_BL, mask_BL)
        view = RatingView(self.items_K, self.host_items_K, int(mask_BL.sum()), at_BL, mask_BL, liked_BL)
        return scorer(view)[mask_BL]

    def evaluation(self, scores_A: NDArray[Any]) -> Evaluation:
        _, mask_ML, liked_ML = samples_at(self.columns, self.samples_M)
        return Evaluation({"auc": auc(read(liked_ML[mask_ML]), scores_A)}, len(scores_A), 0, self.sampled)


def drawn_bytes(part: Ratings) -> int:
    return part.rated_UL.nbytes + part.liked_UL.nbytes


def scored_bytes(part: Ratings, items: int) -> int:
    return drawn_bytes(part) + 8 * (len(part.liked_UL) + items)


def make_sampler(_spec: Spec, part: Ratings, **options: Any) -> RatingSampler:
    return RatingSampler(part, **options)


def make_evaluator(spec: Spec, _data: object, part: Ratings, **options: Any) -> RatingEvaluator:
    return RatingEvaluator(part, spec.evaluation.max_impressions, **options)
