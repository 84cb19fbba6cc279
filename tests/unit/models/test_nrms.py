"""NRMS against the paper's equations written with Python's loops."""

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_systems import HEADS, QUERY, WIDTH, over_table, widen
from torch import Tensor

from grambench.domains.news.batch import NewsBatch
from grambench.models.filters.nrms import NRMS
from grambench.models.filters.users import CALL_POSITIONS

ITEMS = 20


def model(seed: int = 0) -> NRMS:
    torch.manual_seed(seed)
    user_model = NRMS(WIDTH, HEADS, QUERY).double()
    widen(user_model)
    return user_model


def make_batch(histories: list[list[int]], candidates: list[list[int]], padding: int = 0) -> NewsBatch:
    """Histories are left-padded to the longest plus `padding`."""
    width = max(1, *(len(row) for row in histories)) + padding
    ids = [[0] * (width - len(row)) + row for row in histories]
    mask = [[False] * (width - len(row)) + [True] * len(row) for row in histories]
    tensors = torch.tensor(ids), torch.tensor(mask), torch.tensor(candidates)
    return NewsBatch(0, 0, False, False, *tensors, keys_B=torch.arange(len(ids)))


def softmax(values: list[float]) -> list[float]:
    powers = [math.exp(value - max(values)) for value in values]
    return [power / sum(powers) for power in powers]


def literal_user(user_model: NRMS, clicks: list[Tensor]) -> Tensor:
    if not clicks:
        return user_model.no_history
    head = WIDTH // HEADS
    attended = []
    for query_click in clicks:
        pieces = []
        for e in range(HEADS):
            part = slice(e * head, (e + 1) * head)
            query = user_model.to_query(query_click)[part]
            weights = softmax(
                [float(query @ user_model.to_key(click)[part]) / math.sqrt(head) for click in clicks]
            )
            values = [user_model.to_value(click)[part] for click in clicks]
            pieces.append(sum(weight * value for weight, value in zip(weights, values, strict=True)))
        attended.append(torch.cat(pieces))
    pool = user_model.pool
    scores = [float(pool.query.weight[0] @ torch.tanh(pool.project(vector))) for vector in attended]
    return sum(weight * vector for weight, vector in zip(softmax(scores), attended, strict=True))


def literal_loss(
    user_model: NRMS, vectors_ID: Tensor, histories: list[list[int]], shown: list[list[int]]
) -> float:
    total = 0.0
    for clicks, candidates in zip(histories, shown, strict=True):
        user = literal_user(user_model, [vectors_ID[i] for i in clicks])
        logits = [float(user @ vectors_ID[i]) for i in candidates]
        total -= math.log(softmax(logits)[0])
    return total


histories_st = st.lists(st.lists(st.integers(0, ITEMS - 1), max_size=6), min_size=1, max_size=4)


@settings(max_examples=25)
@given(histories_st, st.integers(0, 1000))
def test_loss_is_that_of_the_equations(histories: list[list[int]], seed: int) -> None:
    user_model = model(seed)
    vectors_ID = torch.randn(ITEMS, WIDTH, dtype=torch.float64)
    shown = torch.randint(0, ITEMS, (len(histories), 4)).tolist()
    with torch.no_grad():
        found = user_model.loss(vectors_ID, over_table(make_batch(histories, shown)))
        wanted = literal_loss(user_model, vectors_ID, histories, shown)
    assert float(found) == pytest.approx(wanted, abs=1e-10)


def test_parameter_count() -> None:
    projections = 3 * (WIDTH * WIDTH + WIDTH)  # query, key, value; no output matrix
    pooling = WIDTH * QUERY + QUERY + QUERY
    assert sum(p.numel() for p in model().parameters()) == projections + pooling + WIDTH


@settings(max_examples=25)
@given(histories_st, st.integers(1, 5))
def test_padding_never_changes_a_user(histories: list[list[int]], padding: int) -> None:
    user_model = model()
    shown = [[0, 1]] * len(histories)
    vectors_ID = torch.randn(ITEMS, WIDTH, dtype=torch.float64)
    tight, wide = make_batch(histories, shown), make_batch(histories, shown, padding)
    loud_ID = torch.cat((vectors_ID, torch.full((1, WIDTH), 1e3, dtype=torch.float64)))
    loud_BH = wide.history_BH.masked_fill(~wide.mask_BH, ITEMS)
    with torch.no_grad():
        wanted = user_model.users(
            user_model.project(vectors_ID), tight.history_BH, tight.mask_BH, tight.clicks_B
        )
        found = user_model.users(user_model.project(loud_ID), loud_BH, wide.mask_BH, wide.clicks_B)
    assert float((found - wanted).abs().max()) < 1e-10


def test_padding_gets_no_gradient() -> None:
    user_model = model()
    vectors_ID = torch.randn(ITEMS, WIDTH, dtype=torch.float64, requires_grad=True)
    user_model.loss(vectors_ID, over_table(make_batch([[3, 4], [5], []], [[6, 7]] * 3))).backward()
    touched = vectors_ID.grad.abs().sum(dim=1) > 0
    assert touched.nonzero().flatten().tolist() == [3, 4, 5, 6, 7]


def test_user_without_history_is_the_learnt_vector() -> None:
    user_model = model()
    vectors_ID = torch.randn(ITEMS, WIDTH, dtype=torch.float64)
    batch = make_batch([[], [2, 3]], [[4, 5], [6, 7]])
    users_BD = user_model.users(
        user_model.project(vectors_ID), batch.history_BH, batch.mask_BH, batch.clicks_B
    )
    assert torch.equal(users_BD[0], user_model.no_history)
    assert not torch.equal(users_BD[1], user_model.no_history)


def test_empty_histories_give_finite_gradients_and_teach_their_vector() -> None:
    user_model = model()
    vectors_ID = torch.randn(ITEMS, WIDTH, dtype=torch.float64, requires_grad=True)
    user_model.loss(vectors_ID, over_table(make_batch([[], []], [[1, 2], [3, 4]]))).backward()
    for parameter in (*user_model.parameters(), vectors_ID):
        assert parameter.grad is None or torch.isfinite(parameter.grad).all()
    assert float(user_model.no_history.grad.abs().max()) > 0
    assert float(user_model.to_key.weight.grad.abs().max()) == 0


def test_loss_is_a_sum_over_the_users() -> None:
    user_model = model()
    vectors_ID = torch.randn(ITEMS, WIDTH, dtype=torch.float64)
    batch = make_batch([[1, 2], [], [3]], [[4, 5], [6, 7], [8, 9]])
    with torch.no_grad():
        whole = user_model.loss(vectors_ID, over_table(batch))
        parts = [user_model.loss(vectors_ID, over_table(part)) for part in batch.split(1)]
        doubled = user_model.loss(vectors_ID, over_table(batch.repeated()))
    assert float(whole) == pytest.approx(float(sum(parts)), abs=1e-10)
    assert float(doubled) == pytest.approx(2 * float(whole), abs=1e-10)


@pytest.mark.parametrize("whole", [True, False])
def test_candidates_in_one_row_have_the_scores_of_those_in_a_rectangle(whole: bool) -> None:
    """Training ranks C candidates of each user, an evaluation as many as each impression shows."""
    user_model, vectors_ID = model(), torch.randn(ITEMS, WIDTH, dtype=torch.float64)
    view = over_table(make_batch([[1, 2, 3], [], [2]], [[4, 5], [6, 7], [8, 9]]))
    ragged = replace(view, candidates=torch.tensor([4, 5, 6, 9]), candidate_rows=torch.tensor([0, 0, 1, 2]))
    with torch.no_grad():
        scores_BC = user_model.scores(vectors_ID, view)
        found_C = user_model.scorer(vectors_ID, whole)(ragged)
        loss = user_model.loss(vectors_ID, view)
    assert torch.allclose(found_C, scores_BC.flatten()[[0, 1, 2, 5]], rtol=0, atol=1e-12)
    assert float(loss) == pytest.approx(-float(scores_BC.log_softmax(dim=1)[:, 0].sum()), abs=1e-12)


def test_heads_must_divide_the_width() -> None:
    with pytest.raises(ValueError, match="3 heads do not divide the width 16"):
        NRMS(16, 3, 8)


@settings(max_examples=25)
@given(
    st.lists(st.lists(st.integers(0, ITEMS - 1), max_size=40), min_size=1, max_size=12),
    st.sampled_from([0, 20, 1 << 62]),
)
def test_histories_in_groups_of_like_length_give_the_same_users_and_gradients(
    histories: list[list[int]], call: int
) -> None:
    found = []
    for positions in (1 << 62, call):
        user_model = model()
        vectors_ID = torch.linspace(-1, 1, ITEMS * WIDTH, dtype=torch.float64).view(ITEMS, WIDTH).sin()
        vectors_ID.requires_grad_()
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(CALL_POSITIONS, "cpu", positions)
            batch = make_batch(histories, [[0, 1]] * len(histories))
            loss = user_model.loss(vectors_ID, over_table(batch))
        loss.backward()
        found.append([loss.detach(), vectors_ID.grad, *(p.grad for p in user_model.parameters())])
    for one, other in zip(*found, strict=True):
        assert torch.allclose(one, other, rtol=0, atol=1e-10)


def test_loss_over_fixed_shapes_is_one_graph_without_a_break() -> None:
    """What a CUDA graph captures asks nothing of the host; the plain loss sorts lengths there."""
    import torch._dynamo as dynamo

    user_model = model()
    view = make_batch([[1, 2, 3], [4], []], [[5, 6], [7, 8], [9, 1]]).unique()
    fixed = view.over(view.items_N, view.buffers())
    vectors_ND = torch.randn(len(view.items_N), WIDTH, dtype=torch.float64)
    dynamo.reset()
    found = dynamo.explain(user_model.loss)(vectors_ND, fixed)
    assert (found.graph_count, found.graph_break_count) == (1, 0)
    with torch.no_grad():
        losses = [float(user_model.loss(vectors_ND, each)) for each in (fixed, view)]
    assert losses[0] == pytest.approx(losses[1])
