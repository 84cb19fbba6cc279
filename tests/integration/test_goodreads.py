"""Real book histories with a real pretrained encoder, bounded to a few steps."""

from pathlib import Path

import pytest
from live_runs import Bench, complaint, report_of

DATA = Path(__file__).parents[3] / "shared" / "data" / "goodreads"


@pytest.mark.slow
@pytest.mark.skipif(not DATA.is_dir(), reason=f"{DATA} with real book histories is not on this machine")
def test_three_families_train_on_goodreads(bench: Bench, minilm: Path) -> None:
    settings = {
        "encoder.model": minilm,
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
