"""What the evaluators of all domains share: a part's items encoded once, its samples scored in blocks.

Legend: K items of the part, M samples, B samples of a block, A scores, D width.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from grambench.data.batches import counter
from grambench.data.batches.epochs import distinct
from grambench.metrics.ranking import RankingScores
from grambench.models.encoders.buckets import ItemEncoder
from grambench.models.filters.base import Filter, Scorer
from grambench.models.ranks import ALONE, Ranks
from grambench.transfer import HOST, read, sent, stored

WHOLE_NUMBERS = 2**26
"""Maximum number of elements of item projections held at once: 256 MiB in fp32."""


@dataclass(frozen=True, slots=True, eq=False)
class UserScores:
    """What an AUC is made of: its difference between two models varies over users as that of these values."""

    values: NDArray[np.floating]
    """[S] AUC of each impression, NaN for one of one class; or each answer's influence on the pooled AUC."""
    users: NDArray[np.integer]
    """[S] number of the user or student of each."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Metrics of a part."""

    metrics: dict[str, float | None]
    impressions: int
    """Number of scored impressions, or of students' answers."""
    skipped: int
    """Impressions with only one class, which have no AUC."""
    sampled: bool
    scores: RankingScores | None = None
    """Metrics of each impression, where there are impressions."""
    by_user: Callable[[], UserScores | None] = lambda: None
    """Computes them; None: no AUC."""


class PartEvaluator(ABC):
    """Scores a fixed set of samples of one part."""

    block: ClassVar[int]
    """Maximum number of samples that are scored at once."""
    items_K: Tensor
    """Distinct items that the samples read, ascending; set by `find_items`."""

    def __init__(
        self,
        samples: int,
        most: int | None,
        device: torch.device,
        resident: bool = True,
        between: Callable[[], None] = lambda: None,
        ranks: Ranks = ALONE,
    ) -> None:
        """With `most`, a fixed sample of so many, the same for every strategy and seed.

        `resident`: the interactions are kept on `device`; else on the host.
        `between` is called before each block, or before each round of them, one for each of `ranks`: equally
        often on all ranks.
        `ranks` share the encoder's calls and the blocks, which are those of one process; all have all scores.
        """
        self.device, self.resident, self.between, self.ranks = device, resident, between, ranks
        self.stored_on = device if resident else HOST
        self.sampled = most is not None and most < samples
        self.samples_M = torch.arange(samples, device=self.stored_on)
        """Numbers of the samples, in the order of their scores."""
        if self.sampled:
            key = counter.key(counter.Purpose.SAMPLE)
            self.samples_M = counter.permutation(key, samples, self.stored_on)[:most]

    @abstractmethod
    def read_items(self, block_B: Tensor) -> Sequence[Tensor]:
        """Item ids that the samples of a block read, padding excluded."""

    @abstractmethod
    def score(self, scorer: Scorer, block_B: Tensor) -> Tensor:
        """Scores of a block in one row."""

    @abstractmethod
    def evaluation(self, scores_A: NDArray[Any]) -> Evaluation:
        """Metrics from the scores of all blocks."""

    def rows(self, whole: bool, width: int) -> int:
        """Samples that are scored at once; `whole` and the width D as in `__call__`."""
        return self.block

    def __call__(self, encode: ItemEncoder, filter_: Filter) -> Evaluation:
        """Encode the part's items in evaluation mode without a graph, score, measure.

        The item vectors are the only thing of the catalogue's size. What a filter computes once per item can
        be three times as much (9.2 GB for 10^6 items of 768 features), so it is kept for all items at once
        only where they are few.
        """
        return self.evaluation(self.score_all(encode, filter_))

    def score_all(self, encode: ItemEncoder, filter_: Filter) -> NDArray[Any]:
        """Scores [A] of all samples in the order of `samples_M`, in fp32."""
        was_training = filter_.training
        encode.encoder.eval()
        filter_.train(False)
        try:
            with torch.no_grad():
                table_KD = encode_all(encode, self.host_items_K, self.ranks)
                scores_A = self.scores(table_KD, filter_)
        finally:
            encode.encoder.train(was_training)
            filter_.train(was_training)
        return read(scores_A.float())

    def places(self, scores_A: NDArray[Any]) -> NDArray[np.integer]:
        """[A] where the part has what each score is of; as it comes, unless a domain sorts its samples."""
        return np.arange(len(scores_A))

    def scores(self, table_KD: Tensor, filter_: Filter) -> Tensor:
        """Scores of all blocks in one row, in the type of the vectors, over those of the part's items."""
        whole = 3 * table_KD.numel() <= WHOLE_NUMBERS
        scorer = filter_.scorer(table_KD, whole)
        rank, size = self.ranks.rank, self.ranks.size
        blocks = self.samples_M.split(self.rows(whole, table_KD.shape[1]))
        pieces = []
        for first in range(0, len(blocks), size):
            self.between()
            own = blocks[first : first + size][rank : rank + 1]  # none in the last round, maybe
            pieces += [self.score(scorer, block_B).to(table_KD.dtype) for block_B in own]
        return self.ranks.join(pieces, len(blocks), table_KD.new_empty(0))

    def find_items(self) -> None:
        """Look through all samples for the items to encode."""
        found = [distinct(self.read_items(block_B)) for block_B in self.samples_M.split(self.block)]
        self.items_K = distinct(found)
        self.host_items_K = read(self.items_K)

    def slots(self, ids: Tensor, mask: Tensor | None = None) -> Tensor:
        """Where items stand in `items_K`, on the device; 0 outside the mask."""
        slots = torch.searchsorted(self.items_K, ids)
        if mask is not None:
            slots = slots.clamp(max=len(self.items_K) - 1).where(mask, 0)
        return sent(slots, self.device)

    def stored(self, array: NDArray[Any]) -> Tensor:
        """An array of the part, where its interactions are kept."""
        return stored(array, self.device, self.resident)


def encode_all(encode: ItemEncoder, items_K: NDArray[np.int64], ranks: Ranks = ALONE) -> Tensor:
    """Vectors [K, D] of a part's items; large numbers are encoded in chunks, so that only one table is held.

    All ranks encode them together.

    A single call would hold its buckets' token ids, the buckets' vectors, and two more copies of the vectors.
    """
    size = max(1, WHOLE_NUMBERS // (3 * max(1, encode.encoder.width)))
    if len(items_K) <= size:
        return encode(items_K, ranks)
    table_KD: Tensor | None = None
    for chunk in encode.chunks(items_K, size):
        vectors_ND = encode(items_K[chunk], ranks)
        if table_KD is None:
            table_KD = vectors_ND.new_empty(len(items_K), vectors_ND.shape[1])
        table_KD[sent(torch.from_numpy(chunk), vectors_ND.device)] = vectors_ND
    assert table_KD is not None
    return table_KD
