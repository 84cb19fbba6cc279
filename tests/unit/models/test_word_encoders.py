"""Encoders over word vectors against their equations, written with Python's loops."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_systems import CPU, HEADS, QUERY, VOCABULARY, WIDTH, ragged_tokens, vectors_of, widen
from torch import Tensor

from grambench.errors import DataError
from grambench.models.encoders.buckets import ItemEncoder
from grambench.models.encoders.tokens import ItemTokens
from grambench.models.encoders.words import AttentiveWordEncoder, BiLSTMEncoder, WordEncoder

FEATURES = 6
FILLER = VOCABULARY - 1
"""A word of no text."""
HEAD = WIDTH // HEADS


def pretrained(found: int = VOCABULARY, spread: float = 0.5) -> SimpleNamespace:
    """Vectors of the first `found` words of the vocabulary."""
    matrix = np.random.default_rng(0).normal(scale=spread, size=(VOCABULARY, FEATURES)).astype(np.float32)
    matrix[found:] = 0
    return SimpleNamespace(matrix=matrix, found=np.arange(VOCABULARY) < found)


def bilstm() -> BiLSTMEncoder:
    torch.manual_seed(0)
    encoder = BiLSTMEncoder(pretrained(), WIDTH).double()
    widen(encoder)
    return encoder


def attentive(dropout: float = 0.0) -> AttentiveWordEncoder:
    torch.manual_seed(0)
    encoder = AttentiveWordEncoder(pretrained(), HEADS, HEAD, QUERY, dropout).double()
    widen(encoder)
    return encoder


both = pytest.mark.parametrize("make", [bilstm, attentive])
texts_st = st.lists(st.lists(st.integers(0, FILLER - 1), min_size=1, max_size=7), min_size=1, max_size=4)


def padded(texts: list[list[int]], padding: int = 0, filler: int = 0) -> tuple[Tensor, Tensor]:
    length = max(map(len, texts)) + padding
    ids = [text + [filler] * (length - len(text)) for text in texts]
    mask = [[True] * len(text) + [False] * (length - len(text)) for text in texts]
    return torch.tensor(ids), torch.tensor(mask)


def literal_lstm(lstm: torch.nn.LSTM, words: list[Tensor]) -> list[Tensor]:
    """Hidden states of one direction; torch stacks the gates as input, forget, cell, output."""
    hidden = cell = torch.zeros(WIDTH // 2, dtype=torch.float64)
    states = []
    for word in words:
        gates = lstm.weight_ih_l0 @ word + lstm.bias_ih_l0 + lstm.weight_hh_l0 @ hidden + lstm.bias_hh_l0
        entry, forget, new, output = gates.chunk(4)
        cell = forget.sigmoid() * cell + entry.sigmoid() * new.tanh()
        hidden = output.sigmoid() * cell.tanh()
        states.append(hidden)
    return states


def literal_bilstm(encoder: BiLSTMEncoder, text: list[int]) -> Tensor:
    words = [encoder.words.weight[word] for word in text]
    ahead = literal_lstm(encoder.forwards, words)
    back = literal_lstm(encoder.backwards, words[::-1])[::-1]
    states = [torch.cat(pair) for pair in zip(ahead, back, strict=True)]
    return sum(states) / len(states)


def softmax(values: list[float]) -> list[float]:
    powers = [math.exp(value - max(values)) for value in values]
    return [power / sum(powers) for power in powers]


def literal_attentive(encoder: AttentiveWordEncoder, text: list[int]) -> Tensor:
    projected = [encoder.project(encoder.words.weight[word]).chunk(3) for word in text]
    attended = []
    for query, _, _ in projected:
        pieces = []
        for head in range(HEADS):
            part = slice(head * HEAD, (head + 1) * HEAD)
            weights = softmax([float(query[part] @ key[part]) / math.sqrt(HEAD) for _, key, _ in projected])
            values = [value[part] for _, _, value in projected]
            pieces.append(sum(weight * value for weight, value in zip(weights, values, strict=True)))
        attended.append(torch.cat(pieces))
    pool = encoder.pool
    scores = [float(pool.query.weight[0] @ torch.tanh(pool.project(vector))) for vector in attended]
    return sum(weight * vector for weight, vector in zip(softmax(scores), attended, strict=True))


@pytest.mark.parametrize(("make", "literal"), [(bilstm, literal_bilstm), (attentive, literal_attentive)])
@settings(max_examples=20)
@given(texts=texts_st)
def test_vectors_are_those_of_the_equations(make, literal, texts: list[list[int]]) -> None:
    encoder = make()
    with torch.no_grad():
        found = vectors_of(encoder, *padded(texts))
        wanted = torch.stack([literal(encoder, text) for text in texts])
    assert found.shape == (len(texts), WIDTH)
    assert float((found - wanted).abs().max()) < 1e-10


@both
@settings(max_examples=20)
@given(texts=texts_st, padding=st.integers(1, 5))
def test_padding_never_changes_a_vector(make, texts: list[list[int]], padding: int) -> None:
    encoder = make()
    with torch.no_grad():
        alone = torch.cat([vectors_of(encoder, *padded([text])) for text in texts])
        encoder.words.weight[FILLER] = 1e3
        wide = vectors_of(encoder, *padded(texts, padding, FILLER))
    assert float((wide - alone).abs().max()) < 1e-10


@both
def test_gradients_reach_the_vectors_of_the_words_and_not_of_the_padding(make) -> None:
    encoder = make()
    vectors_of(encoder, *padded([[3, 4, 3], [5]], padding=2)).pow(2).sum().backward()
    touched = encoder.words.weight.grad.abs().sum(dim=1) > 0
    assert touched.nonzero().flatten().tolist() == [3, 4, 5]
    for name, parameter in encoder.named_parameters():
        assert torch.isfinite(parameter.grad).all(), name


def test_parameter_count_of_the_bilstm() -> None:
    half = WIDTH // 2
    direction = 4 * (half * FEATURES + half * half + 2 * half)  # four gates, torch's two biases
    assert sum(p.numel() for p in bilstm().parameters()) == VOCABULARY * FEATURES + 2 * direction


def test_parameter_count_of_the_attentive_encoder() -> None:
    projections = 3 * (FEATURES * WIDTH + WIDTH)  # query, key, value; no output matrix
    pooling = WIDTH * QUERY + QUERY + QUERY
    count = sum(p.numel() for p in attentive().parameters())
    assert count == VOCABULARY * FEATURES + projections + pooling


def test_word_order_matters_to_the_bilstm() -> None:
    one, other = vectors_of(bilstm(), *padded([[3, 4, 5], [4, 3, 5]]))
    assert not torch.allclose(one, other)


@both
def test_item_encoder_takes_a_word_encoder(make) -> None:
    encoder = make()
    tokens, offsets = ragged_tokens()
    items = np.array([5, 2, 5, 30])
    with torch.no_grad():
        found = ItemEncoder(encoder, ItemTokens(tokens, offsets, CPU), bucket_tokens=16)(items)
        texts = [tokens[offsets[item] : offsets[item + 1]].tolist() for item in items]
        wanted = torch.cat([vectors_of(encoder, *padded([text])) for text in texts])
    assert float((found - wanted).abs().max()) < 1e-10


def test_dropout_zeroes_features_of_words_in_training_only() -> None:
    encoder = attentive(dropout=0.5)
    tokens = padded([[3, 4, 5]])
    assert not torch.equal(vectors_of(encoder, *tokens), vectors_of(encoder, *tokens))
    encoder.eval()
    assert torch.equal(vectors_of(encoder, *tokens), vectors_of(attentive(), *tokens))


def test_found_words_keep_their_vectors_and_unknown_ones_are_drawn_as_wide() -> None:
    torch.manual_seed(0)
    words = pretrained(found=30, spread=3.0)
    weight = AttentiveWordEncoder(words, HEADS, HEAD, QUERY, 0.0).words.weight.detach().numpy()
    np.testing.assert_array_equal(weight[:30], words.matrix[:30])
    drawn = weight[30:] / words.matrix[:30].std()
    assert abs(drawn.mean()) < 0.3  # 120 draws of N(0, 1): five standard errors are .46
    assert abs(drawn.std() - 1) < 0.3
    assert len(np.unique(drawn)) == drawn.size


def test_the_seed_decides_the_drawn_words() -> None:
    def weight(seed: int) -> Tensor:
        torch.manual_seed(seed)
        return BiLSTMEncoder(pretrained(found=30), WIDTH).words.weight

    assert torch.equal(weight(1), weight(1))
    assert not torch.equal(weight(1)[30:], weight(2)[30:])


def test_the_callers_matrix_is_not_trained() -> None:
    words = pretrained()
    before = words.matrix.copy()
    encoder = BiLSTMEncoder(words, WIDTH)
    with torch.no_grad():
        encoder.words.weight.zero_()
    np.testing.assert_array_equal(words.matrix, before)


def test_a_vocabulary_without_any_vector_is_refused() -> None:
    with pytest.raises(DataError, match="None of the 50 words of the vocabulary has a pretrained vector"):
        BiLSTMEncoder(pretrained(found=0), WIDTH)


def test_an_odd_width_is_refused() -> None:
    with pytest.raises(ValueError, match="the width 15 is odd"):
        BiLSTMEncoder(pretrained(), 15)


def test_the_base_has_no_vectors_of_its_own() -> None:
    with pytest.raises(TypeError, match="abstract"):
        WordEncoder(pretrained(), WIDTH)  # type: ignore[abstract]
