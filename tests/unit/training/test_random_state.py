"""Chunked recomputation with dropout: the masks of the second pass are those of the first."""

import numpy as np
import pytest
import torch
from tiny_systems import CPU, Tiny, assert_same, news_sampler, random_part, tiny_system
from torch import Tensor

from grambench.domains.news.batch import NewsBatch
from grambench.gram import RandomState
from grambench.training.strategies.single_step import SingleStep

CHUNK = 5


def batch() -> NewsBatch:
    return news_sampler(random_part()).batch(0)


def one_graph(tiny: Tiny, start: RandomState) -> dict[str, Tensor]:
    """The gradient where every chunk is encoded once, with its graph, from the same random state."""
    start.restore()
    view, encode = batch().unique(), tiny.system.encode
    items = view.host_items_N
    chunks = encode.chunks(items, CHUNK)
    pieces = [encode(items[chunk]) for chunk in chunks]
    vectors = torch.cat(pieces)[np.concatenate(chunks).argsort()]
    (tiny.filter.loss(vectors, view) / batch().users).backward()
    return tiny.take_gradients()


def test_recomputation_draws_the_masks_of_the_first_pass() -> None:
    tiny, start = tiny_system(dropout=0.3), RandomState.capture(CPU)
    wanted = one_graph(tiny, start)
    after = torch.get_rng_state()
    start.restore()
    SingleStep(tiny.system, CHUNK).gradients(batch())
    assert_same(tiny.take_gradients(), wanted)
    assert torch.equal(torch.get_rng_state(), after)  # as if everything had been encoded once


def test_recomputation_without_replay_is_another_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    tiny, start = tiny_system(dropout=0.3), RandomState.capture(CPU)
    wanted = one_graph(tiny, start)
    start.restore()
    monkeypatch.setattr(RandomState, "restore", lambda _self: None)
    SingleStep(tiny.system, CHUNK).gradients(batch())
    with pytest.raises(AssertionError, match="differs by"):
        assert_same(tiny.take_gradients(), wanted, tolerance=1e-3)


def test_restored_state_draws_the_same_numbers() -> None:
    state = RandomState.capture(CPU)
    first = torch.rand(5)
    torch.rand(7)
    state.restore()
    assert torch.equal(torch.rand(5), first)
