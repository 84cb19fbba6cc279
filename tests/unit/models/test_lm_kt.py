"""LM-KT against its definition: packing by a literal loop, the model by one forward pass an answer."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import GPT2Config, GPT2LMHeadModel

from grambench.models.filters.lm_kt import LMKT, Markers, PackedHistories, pack_histories

torch.set_num_threads(1)

WORDS, WIDTH, LAYERS, CONTEXT = 20, 8, 2, 40
MARKERS = Markers.after(WORDS)
ITEMS = [[1, 2, 3], [4], [], list(range(5, 19)), [7, 8, 9, 10, 11]]

Answer = tuple[int, int]
"""Item and 1 (right) or 0 (wrong)."""


def pack(histories: list[list[Answer]], context: int = CONTEXT) -> PackedHistories:
    answers = [answer for history in histories for answer in history]
    return pack_histories(
        np.array([item for item, _ in answers], np.int32),
        np.array([correct for _, correct in answers], np.int8),
        offsets(histories),
        np.array([token for item in ITEMS for token in item], np.int32),
        offsets(ITEMS),
        MARKERS,
        context,
    )


def offsets(rows: list[list]) -> np.ndarray:
    return np.concatenate(([0], np.cumsum([len(row) for row in rows]))).astype(np.int64)


def question(item: int, correct: int, context: int) -> list[int]:
    """<Q> tokens <A> <Y|N>."""
    last = MARKERS.correct if correct else MARKERS.wrong
    return [MARKERS.question, *ITEMS[item][: context // 4], MARKERS.answer, last]


def literal_pack(history: list[Answer], context: int) -> tuple[list[int], list[int], int, int]:
    """Ids, positions of the answers, questions dropped, questions cut."""
    kept = list(history)
    while sum(len(question(*answer, context)) for answer in kept) > context:
        del kept[0]
    ids, positions = [], []
    for answer in kept:
        ids += question(*answer, context)
        positions.append(len(ids) - 1)
    cut = sum(len(ITEMS[item]) > context // 4 for item, _ in kept)
    return ids, positions, len(history) - len(kept), cut


histories_st = st.lists(
    st.lists(st.tuples(st.integers(0, len(ITEMS) - 1), st.integers(0, 1)), max_size=9), max_size=4
)


@given(histories_st, st.integers(4, 60))
@settings(max_examples=200)
def test_packing_is_that_of_a_literal_loop(histories: list[list[Answer]], context: int) -> None:
    packed = pack(histories, context)
    literal = [literal_pack(history, context) for history in histories]
    length = max((len(ids) for ids, *_ in literal), default=0)
    assert packed.ids_BL.shape == (len(histories), length)
    assert packed.ids_BL.tolist() == [ids + [0] * (length - len(ids)) for ids, *_ in literal]
    places = [(row, position) for row, (_, positions, *_) in enumerate(literal) for position in positions]
    assert list(zip(packed.rows_K.tolist(), packed.positions_K.tolist(), strict=True)) == places
    assert packed.dropped_B.tolist() == [dropped for _, _, dropped, _ in literal]
    assert packed.cut_B.tolist() == [cut for *_, cut in literal]
    numbers, start = [], 0
    for history, (_, _, dropped, _) in zip(histories, literal, strict=True):
        numbers += range(start + dropped, start + len(history))
        start += len(history)
    assert packed.answers_K.tolist() == numbers


def test_the_oldest_questions_are_dropped_and_long_ones_cut() -> None:
    packed = pack([[(0, 1), (3, 0), (1, 1)], [(2, 0)]], context=16)
    q, a, y, n = MARKERS.question, MARKERS.answer, MARKERS.correct, MARKERS.wrong
    assert packed.ids_BL.tolist() == [
        [q, 5, 6, 7, 8, a, n, q, 4, a, y],  # with (0, 1) in front these would be 17 tokens
        [q, a, n, 0, 0, 0, 0, 0, 0, 0, 0],
    ]
    assert (packed.dropped_B.tolist(), packed.cut_B.tolist()) == ([1, 0], [1, 0])
    assert packed.answers_K.tolist() == [1, 2, 3]


def test_a_context_that_holds_no_question_is_refused() -> None:
    with pytest.raises(ValueError, match="a context of 3 holds no question, its markers and its answer"):
        pack([[(1, 1)]], context=3)


def model() -> LMKT:
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=WORDS + 4,
        n_positions=CONTEXT,
        n_embd=WIDTH,
        n_layer=LAYERS,
        n_head=2,
        initializer_range=0.3,
        bos_token_id=0,
        eos_token_id=0,
    )
    return LMKT(GPT2LMHeadModel(config), MARKERS).double().eval()


def literal_probabilities(lm_kt: LMKT, history: list[Answer]) -> list[list[float]]:
    """Of every token behind each <A>, by one call of the whole model an answer."""
    ids: list[int] = []
    found = []
    for item, correct in history:
        asked = question(item, correct, CONTEXT)
        with torch.no_grad():
            logits = lm_kt.language_model(input_ids=torch.tensor([ids + asked[:-1]])).logits[0, -1].tolist()
        total = sum(math.exp(logit) for logit in logits)
        found.append([math.exp(logit) / total for logit in logits])
        ids += asked
    return found


short_histories = st.lists(
    st.lists(st.tuples(st.integers(0, len(ITEMS) - 1), st.integers(0, 1)), min_size=1, max_size=3),
    min_size=1,
    max_size=3,
)


@given(short_histories)
@settings(max_examples=15)
def test_loss_and_scores_are_those_of_one_call_an_answer(histories: list[list[Answer]]) -> None:
    lm_kt = model()
    packed = pack(histories)
    assert packed.dropped_B.sum() == 0
    loss, scores = 0.0, []
    for history in histories:
        for (_, correct), row in zip(history, literal_probabilities(lm_kt, history), strict=True):
            right, wrong = row[MARKERS.correct], row[MARKERS.wrong]
            loss -= math.log(right if correct else wrong)
            scores.append(right / (right + wrong))
    with torch.no_grad():
        assert float(lm_kt.loss(packed)) == pytest.approx(loss, abs=1e-10)
        assert lm_kt.scores(packed).tolist() == pytest.approx(scores, abs=1e-10)


def test_no_score_sees_its_own_answer_and_later_ones_do() -> None:
    lm_kt = model()
    with torch.no_grad():
        one = lm_kt.scores(pack([[(0, 1), (1, 1), (4, 1)]]))
        other = lm_kt.scores(pack([[(0, 1), (1, 0), (4, 1)]]))
    assert torch.equal(one[:2], other[:2])
    assert abs(float(one[2] - other[2])) > 1e-6


def test_padding_changes_nothing() -> None:
    lm_kt = model()
    short, long = [(1, 1), (0, 0)], [(4, 1), (0, 1), (4, 0)]
    with torch.no_grad():
        alone, together = lm_kt.scores(pack([short])), lm_kt.scores(pack([short, long]))
    assert float((together[:2] - alone).abs().max()) < 1e-12


def test_parameter_count_and_tied_embeddings() -> None:
    embeddings = (WORDS + 4 + CONTEXT) * WIDTH  # the output layer shares the tokens'
    attention = WIDTH * 3 * WIDTH + 3 * WIDTH + WIDTH * WIDTH + WIDTH
    feed_forward = WIDTH * 4 * WIDTH + 4 * WIDTH + 4 * WIDTH * WIDTH + WIDTH
    norms = 2 * 2 * WIDTH
    count = sum(p.numel() for p in model().parameters())
    assert count == embeddings + LAYERS * (attention + feed_forward + norms) + 2 * WIDTH


def test_gradients_reach_every_parameter() -> None:
    lm_kt = model()
    lm_kt.loss(pack([[(0, 1), (1, 0)]])).backward()
    for name, parameter in lm_kt.named_parameters():
        assert float(parameter.grad.abs().max()) > 0, name


def test_the_packed_rows_go_to_the_device_whole() -> None:
    packed = pack([[(0, 1), (1, 0)]])
    moved = packed.to(torch.device("meta"))
    tensors = (moved.ids_BL, moved.rows_K, moved.positions_K)
    assert [tensor.device.type for tensor in tensors] == ["meta"] * 3
    assert moved.answers_K is packed.answers_K


def test_the_context_is_the_models() -> None:
    assert model().context == CONTEXT


def test_a_marker_outside_the_vocabulary_is_refused() -> None:
    config = GPT2Config(vocab_size=WORDS + 3, n_positions=8, n_embd=4, n_layer=1, n_head=1)
    with pytest.raises(ValueError, match="marker 23 is not among the 23 tokens"):
        LMKT(GPT2LMHeadModel(config), MARKERS)
