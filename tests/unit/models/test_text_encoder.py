"""The encoder around a backbone: precision at its edges."""

import pytest
import torch
from tiny_systems import WIDTH, encoder_spec, item_tokens, vectors_of

from grambench.models.encoders.load import load_encoder
from grambench.models.pooling import AdditiveAttention, MaskedMean


@pytest.mark.parametrize("pooling", ["mean", "attention"])
def test_vectors_leave_bf16_autocast_in_fp32(pooling: str) -> None:
    torch.manual_seed(0)
    plain = load_encoder(encoder_spec(pooling=pooling), 50, autocast=False)
    tokens = item_tokens().padded(torch.tensor([1, 2]), 24)
    wanted = vectors_of(plain, *tokens)
    plain.autocast = True
    found = vectors_of(plain, *tokens)
    assert found.dtype == torch.float32
    assert not torch.equal(found, wanted)
    assert torch.allclose(found, wanted, atol=0.1)


def test_masked_mean_is_the_mean_of_real_positions() -> None:
    vectors = torch.randn(2, 5, WIDTH, dtype=torch.float64)
    mask = torch.tensor([[True] * 3 + [False] * 2, [True] + [False] * 4])
    found = MaskedMean()(vectors, mask)
    assert torch.allclose(found[0], vectors[0, :3].mean(dim=0), atol=1e-12)
    assert torch.allclose(found[1], vectors[1, 0], atol=1e-12)


def test_additive_attention_gives_padding_no_weight() -> None:
    pool = AdditiveAttention(WIDTH, 8).double()
    vectors = torch.randn(1, 6, WIDTH, dtype=torch.float64)
    mask = torch.tensor([[True, True, False, True, False, False]])
    scores = torch.stack([pool.query(torch.tanh(pool.project(vectors[0, i])))[0] for i in (0, 1, 3)])
    wanted = (scores.softmax(0)[:, None] * vectors[0, [0, 1, 3]]).sum(dim=0)
    assert torch.allclose(pool(vectors, mask)[0], wanted, atol=1e-12)


def test_mask_that_is_ready_gives_the_vectors_of_the_one_that_transformers_makes() -> None:
    torch.manual_seed(0)
    encoder = load_encoder(encoder_spec(), 50, autocast=False).double()
    tokens = item_tokens().padded(torch.tensor([1, 2, 3]), 24)
    assert not tokens[1].all()
    found = vectors_of(encoder, *tokens)
    encoder.ready_mask = False
    wanted = vectors_of(encoder, *tokens)
    assert torch.allclose(found, wanted, atol=1e-12)
