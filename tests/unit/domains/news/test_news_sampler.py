"""Batches of news: right samples, right negatives, drawn once for all strategies."""

import tracemalloc
from dataclasses import fields
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_systems import make_part, news_sampler, random_part
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from grambench.domains.news.batch import NewsBatch
from grambench.domains.news.impressions import Part
from grambench.domains.news.sampler import NewsSampler, _index_type, latest_clicks

seeds = st.integers(0, 2**31 - 1)


def rows_of(part: Part) -> list[tuple[list[int], list[int], list[int]]]:
    """Impressions as (history, clicked, unclicked)."""
    rows = []
    for i in range(len(part)):
        clicks = part.history_items[part.history_offsets[i] : part.history_offsets[i + 1]].tolist()
        span = slice(part.candidate_offsets[i], part.candidate_offsets[i + 1])
        shown = list(
            zip(part.candidate_items[span].tolist(), part.candidate_labels[span].tolist(), strict=True)
        )
        rows.append((clicks, [c for c, label in shown if label], [c for c, label in shown if not label]))
    return rows


def distinct_part(seed: int) -> Part:
    """As `random_part`, with items so many that a candidate names its impression."""
    part = random_part(seed)
    part.candidate_items[:] = range(1000, 1000 + len(part.candidate_items))
    return part


def epoch_of(sampler: NewsSampler, epoch: int) -> list[NewsBatch]:
    first = epoch * sampler.steps_per_epoch
    return [sampler.batch(step) for step in range(first, first + sampler.steps_per_epoch)]


def same(first: NewsBatch, second: NewsBatch) -> bool:
    return torch.equal(first.candidates_BC, second.candidates_BC) and torch.equal(
        first.history_BH, second.history_BH
    )


@settings(max_examples=25)
@given(seeds)
def test_each_epoch_holds_every_click_of_a_two_class_impression_once(seed: int) -> None:
    part = distinct_part(seed)
    rows = rows_of(part)
    wanted = sorted(click for _, clicked, unclicked in rows if unclicked for click in clicked)
    sampler = news_sampler(part, seed=seed)
    assert sampler.samples == len(wanted)
    assert sampler.one_class == sum(not clicked or not unclicked for _, clicked, unclicked in rows)
    for epoch in (0, 1):
        found = torch.cat([batch.candidates_BC[:, 0] for batch in epoch_of(sampler, epoch)])
        assert sorted(found.tolist()) == wanted


@settings(max_examples=25)
@given(seeds, st.integers(1, 6), st.integers(1, 10))
def test_samples_read_their_own_impression(seed: int, negatives: int, history: int) -> None:
    part = distinct_part(seed)
    owner = {click: row for row in rows_of(part) for click in row[1]}
    sampler = news_sampler(part, seed=seed, negatives=negatives, history=history)
    for batch in epoch_of(sampler, 0):
        for ids, mask, shown in zip(
            batch.history_BH.tolist(), batch.mask_BH.tolist(), batch.candidates_BC.tolist(), strict=True
        ):
            clicks, clicked, unclicked = owner[shown[0]]
            last = clicks[-history:]
            assert ids == [0] * (history - len(last)) + last
            assert mask == [False] * (history - len(last)) + [True] * len(last)
            assert set(shown[1:]) <= set(unclicked)
            assert not set(shown[1:]) & set(clicked)
            if len(unclicked) >= negatives:
                assert len(set(shown[1:])) == negatives
            else:  # in turn from a random start
                start = unclicked.index(shown[1])
                assert shown[1:] == [unclicked[(start + k) % len(unclicked)] for k in range(negatives)]


def test_every_set_of_negatives_is_equally_likely() -> None:
    """10 pairs of 5 unclicked candidates; chi-square of 9 degrees of freedom below its 99.9 % quantile."""
    copies = 2000
    part = make_part([[]] * copies, [[9, 0, 1, 2, 3, 4]] * copies, [[1, 0, 0, 0, 0, 0]] * copies)
    sampler = news_sampler(part, negatives=2, batch_size=copies)
    pairs = sampler.batch(0).candidates_BC[:, 1:].sort(dim=1).values
    seen = torch.bincount(pairs[:, 0] * 5 + pairs[:, 1], minlength=25)
    seen = seen[seen > 0].double()
    assert len(seen) == 10
    assert float(((seen - copies / 10) ** 2 / (copies / 10)).sum()) < 27.88


def test_same_seed_gives_the_same_batches_in_any_order_of_calls() -> None:
    part = random_part()
    first, second = news_sampler(part), news_sampler(part)
    wanted = [first.batch(step) for step in range(first.total_steps)]
    second.items_ahead(0, second.total_steps)
    for step in reversed(range(second.total_steps)):
        assert same(second.batch(step), wanted[step])


def test_epochs_and_seeds_differ() -> None:
    part = random_part()
    sampler, other = news_sampler(part), news_sampler(part, seed=4)
    assert not same(sampler.batch(0), sampler.batch(sampler.steps_per_epoch))
    assert not same(sampler.batch(0), other.batch(0))


def test_negatives_are_drawn_anew_each_epoch() -> None:
    part = distinct_part(0)
    sampler = news_sampler(part, negatives=2)
    epochs = []
    for epoch in (0, 1):
        rows = torch.cat([batch.candidates_BC for batch in epoch_of(sampler, epoch)]).tolist()
        epochs.append({row[0]: row[1:] for row in rows})
    assert any(epochs[0][click] != epochs[1][click] for click in epochs[0])


@settings(max_examples=50)
@given(st.data())
def test_items_ahead_are_those_of_the_batches(data: st.DataObject) -> None:
    max_steps = data.draw(st.none() | st.integers(1, 30))
    sampler = news_sampler(random_part(), epochs=3, max_steps=max_steps)
    step = data.draw(st.integers(0, sampler.total_steps - 1))
    steps = data.draw(st.integers(1, 2 * sampler.total_steps))  # also over epochs and past the end
    batches = [sampler.batch(s) for s in range(step, min(step + steps, sampler.total_steps))]
    wanted = {item for batch in batches for item in batch.occurrences().items_N.tolist()}
    assert sampler.items_ahead(step, steps).tolist() == sorted(wanted)


def test_items_ahead_in_small_blocks_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    sampler = news_sampler(random_part())
    wanted = sampler.items_ahead(0, sampler.total_steps)
    monkeypatch.setattr(NewsSampler, "collected", 5)
    assert sampler.items_ahead(0, sampler.total_steps).tolist() == wanted.tolist()


def test_ends_are_marked() -> None:
    sampler = news_sampler(random_part(), epochs=2)
    batches = [sampler.batch(step) for step in range(sampler.total_steps)]
    assert sampler.total_steps == 2 * sampler.steps_per_epoch
    ends = [sampler.steps_per_epoch - 1, 2 * sampler.steps_per_epoch - 1]
    assert [b.step for b in batches if b.ends_epoch] == ends
    assert [b.step for b in batches if b.ends_training] == ends[-1:]
    assert sum(batch.users for batch in batches) == 2 * sampler.samples


def test_max_steps_ends_training_within_an_epoch() -> None:
    sampler = news_sampler(random_part(), max_steps=2)
    assert sampler.total_steps == 2
    assert sampler.batch(1).ends_training
    assert not sampler.batch(1).ends_epoch


def test_nobody_has_clicked_anything() -> None:
    sampler = news_sampler(make_part([[], []], [[1, 2], [3, 4]], [[1, 0], [0, 1]]))
    batch = sampler.batch(0)
    assert not batch.mask_BH.any()
    assert sorted(sampler.items_ahead(0, 1).tolist()) == [1, 2, 3, 4]
    assert batch.occurrences().occurrences == batch.candidates_BC.numel()


def test_latest_clicks_keeps_their_order() -> None:
    ids, mask = latest_clicks(
        torch.tensor([5, 6, 7, 8, 9]), torch.tensor([0, 3, 3, 5]), torch.tensor([0, 1, 2]), 2
    )
    assert ids.tolist() == [[6, 7], [0, 0], [8, 9]]
    assert mask.tolist() == [[True, True], [False, False], [True, True]]


@given(st.integers(0, 11), st.integers(1, 7))
def test_views_point_at_the_items_of_the_batch(step: int, users: int) -> None:
    sampler = news_sampler(random_part())
    batch = sampler.batch(step % sampler.total_steps)
    parts = list(batch.split(users))
    assert torch.equal(torch.cat([part.candidates_BC for part in parts]), batch.candidates_BC)
    assert all(part.users <= users for part in parts)
    for each in (batch, *parts, batch.repeated()):
        views = {"occurrences": each.occurrences(), "unique": each.unique()}
        assert views["unique"].items_N.tolist() == sorted(set(views["occurrences"].items_N.tolist()))
        for view in views.values():
            items_N = view.items_N
            assert view.host_items_N.tolist() == items_N.tolist()
            assert torch.equal(items_N[view.candidates], each.candidates_BC)
            assert torch.equal(items_N[view.history_BH][each.mask_BH], each.history_BH[each.mask_BH])
            assert view.occurrences == int(each.mask_BH.sum()) + each.candidates_BC.numel()
        assert len(views["occurrences"].items_N) == views["occurrences"].occurrences


@pytest.mark.parametrize("ahead", [1, 20, 10_000])
def test_how_many_samples_are_drawn_at_once_changes_no_batch(
    ahead: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = [batch for epoch in (0, 1) for batch in epoch_of(news_sampler(random_part()), epoch)]
    monkeypatch.setattr(NewsSampler, "drawn_ahead", ahead)
    found = [batch for epoch in (0, 1) for batch in epoch_of(news_sampler(random_part()), epoch)]
    assert all(same(a, b) for a, b in zip(found, wanted, strict=True))
    assert all(
        a.unique().items_N.tolist() == b.unique().items_N.tolist() for a, b in zip(found, wanted, strict=True)
    )


def large_part(impressions: int, candidates: int) -> Part:
    """Impressions with `candidates` candidates on average; some without any, some of one class."""
    rng = np.random.default_rng(0)
    sizes = rng.integers(0, 2 * candidates + 1, impressions)
    total = int(sizes.sum())
    return Part(
        history_items=rng.integers(0, 900, 3 * impressions).astype(np.int32),
        history_offsets=np.arange(0, 3 * impressions + 1, 3),
        candidate_items=rng.integers(0, 900, total).astype(np.int32),
        candidate_labels=(rng.random(total) < 0.1).astype(np.int8),
        candidate_offsets=np.concatenate(([0], np.cumsum(sizes))),
        users=np.arange(impressions, dtype=np.int32),
        time_s=np.zeros(impressions, np.int64),
    )


def test_large_part_has_impressions_of_every_kind() -> None:
    part = large_part(500, 9)
    sizes, (one_class, wanted) = np.diff(part.candidate_offsets), literal_index(part)
    assert (sizes == 0).any()
    assert one_class > np.count_nonzero(sizes == 0)
    assert len(wanted["sample_impression"]) > 100


def literal_index(part: Part) -> tuple[int, dict[str, torch.Tensor]]:
    """Impressions of one class, and the positions, by whole tensors of all candidates (version 0.1)."""
    labels, offsets = torch.from_numpy(part.candidate_labels).long(), torch.from_numpy(part.candidate_offsets)
    sizes = offsets.diff()
    impression = torch.repeat_interleave(torch.arange(len(sizes)), sizes)
    clicks = torch.zeros_like(sizes).index_add_(0, impression, labels)
    trainable = (clicks > 0) & (clicks < sizes)
    clicked = (labels == 1) & trainable[impression]
    count = sizes - clicks
    return int((~trainable).sum()), {
        "sample_impression": impression[clicked],
        "sample_candidate": clicked.nonzero().squeeze(1),
        "unclicked": (labels == 0).nonzero().squeeze(1),
        "unclicked_count": count,
        "unclicked_start": count.cumsum(0) - count,
    }


@pytest.mark.parametrize("chunk", [1, 50, 1 << 16])
def test_index_is_that_of_whole_tensors(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("grambench.domains.news.sampler._CHUNK", chunk)
    for part in (large_part(500, 9), large_part(60, 2), distinct_part(0)):
        one_class, wanted = literal_index(part)
        sampler = news_sampler(part)
        assert sampler.one_class == one_class
        for name, positions in wanted.items():
            found = getattr(sampler, name)
            assert found.dtype == torch.int32
            assert torch.equal(found.long(), positions), name


def test_positions_beyond_int32_are_int64() -> None:
    labels = np.broadcast_to(np.int8(0), 2**31)
    assert _index_type(SimpleNamespace(candidate_labels=labels)) is np.int64
    assert _index_type(SimpleNamespace(candidate_labels=labels[1:])) is np.int32


class MadeBytes(TorchDispatchMode):
    """Bytes of all tensors that operators make."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        found = function(*args, **(kwargs or {}))
        known = {leaf.untyped_storage().data_ptr() for leaf in tree_leaves(args) if torch.is_tensor(leaf)}
        for tensor in filter(torch.is_tensor, tree_leaves(found)):
            if tensor.untyped_storage().data_ptr() not in known:
                self.bytes += tensor.nbytes
        return found


def test_indexing_a_million_candidates_takes_little_more_than_it_keeps() -> None:
    part = large_part(50_000, 20)
    candidates = len(part.candidate_labels)
    assert candidates > 990_000
    tracemalloc.start()  # sees what NumPy allocates
    try:
        sampler = news_sampler(part)
        kept, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    arrays = {getattr(part, each.name).ctypes.data for each in fields(part)}
    tensors = [value for value in vars(sampler).values() if isinstance(value, torch.Tensor)]
    own = [tensor for tensor in tensors if tensor.data_ptr() not in arrays]  # the others are the part's
    assert len(tensors) - len(own) == 3
    assert sum(tensor.nbytes for tensor in own) == pytest.approx(kept, rel=0.01)
    assert peak - kept < 4 * candidates  # less than one int32 of every candidate
    with MadeBytes() as made:  # sees what torch allocates
        news_sampler(part)
    assert made.bytes == 0
    with MadeBytes() as made:
        literal_index(part)
    assert made.bytes > 4 * 8 * candidates  # or the test would see nothing
