"""The final run of a tuning, as real processes: what was selected is trained, and the tuning reported."""

from pathlib import Path

import pytest
from live_runs import Bench, strict_json
from tuning_logs import write_run

from grambench.config.presets import load_preset
from grambench.config.tuning import plan_tuning
from grambench.events.reader import read_run
from grambench.runner.tunings import create_tuning

pytestmark = pytest.mark.slow

LR = "encoder_optimizer.lr"


def test_a_tuning_that_was_left_after_its_first_half_ends_with_the_selected_settings(
    bench: Bench, tmp_path: Path
) -> None:
    sets = [f"tune.{LR}={{low=1e-4, high=1e-2}}", "training.epochs=1"]
    spec = load_preset(str(bench.preset), sets, ["gram-1s", "fast: gram-1e"])
    plan = plan_tuning(spec, str(bench.preset), 2)
    first = create_tuning(plan, spec, tmp_path, [])
    write_run(first, {"gram-1s.t1": 0.6, "fast.t0": 0.7})
    ended = bench.call("tune", "--resume", first, "--out", tmp_path, "--json")
    assert ended.code == 0, ended.err
    report = strict_json(ended.out)
    assert [(t["name"], t["settings"]) for t in report["trials"]] == [
        ("gram-1s.s0", plan.draws[1]),
        ("fast.s0", {}),
    ]
    assert all(trial["test"]["auc"] > 0 for trial in report["trials"])
    assert (report["tuning"]["run"], report["tuning"]["space"][LR]["high"]) == (first.name, 1e-2)
    (final,) = (path.parent for path in tmp_path.glob("*/tuning.json"))
    assert read_run(final).tuned == {"gram-1s": 2, "fast": 2}
