"""Batches of answer sequences: random windows, drawn once for all strategies."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_systems import answer_sampler, random_sequences

from grambench.domains.knowledge_tracing.batch import AnswerBatch
from grambench.domains.knowledge_tracing.sampler import AnswerSampler
from grambench.domains.knowledge_tracing.sequences import Sequences

seeds = st.integers(0, 2**31 - 1)


def numbered(seed: int) -> Sequences:
    """As `random_sequences`, with items so many that each names its answer."""
    part = random_sequences(seed)
    part.items[:] = range(1000, 1000 + len(part.items))
    return part


def epoch_of(sampler: AnswerSampler, epoch: int) -> list[AnswerBatch]:
    first = epoch * sampler.steps_per_epoch
    return [sampler.batch(step) for step in range(first, first + sampler.steps_per_epoch)]


def rows(batches: list[AnswerBatch]) -> list[list[int]]:
    return [
        row[mask].tolist()
        for batch in batches
        for row, mask in zip(batch.asked_BL, batch.mask_BL, strict=True)
    ]


@settings(max_examples=25)
@given(seeds, st.integers(2, 13))
def test_each_epoch_reads_one_window_of_each_student(seed: int, length: int) -> None:
    part = numbered(seed)
    sampler = answer_sampler(part, seed=seed, length=length)
    correct = dict(zip(part.items.tolist(), part.correct.tolist(), strict=True))
    for epoch in (0, 1):
        batches = epoch_of(sampler, epoch)
        found = rows(batches)
        owners = []
        for row in found:
            user = int(np.searchsorted(part.offsets, row[0] - 1000, side="right") - 1)
            owners.append(user)
            start, stop = part.offsets[user] + 1000, part.offsets[user + 1] + 1000
            assert row == list(range(row[0], row[0] + min(length, stop - start)))
            assert start <= row[0]
            assert row[-1] < stop
        assert sorted(owners) == list(range(len(part)))
        for batch in batches:
            labels = batch.correct_BL[batch.mask_BL].tolist()
            assert labels == [correct[item] for item in batch.asked_BL[batch.mask_BL].tolist()]
            assert not batch.asked_BL[~batch.mask_BL].any()


def test_windows_begin_anywhere_and_differ_between_epochs() -> None:
    part = Sequences(
        items=np.arange(100, dtype=np.int32),
        correct=np.zeros(100, np.int8),
        scored=np.ones(100, np.int8),
        offsets=np.array([0, 100]),
        users=np.zeros(1, np.int32),
    )
    sampler = answer_sampler(part, epochs=300, length=90)
    starts = [row[0] for epoch in range(300) for row in rows(epoch_of(sampler, epoch))]
    assert set(starts) == set(range(11))


def test_a_batch_depends_on_seed_and_step_alone() -> None:
    part = random_sequences()
    sampler, again, other = answer_sampler(part), answer_sampler(part), answer_sampler(part, seed=4)
    again.batch(5)
    for step in (5, 0, 3):
        assert torch.equal(sampler.batch(step).asked_BL, again.batch(step).asked_BL)
    assert any(not torch.equal(sampler.batch(step).asked_BL, other.batch(step).asked_BL) for step in range(4))


def test_a_student_s_key_is_the_same_in_any_batch_and_part_and_another_in_each_epoch() -> None:
    part = numbered(0)

    def keys_of(
        epoch: int, parts: Callable[[AnswerBatch], Iterable[AnswerBatch]], **options: Any
    ) -> set[Any]:
        batches = epoch_of(answer_sampler(part, length=100, **options), epoch)
        cut = [each for batch in batches for each in parts(batch)]
        return {
            pair
            for each in cut
            for pair in zip(each.asked_BL[:, 0].tolist(), each.keys_B.tolist(), strict=True)
        }

    whole = keys_of(0, lambda batch: [batch])
    assert len({key for _, key in whole}) == len(part)
    assert keys_of(0, lambda batch: batch.split(4), batch_size=9) == whole
    assert keys_of(0, lambda batch: [batch.part(rank, 3) for rank in range(3)]) == whole
    assert keys_of(0, lambda batch: [batch.repeated()]) == whole
    assert keys_of(0, lambda batch: [batch.part(1, 2)]) < whole
    assert keys_of(1, lambda batch: [batch]).isdisjoint(whole)
    assert keys_of(0, lambda batch: [batch], seed=4).isdisjoint(whole)


def test_items_ahead_are_those_of_the_batches() -> None:
    sampler = answer_sampler(random_sequences(), epochs=3)
    for step, steps in ((0, 1), (2, 4), (3, 100)):
        last = min(step + steps, sampler.total_steps)
        items = {i for n in range(step, last) for i in sampler.batch(n).unique().items_N.tolist()}
        assert sampler.items_ahead(step, steps).tolist() == sorted(items)


@pytest.mark.parametrize("users", [1, 4, 100])
def test_views_of_a_batch_and_of_its_parts_point_at_the_same_items(users: int) -> None:
    batch = answer_sampler(random_sequences()).batch(1)
    for part in (batch, *batch.split(users)):
        longest = int(part.mask_BL.sum(dim=1).max())
        for view in (part.occurrences(), part.unique()):
            assert view.asked_BL.shape == (part.users, longest)
            assert torch.equal(view.items_N[view.asked_BL][view.mask_BL], part.asked_BL[part.mask_BL])
            assert view.items_N.tolist() == view.host_items_N.tolist()
            assert view.occurrences == int(part.mask_BL.sum())
        assert part.unique().items_N.tolist() == sorted(set(part.asked_BL[part.mask_BL].tolist()))


def test_epochs_and_training_end_where_they_say() -> None:
    sampler = answer_sampler(random_sequences(), epochs=2, max_steps=5)
    assert (sampler.steps_per_epoch, sampler.total_steps) == (4, 5)
    assert [sampler.batch(step).ends_epoch for step in range(5)] == [False, False, False, True, False]
    assert [sampler.batch(step).ends_training for step in range(5)] == [False] * 4 + [True]


def test_repeated_users_share_their_items() -> None:
    batch = answer_sampler(random_sequences()).batch(0)
    twice = batch.repeated()
    assert twice.users == 2 * batch.users
    assert torch.equal(twice.unique().items_N, batch.unique().items_N)
    assert twice.occurrences().occurrences == 2 * batch.occurrences().occurrences
