"""Poolings, on padding at either side, and in every layout."""

import pytest
import torch
from tiny_systems import item_tokens, tiny_encoder

from grambench.models.encoders.buckets import ItemEncoder
from grambench.models.encoders.packed import PackedRows
from grambench.models.encoders.states import CachedItemEncoder, LayerStates
from grambench.models.pooling import MaskedFirst, MaskedLast, make_pooling

VECTORS = torch.arange(24.0, dtype=torch.float64).reshape(2, 4, 3)
RIGHT = torch.tensor([[True, True, True, False], [True, False, False, False]])
ONE = torch.tensor([[True, True, True, True], [False, False, True, False]])


@pytest.mark.parametrize(
    ("mask", "first", "last"),
    [(RIGHT, (0, 0), (2, 0)), (RIGHT.flip(1), (1, 3), (3, 3)), (ONE, (0, 2), (3, 2))],
)
def test_first_and_last_skip_padding_at_either_side(
    mask: torch.Tensor, first: tuple[int, ...], last: tuple[int, ...]
) -> None:
    for pooling, places in ((MaskedFirst(), first), (MaskedLast(), last)):
        wanted = torch.stack([row[place] for row, place in zip(VECTORS, places, strict=True)])
        assert torch.equal(pooling(VECTORS, mask), wanted)


def test_only_attention_has_weights() -> None:
    counts = {
        name: sum(p.numel() for p in make_pooling(name, 4, 3).parameters())
        for name in ("attention", "mean", "cls", "last")
    }
    assert counts == {"attention": 4 * 3 + 3 + 3, "mean": 0, "cls": 0, "last": 0}


@pytest.mark.parametrize(("pooling", "place"), [("cls", 0), ("last", -1)])
def test_every_layout_pools_the_models_own_state_of_that_token(pooling: str, place: int) -> None:
    encoder, tokens = tiny_encoder(pooling=pooling).eval(), item_tokens(longest=40)
    items = torch.tensor([5, 0, 5, 12, 3]).numpy()
    states = CachedItemEncoder(LayerStates(encoder, tokens, 256, in_fp16=False), 256)
    wanted = []
    for item in items:
        ids = torch.from_numpy(tokens.host_flat[slice(*tokens.host_offsets[item : item + 2])].astype("int64"))
        wanted.append(encoder.backbone(input_ids=ids[None]).last_hidden_state[0, place])
    layouts = (None, PackedRows(40, 256))
    found = [ItemEncoder(encoder, tokens, 256, layout)(items) for layout in layouts]
    for vectors in (*found, states(items)):
        assert torch.allclose(vectors, torch.stack(wanted), rtol=0, atol=1e-10)
