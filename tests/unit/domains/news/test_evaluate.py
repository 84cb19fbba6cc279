"""Evaluation against scores computed an impression at a time."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from tiny_systems import CPU, WIDTH, Tiny, encode_one_by_one, make_part, random_part, tiny_system
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from grambench.domains.evaluation import Evaluation, encode_all
from grambench.domains.news.evaluate import RankingEvaluator
from grambench.domains.news.impressions import Part
from grambench.metrics.ranking import NotFiniteError, ranking_scores

HISTORY = 4


def evaluator(part: Part, max_impressions: int | None = None) -> RankingEvaluator:
    return RankingEvaluator(part, history=HISTORY, max_impressions=max_impressions, device=CPU)


def literal_scores(tiny: Tiny, part: Part, row: int) -> list[float]:
    clicks = part.history_items[part.history_offsets[row] : part.history_offsets[row + 1]].tolist()[-HISTORY:]
    shown = part.candidate_items[part.candidate_offsets[row] : part.candidate_offsets[row + 1]].tolist()
    vectors = encode_one_by_one(tiny.encoder, tiny.spy.tokens, [*clicks, *shown])
    user = tiny.filter.no_history
    if clicks:
        order = torch.arange(len(clicks))[None]
        user = tiny.filter.users(
            tiny.filter.project(vectors), order, torch.ones_like(order).bool(), np.array([len(clicks)])
        )[0]
    return [float(user @ vector) for vector in vectors[len(clicks) :]]


@pytest.mark.parametrize("block", [1, 5, 1024])
def test_scores_are_those_of_an_impression_at_a_time(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RankingEvaluator, "block", block)
    tiny, part = tiny_system(), random_part()
    found = evaluator(part)(tiny.system.encode, tiny.filter)
    with torch.no_grad():
        scores = [score for row in range(len(part)) for score in literal_scores(tiny, part, row)]
    wanted = ranking_scores(part.candidate_labels, np.array(scores), part.candidate_offsets)
    for name in ("auc", "mrr", "ndcg5", "ndcg10"):
        assert np.allclose(getattr(found.scores, name), getattr(wanted, name), atol=1e-10)
    assert (found.impressions, found.skipped, found.sampled) == (len(part), wanted.skipped, False)
    kept = found.by_user()
    assert kept.users.tolist() == part.users.tolist()
    assert np.isnan(kept.values).tolist() == (~wanted.scored).tolist()
    assert np.nanmean(kept.values) == pytest.approx(found.metrics["auc"], abs=1e-12)
    rows = [slice(a, b) for a, b in pairwise(part.candidate_offsets)]
    alone = [
        ranking_scores(part.candidate_labels[r], np.array(scores)[r], np.array([0, r.stop - r.start]))
        for r in rows
    ]
    assert np.allclose(kept.values[wanted.scored], np.concatenate([one.auc for one in alone]), atol=1e-10)


def test_each_item_is_encoded_once_without_a_graph_and_without_dropout() -> None:
    tiny, part = tiny_system(dropout=0.5), random_part()
    evaluate = evaluator(part)
    first = evaluate(tiny.system.encode, tiny.filter)
    again = evaluate(tiny.system.encode, tiny.filter)
    rows = [part.history_items[a:b][-HISTORY:] for a, b in pairwise(part.history_offsets)]
    items = set(np.concatenate([*rows, part.candidate_items]).tolist())
    assert tiny.spy.times(with_graph=False) == dict.fromkeys(items, 2)
    assert tiny.spy.times(with_graph=True) == {}
    assert first.metrics == again.metrics


@pytest.mark.parametrize("training", [True, False])
def test_modes_are_left_as_they_were(training: bool) -> None:
    tiny = tiny_system()
    tiny.encoder.train(training)
    tiny.filter.train(training)
    evaluator(random_part())(tiny.system.encode, tiny.filter)
    assert tiny.encoder.training is tiny.filter.training is training


def test_sample_is_fixed_and_marked() -> None:
    tiny, part = tiny_system(), random_part()
    first, second = evaluator(part, 7), evaluator(part, 7)
    assert first.samples_M.tolist() == second.samples_M.tolist()
    found = first(tiny.system.encode, tiny.filter)
    assert (found.impressions, found.sampled) == (7, True)
    assert found.by_user().users.tolist() == part.users[first.samples_M.numpy()].tolist()
    whole = evaluator(part, len(part))
    assert (whole.sampled, len(whole.samples_M)) == (False, len(part))


def test_part_without_a_single_click_in_its_histories() -> None:
    tiny, part = tiny_system(), make_part([[], []], [[1, 2], [3, 4]], [[1, 0], [0, 1]])
    found = evaluator(part)(tiny.system.encode, tiny.filter)
    assert len(found.scores.auc) == 2


def test_broken_weights_are_said_to_be_broken() -> None:
    tiny = tiny_system()
    with torch.no_grad():
        tiny.filter.to_value.weight.fill_(float("nan"))
    with pytest.raises(NotFiniteError):
        evaluator(random_part())(tiny.system.encode, tiny.filter)
    assert tiny.encoder.training


class MostRows(TorchDispatchMode):
    """The most rows of a tensor of a given width that an operator makes."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width, self.rows = width, 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        found = function(*args, **(kwargs or {}))
        for tensor in tree_leaves(found):
            if isinstance(tensor, torch.Tensor) and tensor.shape[-1:] == (self.width,):
                self.rows = max(self.rows, tensor.numel() // self.width)
        return found


def projected_rows(tiny: Tiny, part: Part) -> tuple[Evaluation, int]:
    """The evaluation, and the most rows of queries, keys and values in one tensor of it."""
    with MostRows(3 * WIDTH) as mode:
        found = evaluator(part)(tiny.system.encode, tiny.filter)
    return found, mode.rows


def test_many_items_are_projected_a_block_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    tiny, part = tiny_system(items=1000), random_part(impressions=300, items=1000)
    items = len(evaluator(part).items_K)
    whole, rows = projected_rows(tiny, part)
    assert rows == max(items, len(part) * HISTORY)  # all items, and all histories of one block
    bound = 100
    monkeypatch.setattr("grambench.domains.evaluation.WHOLE_NUMBERS", bound * 3 * WIDTH)
    blocks, rows = projected_rows(tiny, part)
    assert 0 < rows <= bound < items
    for name in ("auc", "mrr", "ndcg5", "ndcg10"):
        assert np.allclose(getattr(blocks.scores, name), getattr(whole.scores, name), rtol=0, atol=1e-12)
    assert blocks.metrics == pytest.approx(whole.metrics, abs=1e-12)


def test_scores_are_the_same_on_both_paths(monkeypatch: pytest.MonkeyPatch) -> None:
    tiny, scoring = tiny_system(), evaluator(random_part(impressions=60))
    with torch.no_grad():
        table = tiny.system.encode(scoring.items_K.numpy())
        found = []
        for bound in (2**26, 7 * 3 * WIDTH):
            monkeypatch.setattr("grambench.domains.evaluation.WHOLE_NUMBERS", bound)
            found.append(scoring.scores(table, tiny.filter))
    assert float((found[0] - found[1]).abs().max()) <= 1e-12
    assert float(found[0].std()) > 0.01


def test_many_items_are_encoded_in_chunks_into_one_table(monkeypatch: pytest.MonkeyPatch) -> None:
    tiny, items = tiny_system(), np.arange(1, 40)
    with torch.no_grad():
        whole = encode_all(tiny.system.encode, items)
        monkeypatch.setattr("grambench.domains.evaluation.WHOLE_NUMBERS", 8 * 3 * WIDTH)
        tiny.spy.seen.clear()
        chunked = encode_all(tiny.system.encode, items)
    assert [len(call.ids) for call in tiny.spy.seen] == [8, 8, 8, 8, 7]
    assert torch.allclose(chunked, whole, rtol=0, atol=1e-12)
