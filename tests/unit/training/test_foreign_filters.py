"""Adding a filter: a row, a factory and nothing else; it is trained, audited and scored as any other."""

import dataclasses
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import pytest
import torch
from tiny_systems import CPU, ITEMS, encoder_spec, random_sequences, tiny_data
from torch import Tensor, nn

from grambench.config import filters
from grambench.config.filters import FilterRow, filter_kind
from grambench.config.networks import Filter
from grambench.config.spec import Spec, Training
from grambench.domains.prepared import Prepared
from grambench.domains.registry import PACKAGES
from grambench.domains.training import make_evaluator, make_sampler
from grambench.metrics.binary import auc
from grambench.metrics.ranking import ranking_scores
from grambench.models.filters import FACTORIES
from grambench.models.filters.base import AnswerFilter, AnswerView, RankingFilter, RankingView, dot_scores
from grambench.models.rows import rows_at
from grambench.training.audit import audit
from grambench.training.phases import System
from grambench.training.strategies import make_strategy
from grambench.training.system import Modules, build_system

HISTORY = 5


class MeanOfClicks(RankingFilter):
    """A user is the mean of the clicked items, through one linear map."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.map = nn.Linear(width, width)

    def scores(self, item_vectors_ND: Tensor, view: RankingView) -> Tensor:
        real_BH1 = view.mask_BH[:, :, None].to(item_vectors_ND.dtype)
        sums_BD = (rows_at(item_vectors_ND, view.history_BH) * real_BH1).sum(dim=1)
        return dot_scores(self.map(sums_BD / real_BH1.sum(dim=1).clamp(min=1)), item_vectors_ND, view)


class Difficulty(AnswerFilter):
    """Whoever answers: an item is as hard as its vector says."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.map = nn.Linear(width, 1)

    def scores(self, item_vectors_ND: Tensor, view: AnswerView) -> Tensor:
        return self.map(rows_at(item_vectors_ND, view.asked_BL)).squeeze(2)


NEWS = FilterRow(kind="mapped-mean", meaning="mean of the clicks, mapped", domains=("news",))
ANSWERS = FilterRow(kind="difficulty", meaning="a logit an item", domains=("knowledge-tracing",))


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filters, "ROWS", (NEWS, ANSWERS, *filters.ROWS))
    monkeypatch.setitem(FACTORIES, "mapped-mean", lambda _spec, width: MeanOfClicks(width))
    monkeypatch.setitem(FACTORIES, "difficulty", lambda _spec, width: Difficulty(width))


class Trained(NamedTuple):
    system: System
    modules: Modules
    losses: list[float]


def spec_of(**data: object) -> Spec:
    return Spec(
        data=data,
        encoder=encoder_spec(dropout=0.0),
        filter=Filter(history=HISTORY),
        training=Training(strategies=("e2e", "gram-1s", "gram-3s"), negatives=3, batch_size=6, epochs=2),
    )


def data_of(domain: str) -> Prepared:
    data = tiny_data(domain=domain)
    if domain == "news":
        return data
    parts = {name: random_sequences(seed) for seed, name in enumerate(data.parts)}
    return dataclasses.replace(data, parts=parts)


def trained(spec: Spec, data: Prepared, strategy: str) -> Trained:
    """After all epochs."""
    system, modules = build_system(spec, data, CPU, seed=0, strategy=strategy, dtype=torch.float64)
    sampler = make_sampler(spec, data, CPU, seed=0)
    step = make_strategy(strategy, system, sampler, spec=spec, micro_batch=4, encoder_chunk=None, seed=0).step
    losses = [float(step(sampler.batch(number)).loss) for number in range(sampler.total_steps)]
    return Trained(system, modules, losses)


def test_every_row_has_a_factory_and_a_domain() -> None:
    assert set(FACTORIES) == {row.kind for row in filters.ROWS}
    for row in filters.ROWS:
        assert row.meaning
        assert row.domains
        assert set(row.domains) <= set(PACKAGES)


def test_a_row_of_its_own_is_trained_as_exactly_as_any_filter() -> None:
    spec, data = spec_of(), data_of("news")
    assert filter_kind(spec) == "mapped-mean"
    found = audit(spec, data, CPU)
    assert found.equivalent
    assert max(found.encoder_relative, found.filter_relative) <= 1e-10
    e2e, single, multi = (trained(spec, data, strategy) for strategy in spec.training.strategies)
    assert type(e2e.modules.filter) is MeanOfClicks
    assert single.losses == pytest.approx(e2e.losses, abs=1e-9)
    assert multi.losses[0] == pytest.approx(e2e.losses[0], abs=1e-9)
    assert multi.losses[-1] != pytest.approx(e2e.losses[-1], abs=1e-6)
    assert np.isfinite(multi.losses).all()


@pytest.mark.parametrize("numbers", [2**26, 1])
def test_its_scores_are_ranked_in_an_evaluation(numbers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """It knows nothing of blocks, nor of what is computed once an item."""
    monkeypatch.setattr("grambench.domains.evaluation.WHOLE_NUMBERS", numbers)
    spec, data = spec_of(), data_of("news")
    system, modules = build_system(spec, data, CPU, seed=0, dtype=torch.float64)
    found = make_evaluator(spec, data, "test", CPU)(system.encode, modules.filter)
    with torch.no_grad():
        vectors = system.encode(np.arange(ITEMS)).numpy()
        weight, bias = (parameter.numpy() for parameter in modules.filter.parameters())
    part, scores = data.parts["test"], []
    clicks = [part.history_items[a:b][-HISTORY:] for a, b in pairwise(part.history_offsets)]
    shown = [part.candidate_items[a:b] for a, b in pairwise(part.candidate_offsets)]
    for read, candidates in zip(clicks, shown, strict=True):
        mean = vectors[read].sum(axis=0) / max(1, len(read))
        scores.append(vectors[candidates] @ (weight @ mean + bias))
    wanted = ranking_scores(part.candidate_labels, np.concatenate(scores), part.candidate_offsets)
    assert np.allclose(found.scores.auc, wanted.auc, rtol=0, atol=1e-12)
    assert np.allclose(found.scores.ndcg10, wanted.ndcg10, rtol=0, atol=1e-12)


def test_a_filter_of_answers_has_a_loss_and_an_auc_too() -> None:
    spec, data = spec_of(source="tables"), data_of("knowledge-tracing")
    e2e, single = trained(spec, data, "e2e"), trained(spec, data, "gram-1s")
    assert type(e2e.modules.filter) is Difficulty
    assert single.losses == pytest.approx(e2e.losses, abs=1e-9)
    found = make_evaluator(spec, data, "test", CPU)(e2e.system.encode, e2e.modules.filter)
    with torch.no_grad():
        logits = e2e.modules.filter.map(e2e.system.encode(np.arange(ITEMS)))[:, 0].float().numpy()
    part = data.parts["test"]
    scored = part.scored == 1
    assert found.impressions == scored.sum()
    assert found.metrics["auc"] == pytest.approx(
        auc(part.correct[scored], logits[part.items[scored]]), abs=1e-12
    )
