"""A strategy of another package in a real run: it trains, is audited, and the report names its package.

The run selects by MRR.
"""

import os
from pathlib import Path

import pytest
from live_runs import Bench, complaint, strict_json
from plugin_packages import EXAMPLE, install, install_example


def test_a_strategy_of_another_package_trains_and_is_audited(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_example(tmp_path)
    monkeypatch.setitem(bench.variables, "PYTHONPATH", f"{tmp_path}{os.pathsep}{EXAMPLE}")
    ended = bench.run("--json", "--strategies", "gram-halves", "--set", "evaluation.select_by=mrr").wait()
    assert ended.code == 0, ended.err
    report = strict_json(ended.out)
    (trial,) = report["trials"]
    assert trial["outcome"] == "completed"
    assert trial["plan"]["package"] == "grambench-halves 0.1"
    assert report["run"]["selected_by"] == "mrr"
    assert trial["best_validation"]["mrr"] == max(found["mrr"] for found in trial["validations"])
    (audited,) = report["audit"]["plugins"]
    assert audited["package"] == "grambench-halves 0.1"
    assert audited["equivalent"]
    assert max(audited["encoder_relative"], audited["filter_relative"]) <= 1e-10


def test_a_broken_or_missing_plugin_is_one_sentence_and_exit_code_2(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = bench.run("--strategies", "gram-halves").wait()
    install(tmp_path, "half-done", "2.0", {"gram-halves": "no_such_module:ROW"})
    monkeypatch.setitem(bench.variables, "PYTHONPATH", str(tmp_path))
    broken = bench.run("--strategies", "gram-halves").wait()
    assert (missing.code, broken.code) == (2, 2)
    assert "unknown strategy 'gram-halves'" in complaint(missing.err)
    assert "of the plug-in half-done 2.0 cannot be loaded: ModuleNotFoundError" in complaint(broken.err)
