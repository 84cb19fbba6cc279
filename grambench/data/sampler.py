"""Training batches of news: drawn once per (seed, epoch, step), the same for every strategy.

A training sample is one clicked candidate with its impression's history; its negatives are drawn
from the unclicked candidates of the same impression. Legend: S samples, B users of a batch,
H history positions, K negatives, C = 1 + K candidates.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from grambench.data import counter
from grambench.data.batch import NewsBatch, Place
from grambench.data.block import Block
from grambench.data.epochs import NEGATIVES, EpochSampler, Moment, Samples
from grambench.data.prepared import Part
from grambench.errors import DataError
from grambench.transfer import stored


class NewsSampler(EpochSampler[NewsBatch]):
    """Draws clicks with their histories and negatives."""

    drawn_ahead, collected = 1 << 12, 1 << 15

    def __init__(
        self,
        part: Part,
        *,
        seed: int,
        batch_size: int,
        negatives: int,
        history: int,
        epochs: int,
        max_steps: int | None,
        device: torch.device,
        resident: bool = True,
    ) -> None:
        """Index the clicked candidates of `part`.

        `resident`: the interactions are kept, and samples drawn, on `device`; else on the host, from
        where each block of samples is copied. The draws are the same.

        An impression without a click yields no sample; one without an unclicked candidate has no
        negative and yields none either (`one_class` counts both).

        Raises:
            DataError: no impression yields a sample.
        """
        super().__init__(seed, batch_size, device, resident)
        self.negatives, self.history = negatives, history
        names = (
            "history_items",
            "history_offsets",
            "candidate_items",
            "candidate_labels",
            "candidate_offsets",
        )
        kept = {name: stored(getattr(part, name), device, resident) for name in names}
        self.history_items, self.history_offsets = kept["history_items"], kept["history_offsets"]
        self.candidate_items = kept["candidate_items"]
        self._index_samples(kept["candidate_labels"].long(), kept["candidate_offsets"])
        if not len(self.sample_impression):
            raise DataError(
                "The train part has no impression with both a clicked and an unclicked candidate.",
                "Check the data with `grambench data verify`.",
            )
        self.plan(len(self.sample_impression), epochs, max_steps)

    def _index_samples(self, labels: Tensor, offsets: Tensor) -> None:
        sizes = offsets.diff()
        impression = torch.repeat_interleave(torch.arange(len(sizes), device=self.stored_on), sizes)
        clicks = torch.zeros_like(sizes).index_add_(0, impression, labels)
        trainable = (clicks > 0) & (clicks < sizes)
        self.one_class = int((~trainable).sum())
        clicked = (labels == 1) & trainable[impression]
        self.sample_impression = impression[clicked]
        self.sample_candidate = clicked.nonzero().squeeze(1)
        # unclicked candidates, grouped by impression
        self.unclicked = (labels == 0).nonzero().squeeze(1)
        self.unclicked_count = sizes - clicks
        self.unclicked_start = self.unclicked_count.cumsum(0) - self.unclicked_count

    def draw(self, epoch: int, samples_S: Tensor) -> Samples:
        """Clicks, which of them are real, and candidates."""
        return *self._histories(samples_S), self._candidates(epoch, samples_S)

    def occurrences(self, drawn: Samples) -> Tensor:
        """Real clicks and all candidates."""
        history_SH, mask_SH, candidates_SC = drawn
        return torch.cat((history_SH[mask_SH], candidates_SC.flatten()))

    def block(self, drawn: Samples, step_ends: Sequence[int]) -> Block:
        """Clicks, then candidates."""
        return Block.of(*drawn, step_ends)

    def batch_of(self, moment: Moment, samples: Samples, place: Place) -> NewsBatch:
        """A batch of news."""
        when = moment.epoch, moment.step, moment.ends_epoch, moment.ends_training
        return NewsBatch(*when, *samples, place)

    def _histories(self, samples_B: Tensor) -> tuple[Tensor, Tensor]:
        """The latest clicks, left-padded: ids and mask [B, H]."""
        impression_B = self.sample_impression[samples_B]
        return latest_clicks(self.history_items, self.history_offsets, impression_B, self.history)

    def _candidates(self, epoch: int, samples_B: Tensor) -> Tensor:
        """The clicked candidate and K unclicked ones [B, 1 + K].

        Without repetition by Floyd's algorithm where the impression has K unclicked candidates;
        where it has fewer, they are taken in turn from a random start.
        """
        impression_B = self.sample_impression[samples_B]
        count_B = self.unclicked_count[impression_B]
        draw_key = counter.key(self.seed, NEGATIVES, epoch)
        enough_B = count_B >= self.negatives
        start_B = counter.integers(draw_key, samples_B * self.negatives, count_B)
        chosen: list[Tensor] = []
        for k in range(self.negatives):
            top_B = (count_B - self.negatives + k).clamp(min=0)
            drawn_B = counter.integers(draw_key, samples_B * self.negatives + k, top_B + 1)
            taken_B = torch.zeros_like(enough_B)
            for earlier_B in chosen:
                taken_B |= earlier_B == drawn_B
            floyd_B = torch.where(taken_B, top_B, drawn_B)
            chosen.append(torch.where(enough_B, floyd_B, (start_B + k) % count_B))
        position_BK = self.unclicked_start[impression_B, None] + torch.stack(chosen, dim=1)
        negatives_BK = self.candidate_items[self.unclicked[position_BK]]
        clicked_B1 = self.candidate_items[self.sample_candidate[samples_B], None]
        return torch.cat((clicked_B1, negatives_BK), dim=1).long()


def latest_clicks(
    history_items: Tensor, history_offsets: Tensor, impression_B: Tensor, most: int
) -> tuple[Tensor, Tensor]:
    """The last `most` clicks of impressions, left-padded with 0: ids [B, H] and mask [B, H], H ≥ 1."""
    stop_B = history_offsets[impression_B + 1]
    length_B = (stop_B - history_offsets[impression_B]).clamp(max=most)
    back_H = torch.arange(most, 0, -1, device=impression_B.device)
    mask_BH = back_H <= length_B[:, None]
    index_BH = (stop_B[:, None] - back_H).where(mask_BH, 0)
    if not len(history_items):  # nobody has clicked anything
        return torch.zeros_like(index_BH), mask_BH
    return history_items[index_BH].long().where(mask_BH, 0), mask_BH
