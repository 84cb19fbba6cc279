"""`e2e-cand`: the gradient of the candidates' uses and of no other, from one encoding of each item."""

from typing import Any

import pytest
import torch
from tiny_systems import DOMAINS, HEADS, QUERY, Tiny, assert_same, sampler_of, tiny_system, widen
from torch import Tensor
from torch.nn import functional

from grambench.config import filters
from grambench.config.networks import Filter
from grambench.domains.knowledge_tracing.batch import AnswerBatch
from grambench.models.filters import FACTORIES
from grambench.training.protocols import Batch
from grambench.training.strategies.candidates import CandidatesOnly
from grambench.training.strategies.single_step import SingleStep

WIDTH = 16
KINDS = [
    (row.kind, domain)
    for row in filters.ROWS
    for domain, name in (("news", "news"), ("answers", "knowledge-tracing"))
    if name in row.domains
]


def news_loss(tiny: Tiny, batch: Batch, vectors: Tensor, known: Tensor) -> Tensor:
    """NRMS over users of `known` and candidates of `vectors`, each indexed by distinct item."""
    view: Any = batch.unique()
    filter_ = tiny.filter
    users = filter_.users(filter_.project(known), view.history_BH, view.mask_BH)
    scores = torch.einsum("bd,bcd->bc", users, vectors[view.candidates])
    return functional.cross_entropy(scores, torch.zeros(len(scores), dtype=torch.long), reduction="sum")


def answer_loss(tiny: Tiny, batch: Batch, vectors: Tensor, known: Tensor) -> Tensor:
    """The LSTM over answers to `known`, and logits of `vectors`."""
    view: Any = batch.unique()
    filter_ = tiny.filter
    answered = torch.cat((known[view.asked_BL], filter_.correctness(view.correct_BL)), dim=2)
    inputs = torch.cat((filter_.start.expand(len(answered), 1, -1), answered[:, :-1]), dim=1)
    positions = filter_.position.weight[: inputs.shape[1]].expand(len(inputs), -1, -1)
    states, _ = filter_.lstm(filter_.mix(torch.cat((inputs, positions), dim=2)))
    logits = (states * vectors[view.asked_BL]).sum(dim=2)[view.mask_BL]
    wanted = view.correct_BL[view.mask_BL].to(logits.dtype)
    return functional.binary_cross_entropy_with_logits(logits, wanted, reduction="sum")


@pytest.mark.parametrize("chunk", [None, 5])
@pytest.mark.parametrize("domain", DOMAINS)
def test_the_gradient_is_that_of_plain_autograd_with_a_detached_history(
    domain: str, chunk: int | None
) -> None:
    tiny, batch = tiny_system(domain=domain), sampler_of(domain).batch(0)
    vectors = tiny.system.encode(batch.unique().host_items_N)
    loss = (answer_loss if domain == "answers" else news_loss)(tiny, batch, vectors, vectors.detach())
    (loss / batch.users).backward()
    wanted = tiny.take_gradients()
    found = CandidatesOnly(tiny.system, chunk).gradients(batch)
    assert float(found.loss) == pytest.approx(float(loss.detach()), abs=1e-10)
    assert_same(tiny.take_gradients(), wanted)
    other = tiny_system(domain=domain)
    SingleStep(other.system).gradients(batch)
    whole = other.take_gradients()
    assert max(float((whole[name] - wanted[name]).abs().max()) for name in wanted) > 1e-3, "another update"


@pytest.mark.parametrize("domain", DOMAINS)
def test_each_item_is_encoded_once_and_keeps_a_graph_only_as_a_candidate(domain: str) -> None:
    tiny, batch = tiny_system(domain=domain), sampler_of(domain).batch(0)
    view = batch.unique()
    if isinstance(batch, AnswerBatch):
        candidates = set(batch.asked_BL[batch.mask_BL].tolist())
    else:
        candidates = set(batch.candidates_BC.flatten().tolist())
    CandidatesOnly(tiny.system).gradients(batch)
    assert tiny.spy.times(with_graph=True) == dict.fromkeys(candidates, 1)
    rest = set(view.host_items_N.tolist()) - candidates
    assert tiny.spy.times(with_graph=False) == dict.fromkeys(rest, 1)
    assert bool(rest) == (domain == "news")


@pytest.mark.parametrize(("kind", "domain"), KINDS)
def test_every_filter_tells_candidates_from_the_history(kind: str, domain: str) -> None:
    """A filter that ignored `answered_BL`, or the offset of the history, would have a gradient of 0 there."""
    torch.manual_seed(0)
    spec = Filter(kind=kind, nrms={"heads": HEADS, "query": QUERY})
    made: Any = FACTORIES[kind](spec, WIDTH)
    filter_, batch = made.double().eval(), sampler_of(domain).batch(0)
    widen(filter_)
    view = batch.unique()
    once = torch.randn(len(view.items_N), WIDTH, dtype=torch.float64, requires_grad=True)
    loss = filter_.loss(once, view)
    loss.backward()
    twice = torch.cat((once, once)).detach().requires_grad_()
    apart = filter_.loss(twice, view.apart())
    apart.backward()
    assert float(apart.detach()) == pytest.approx(float(loss.detach()), abs=1e-10)
    as_candidate, in_history = twice.grad.chunk(2)
    torch.testing.assert_close(as_candidate + in_history, once.grad, rtol=0, atol=1e-10)
    assert as_candidate.abs().max() > 1e-4 < in_history.abs().max()
