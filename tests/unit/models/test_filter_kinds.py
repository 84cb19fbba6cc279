"""mean, NAML, SASRec and SAKT against their definitions written with Python's loops."""

import math
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_nrms import histories_st, make_batch, softmax
from tiny_systems import HEADS, QUERY, WIDTH, over_table, widen
from torch import Tensor

from grambench.config.filters import ROWS, FilterRow, whole_batch_setting
from grambench.config.networks import Filter
from grambench.config.presets import load_preset
from grambench.errors import ConfigError
from grambench.models.filters import FACTORIES, make_filter
from grambench.models.filters.base import AnswerView
from grambench.models.filters.blocks import AttentionBlock
from grambench.models.filters.mean import MeanOfClicks
from grambench.models.filters.naml import NAML
from grambench.models.filters.sakt import SAKT
from grambench.models.filters.sasrec import SASRec
from grambench.models.filters.users import UserFilter

ITEMS, LENGTH = 20, 12


def literal_block(block: AttentionBlock, query: Tensor, keys: list[Tensor]) -> Tensor:
    """One query over its keys, head by head."""
    size, pieces = WIDTH // HEADS, []
    for head in range(HEADS):
        part = slice(head * size, (head + 1) * size)
        asked = block.to_query(query)[part]
        weights = softmax([float(asked @ block.to_key(key)[part]) / math.sqrt(size) for key in keys])
        values = [block.to_value(key)[part] for key in keys]
        pieces.append(sum(weight * value for weight, value in zip(weights, values, strict=True)))
    state = block.attention_norm(query + block.to_output(torch.cat(pieces)))
    inner = block.feed[0](state).clamp(min=0)
    return block.feed_norm(state + block.feed[2](inner))


def literal_mean(_: MeanOfClicks, clicks: list[Tensor]) -> Tensor:
    return sum(clicks) / len(clicks)


def literal_naml(naml: NAML, clicks: list[Tensor]) -> Tensor:
    pool = naml.pool
    weights = softmax([float(pool.query.weight[0] @ torch.tanh(pool.project(click))) for click in clicks])
    return sum(weight * click for weight, click in zip(weights, clicks, strict=True))


def literal_sasrec(sasrec: SASRec, clicks: list[Tensor]) -> Tensor:
    ages = range(len(clicks) - 1, -1, -1)
    states = [
        sasrec.norm(click + sasrec.position.weight[age]) for click, age in zip(clicks, ages, strict=True)
    ]
    for block in sasrec.blocks:
        states = [literal_block(block, state, states[: place + 1]) for place, state in enumerate(states)]
    return states[-1]


MADE: dict[str, tuple[Callable[[], UserFilter], Callable[..., Tensor]]] = {
    "mean": (lambda: MeanOfClicks(WIDTH), literal_mean),
    "naml": (lambda: NAML(WIDTH, QUERY), literal_naml),
    "sasrec": (lambda: SASRec(WIDTH, 2, HEADS, LENGTH), literal_sasrec),
}
every_kind = pytest.mark.parametrize("kind", MADE)


def made(kind: str, seed: int = 0) -> UserFilter:
    torch.manual_seed(seed)
    model = MADE[kind][0]().double()
    widen(model)
    return model


def table(seed: int = 0) -> Tensor:
    return torch.randn(ITEMS, WIDTH, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@every_kind
@settings(max_examples=8, deadline=None)
@given(histories=histories_st, seed=st.integers(0, 100), padding=st.integers(0, 5))
def test_scores_are_those_of_the_definition_whatever_lies_in_the_padding(
    kind: str, histories: list[list[int]], seed: int, padding: int
) -> None:
    model, vectors_ID = made(kind, seed), table(seed)
    shown = torch.randint(0, ITEMS, (len(histories), 3)).tolist()
    view = over_table(make_batch(histories, shown, padding))
    loud_ID = torch.cat((vectors_ID, torch.full((1, WIDTH), 1e3, dtype=torch.float64)))
    loud = replace(view, history_BH=view.history_BH.masked_fill(~view.mask_BH, ITEMS))
    with torch.no_grad():
        found = model.scores(loud_ID, loud)
        for row, (clicks, candidates) in enumerate(zip(histories, shown, strict=True)):
            user = MADE[kind][1](model, [vectors_ID[i] for i in clicks]) if clicks else model.no_history
            assert torch.allclose(found[row], vectors_ID[candidates] @ user, rtol=0, atol=1e-10)


@every_kind
def test_a_user_has_the_same_scores_in_any_batch_and_in_an_evaluation(kind: str) -> None:
    model, vectors_ID = made(kind), table()
    batch = make_batch([[1, 2, 3, 1], [], [2], [3, 4]], [[4, 5], [6, 7], [8, 9], [1, 0]])
    view = over_table(batch)
    ragged = replace(
        view, candidates=torch.tensor([4, 5, 6, 9]), candidate_rows=torch.tensor([0, 0, 1, 2]), clicks_B=None
    )
    with torch.no_grad():
        scores_BC = model.scores(vectors_ID, view)
        alone = [model.scores(vectors_ID, over_table(part)) for part in batch.split(1)]
        scored = [model.scorer(vectors_ID, whole)(ragged) for whole in (True, False)]
    assert torch.allclose(torch.cat(alone), scores_BC, rtol=0, atol=1e-12)
    for found in scored:
        assert torch.allclose(found, scores_BC.flatten()[[0, 1, 2, 5]], rtol=0, atol=1e-12)


@every_kind
def test_gradients_reach_clicks_and_candidates_and_no_padding(kind: str) -> None:
    model, vectors_ID = made(kind), table().requires_grad_()
    model.loss(vectors_ID, over_table(make_batch([[3, 4], [5], []], [[6, 7]] * 3))).backward()
    assert (vectors_ID.grad.abs().sum(dim=1) > 0).nonzero().flatten().tolist() == [3, 4, 5, 6, 7]
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())
    assert float(model.no_history.grad.abs().max()) > 0


def test_the_order_of_clicks_matters_to_sasrec_alone() -> None:
    for kind in MADE:
        one, other = (
            made(kind).scores(table(), over_table(make_batch([clicks], [[5, 6]])))
            for clicks in ([1, 2, 3], [2, 1, 3])
        )
        assert torch.allclose(one, other, rtol=0, atol=1e-10) == (kind != "sasrec")


IN_BATCH = (
    [[1, 2], [], [3, 8, 5], [9]],
    [[4, 6], [6, 7], [8, 4], [4, 9]],
)
"""Histories, candidates: 8 is a click and a target, 4 the target of two users, 9 a click and a negative."""


def literal_in_batch(model: SASRec, vectors_ID: Tensor) -> float:
    total = 0.0
    for clicks, candidates in zip(*IN_BATCH, strict=True):
        user = literal_sasrec(model, [vectors_ID[i] for i in clicks]) if clicks else model.no_history
        others = {item for row in IN_BATCH[1] for item in row} - {candidates[0], *clicks}
        logits = [float(user @ vectors_ID[item]) for item in (candidates[0], *others)]
        total -= math.log(softmax(logits)[0])
    return total


def test_in_batch_is_a_softmax_over_the_distinct_candidates_that_were_not_clicked() -> None:
    torch.manual_seed(1)
    model, vectors_ID = SASRec(WIDTH, 2, HEADS, LENGTH, "in-batch").double(), table()
    batch = make_batch(*IN_BATCH)
    with torch.no_grad():
        wanted = literal_in_batch(model, vectors_ID)
        views = batch.occurrences(), batch.unique()
        found = [float(model.loss(vectors_ID[view.items_N], view)) for view in views]
        unnumbered = float(model.loss(vectors_ID, over_table(batch)))
    assert [*found, unnumbered] == pytest.approx([wanted] * 3, abs=1e-10)


def answers(items: list[list[int]], correct: list[list[int]], padding: int = 0) -> AnswerView:
    length = max(map(len, items)) + padding
    rows = [[[*row, *[0] * (length - len(row))] for row in rows] for rows in (items, correct)]
    mask = [[place < len(row) for place in range(length)] for row in items]
    return AnswerView(None, torch.tensor(rows[0]), torch.tensor(mask), torch.tensor(rows[1]))


ASKED, CORRECT = [[0, 3, 3, 1, 4], [2], [5, 0, 5]], [[1, 0, 1, 1, 0], [1], [0, 0, 1]]


def sakt() -> SAKT:
    torch.manual_seed(0)
    model = SAKT(WIDTH, 2, HEADS, LENGTH).double()
    widen(model)
    return model


def literal_logits(model: SAKT, vectors: Tensor, items: list[int], correct: list[int]) -> list[Tensor]:
    pairs = zip(items[:-1], correct[:-1], strict=True)
    known = [model.start, *(vectors[item] + model.correctness.weight[right] for item, right in pairs)]
    states = [state + model.position.weight[place] for place, state in enumerate(known)]
    for block in model.blocks:
        states = [literal_block(block, vectors[item], states[: t + 1]) for t, item in enumerate(items)]
    return [model.score(state)[0] for state in states]


def test_sakt_reads_the_answers_before_each_item() -> None:
    model, vectors_ID = sakt(), table()
    with torch.no_grad():
        found = model.scores(vectors_ID, answers(ASKED, CORRECT, padding=2))
        for row, (items, correct) in enumerate(zip(ASKED, CORRECT, strict=True)):
            wanted = torch.stack(literal_logits(model, vectors_ID, items, correct))
            assert torch.allclose(found[row, : len(items)], wanted, rtol=0, atol=1e-10)
            alone = model.scores(vectors_ID, answers([items], [correct]))[0]
            assert torch.allclose(alone, wanted, rtol=0, atol=1e-10)


def test_an_answer_moves_only_later_logits_of_sakt() -> None:
    model, vectors_ID = sakt(), table()
    changed = [[1, 0, 0, 1, 1], *CORRECT[1:]]
    with torch.no_grad():
        one, other = (model.scores(vectors_ID, answers(ASKED, each))[0] for each in (CORRECT, changed))
    assert torch.equal(one[:3], other[:3])
    assert float((one[3:] - other[3:]).abs().min()) > 1e-7


def test_gradients_reach_the_items_asked_and_answered_and_no_padding_of_sakt() -> None:
    model, vectors_ID = sakt(), table().requires_grad_()
    view = answers([[3, 4], [5]], [[1, 0], [1]], padding=1)
    model.loss(vectors_ID, view).backward()
    assert (vectors_ID.grad.abs().sum(dim=1) > 0).nonzero().flatten().tolist() == [3, 4, 5]
    assert float(model.start.grad.abs().max()) > 0


@pytest.mark.parametrize("kind", ["nrms", "sasrec", "sakt"])
def test_heads_must_divide_the_width(kind: str) -> None:
    words = rf"filter\.{kind}\.heads = 6 does not divide the encoder's width 16\."
    with pytest.raises(ConfigError, match=words) as refused:
        FACTORIES[kind](Filter(**{kind: {"heads": 6}}), 16)
    assert f"--set filter.{kind}.heads=4" in refused.value.fix
    preset = "demo-kt" if kind == "sakt" else "demo"
    with pytest.raises(ConfigError, match=rf"filter\.{kind}\.heads = 5 must divide the encoder's width 48"):
        load_preset(preset, [f"filter.kind={kind}", f"filter.{kind}.heads=5"])


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.kind)
def test_a_row_says_with_which_setting_its_loss_reads_other_users(row: FilterRow) -> None:
    preset, chosen = "demo" if row.domains == ("news",) else "demo-kt", f"filter.kind={row.kind}"
    spec = load_preset(preset, [chosen])
    assert whole_batch_setting(spec) is None
    assert not make_filter(spec, 48).across_users
    if row.across_users is None:
        return
    across = "=".join(row.across_users)
    assert make_filter(load_preset(preset, [chosen, across]), 48).across_users
    with pytest.raises(ConfigError, match="in-batch needs the candidates of the whole batch, which 2 ranks"):
        load_preset(preset, [chosen, across, "ranks.nproc=2"])
