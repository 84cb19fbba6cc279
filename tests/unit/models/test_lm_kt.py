"""LM-KT against its definition: packing by a literal loop, the model by one forward pass an answer."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import GPT2Config, GPT2LMHeadModel

from grambench.models.filters.histories import Markers, PackedHistories, pack_histories
from grambench.models.filters.lm_kt import LMKT

torch.set_num_threads(1)

WORDS, WIDTH, LAYERS, CONTEXT = 20, 8, 2, 40
MARKERS = Markers.after(WORDS)
ITEMS = [[1, 2, 3], [4], [], list(range(5, 19)), [7, 8, 9, 10, 11]]
NO_VECTORS = torch.empty(0)

Answer = tuple[int, int]
"""Item and 1 (right) or 0 (wrong)."""


def pack(histories: list[list[Answer]], context: int = CONTEXT) -> PackedHistories:
    answers = [answer for history in histories for answer in history]
    return pack_histories(
        np.array([item for item, _ in answers], np.int32),
        np.array([correct for _, correct in answers], np.int8),
        offsets(histories),
        TOKENS,
        offsets(ITEMS),
        MARKERS,
        context,
    )


def offsets(rows: list[list]) -> np.ndarray:
    return np.concatenate(([0], np.cumsum([len(row) for row in rows]))).astype(np.int64)


TOKENS = np.array([token for item in ITEMS for token in item], np.int32)


def question(answer: Answer, context: int) -> list[int]:
    """<Q> tokens <A> <Y|N>, a quarter of the context at most."""
    item, correct = answer
    last = MARKERS.correct if correct else MARKERS.wrong
    return [MARKERS.question, *ITEMS[item][: context // 4 - 3], MARKERS.answer, last]


def literal_rows(history: list[Answer], context: int) -> list[tuple[list[int], list[int]]]:
    """Rows of a history: ids, and the positions of the answers asked in it."""
    asked = [question(answer, context) for answer in history]
    rows, done = [], 0
    while done < len(asked):
        first = done
        while first > 0 and sum(map(len, asked[first - 1 : done])) <= context // 2:
            first -= 1
        ids = [token for text in asked[first:done] for token in text]
        positions = []
        while done < len(asked) and len(ids) + len(asked[done]) <= context:
            ids += asked[done]
            positions.append(len(ids) - 1)
            done += 1
        rows.append((ids, positions))
    return rows


histories_st = st.lists(
    st.lists(st.tuples(st.integers(0, len(ITEMS) - 1), st.integers(0, 1)), max_size=20), max_size=4
)


@given(histories_st, st.integers(16, 90))
@settings(max_examples=200)
def test_packing_is_that_of_a_literal_loop(histories: list[list[Answer]], context: int) -> None:
    packed = pack(histories, context)
    literal = [row for history in histories for row in literal_rows(history, context)]
    length = max((len(ids) for ids, _ in literal), default=0)
    assert packed.ids_SL.tolist() == [ids + [0] * (length - len(ids)) for ids, _ in literal]
    assert packed.lengths_S.tolist() == [len(ids) for ids, _ in literal]
    places = [(row, position) for row, (_, positions) in enumerate(literal) for position in positions]
    found = zip(packed.rows_A.tolist(), packed.positions_A.tolist(), strict=True)
    assert list(found) == places
    assert len(places) == sum(map(len, histories))


def test_a_history_goes_on_behind_the_questions_before_it_and_long_ones_are_cut() -> None:
    packed = pack([[(0, 1), (3, 0), (1, 1)], [(2, 0)]], context=16)
    q, a, y, n = MARKERS.question, MARKERS.answer, MARKERS.correct, MARKERS.wrong
    assert packed.ids_SL.tolist() == [
        [q, 1, a, y, q, 5, a, n, q, 4, a, y],
        [q, a, n, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    ]
    longer = pack([[(1, 1), (1, 0), (1, 1), (1, 0), (1, 1)]], context=16)
    assert longer.ids_SL.tolist() == [
        [q, 4, a, y, q, 4, a, n, q, 4, a, y, q, 4, a, n],
        [q, 4, a, y, q, 4, a, n, q, 4, a, y, 0, 0, 0, 0],
    ]
    assert longer.rows_A.tolist() == [0, 0, 0, 0, 1]
    assert longer.positions_A.tolist() == [3, 7, 11, 15, 11]


def test_a_context_that_holds_no_four_questions_is_refused() -> None:
    with pytest.raises(ValueError, match="a context of 15 tokens is below 16"):
        pack([[(1, 1)]], context=15)


def config(words: int = WORDS + 4, positions: int = CONTEXT) -> GPT2Config:
    return GPT2Config(
        vocab_size=words,
        n_positions=positions,
        n_embd=WIDTH,
        n_layer=LAYERS,
        n_head=2,
        initializer_range=0.3,
        bos_token_id=0,
        eos_token_id=0,
    )


def model(**changes: int) -> LMKT:
    torch.manual_seed(0)
    return (
        LMKT(GPT2LMHeadModel(config()), MARKERS, TOKENS, offsets(ITEMS), **{"call_tokens": 64, **changes})
        .double()
        .eval()
    )


def view_of(histories: list[list[Answer]]) -> SimpleNamespace:
    """Items numbered anew, so that `asked_BL` points into `host_items_N`."""
    items = np.array([4, 0, 3, 1, 2])
    place = {int(item): number for number, item in enumerate(items)}
    length = max(map(len, histories))
    asked = torch.zeros(len(histories), length, dtype=torch.long)
    correct, mask = torch.zeros_like(asked), torch.zeros_like(asked, dtype=torch.bool)
    for row, history in enumerate(histories):
        for position, (item, is_right) in enumerate(history):
            asked[row, position], correct[row, position], mask[row, position] = place[item], is_right, True
    return SimpleNamespace(host_items_N=items, asked_BL=asked, correct_BL=correct, mask_BL=mask)


def literal_probabilities(lm_kt: LMKT, history: list[Answer]) -> list[list[float]]:
    """Of every token behind each <A>, by one call of the whole model an answer."""
    found = []
    for ids, positions in literal_rows(history, lm_kt.context):
        for position in positions:
            with torch.no_grad():
                output = lm_kt.language_model(input_ids=torch.tensor([ids[:position]]))
            logits = output.logits[0, -1].tolist()
            total = sum(math.exp(logit) for logit in logits)
            found.append([math.exp(logit) / total for logit in logits])
    return found


short_histories = st.lists(
    st.lists(st.tuples(st.integers(0, len(ITEMS) - 1), st.integers(0, 1)), min_size=1, max_size=6),
    min_size=1,
    max_size=3,
)


@given(short_histories, st.sampled_from([16, 24, CONTEXT]))
@settings(max_examples=20, deadline=None)
def test_loss_and_logits_are_those_of_one_call_an_answer(histories: list[list[Answer]], context: int) -> None:
    lm_kt = model(context=context)
    view = view_of(histories)
    with torch.no_grad():
        loss, logits = lm_kt.loss(NO_VECTORS, view), lm_kt.scores(NO_VECTORS, view)
    wanted = 0.0
    for row, history in enumerate(histories):
        for position, probabilities in enumerate(literal_probabilities(lm_kt, history)):
            right, wrong = probabilities[MARKERS.correct], probabilities[MARKERS.wrong]
            wanted -= math.log(right if history[position][1] else wrong)
            assert float(logits[row, position]) == pytest.approx(math.log(right / wrong), abs=1e-10)
        assert logits[row, len(history) :].tolist() == [0.0] * (logits.shape[1] - len(history))
    assert float(loss) == pytest.approx(wanted, abs=1e-10)


def test_the_size_of_a_call_changes_nothing() -> None:
    view = view_of([[(0, 1), (1, 0), (3, 1)] * 4, [(4, 0)], [(2, 1), (3, 1)], [(1, 1)] * 9])
    with torch.no_grad():
        large = model(call_tokens=10_000).scores(NO_VECTORS, view)
        small = model(call_tokens=1).scores(NO_VECTORS, view)
    assert float((large - small).abs().max()) < 1e-12


def test_no_score_sees_its_own_answer_and_later_ones_do() -> None:
    lm_kt = model()
    with torch.no_grad():
        one = lm_kt.scores(NO_VECTORS, view_of([[(0, 1), (1, 1), (4, 1)]]))[0]
        other = lm_kt.scores(NO_VECTORS, view_of([[(0, 1), (1, 0), (4, 1)]]))[0]
    assert torch.equal(one[:2], other[:2])
    assert abs(float(one[2] - other[2])) > 1e-6


def test_parameter_count_and_tied_embeddings() -> None:
    embeddings = (WORDS + 4 + CONTEXT) * WIDTH  # the output layer shares the tokens'
    attention = WIDTH * 3 * WIDTH + 3 * WIDTH + WIDTH * WIDTH + WIDTH
    feed_forward = WIDTH * 4 * WIDTH + 4 * WIDTH + 4 * WIDTH * WIDTH + WIDTH
    norms = 2 * 2 * WIDTH
    count = sum(p.numel() for p in model().parameters())
    assert count == embeddings + LAYERS * (attention + feed_forward + norms) + 2 * WIDTH


def test_gradients_reach_every_parameter() -> None:
    lm_kt = model()
    lm_kt.loss(NO_VECTORS, view_of([[(0, 1), (1, 0)]])).backward()
    for name, parameter in lm_kt.named_parameters():
        assert float(parameter.grad.abs().max()) > 0, name


def test_what_the_context_cuts_is_said() -> None:
    assert model().context == CONTEXT
    assert model().limits() == "rows of 40 tokens; 1 of 5 questions cut to 7 tokens"


def test_a_marker_outside_the_vocabulary_is_refused() -> None:
    with pytest.raises(ValueError, match="marker 23 is not among the 23 tokens"):
        LMKT(GPT2LMHeadModel(config(WORDS + 3)), MARKERS, TOKENS, offsets(ITEMS))


def test_a_context_above_the_positions_is_refused() -> None:
    with pytest.raises(ValueError, match="a context of 41 tokens is above the model's 40"):
        model(context=CONTEXT + 1)
