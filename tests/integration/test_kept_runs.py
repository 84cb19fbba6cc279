"""Run folders of earlier versions are listed, reported, shown, replayed and resumed."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from live_runs import Bench, until

from grambench.events.reader import read_run
from grambench.events.state import TrialState
from grambench.worker.resume import identity

KEPT = Path(__file__).parents[1] / "kept_runs"
RUN = "kept-20261127-123413"
EPOCHS_BEFORE = 5
"""Epochs of `gram-1e` that version 0.1 had validated."""
ANOTHER_CPU = 0.03
"""What the last bits of another processor may do to an AUC of 60 impressions; here it is 0."""


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """A copy of version 0.1's run in a folder of runs."""
    shutil.copytree(KEPT / "0.1" / RUN, tmp_path / "runs" / RUN)
    return tmp_path / "runs"


def test_it_is_listed(bench: Bench, runs: Path) -> None:
    listed = bench.call("runs", "--json", "--out", runs)
    (row,) = json.loads(listed.out)
    assert {name: row[name] for name in ("run", "state", "exit_code", "trials_done", "trials")} == {
        "run": RUN,
        "state": "interrupted",
        "exit_code": 75,
        "trials_done": 2,
        "trials": 3,
    }
    assert (row["preset"], row["created"]) == ("kept.toml", "2026-11-27T12:34:13+00:00")
    assert (row["strategies"], row["fastest"]) == (["e2e", "gram-1e", "gram-1s"], "gram-1e")
    assert (row["conclusion"], row["complaints"]) == (None, [])


def test_its_report_is_rebuilt_from_its_logs(bench: Bench, runs: Path) -> None:
    kept = json.loads((runs / RUN / "report.json").read_text())
    (runs / RUN / "report.json").unlink()
    rebuilt = bench.call("report", RUN, "--out", runs)
    assert rebuilt.code == 0, rebuilt.err
    now = json.loads(rebuilt.out)
    for before, after in zip(kept["trials"], now["trials"], strict=True):
        for name in ("test", "best_validation", "epochs_finished", "times", "reuse_ratio", "speedups"):
            assert without_target(after[name]) == without_target(before[name]), name
        assert before["times"]["target_source"].startswith("99 % of the best validation AUC")
        assert after["times"]["target_source"] == "the best validation AUC of e2e less the margin"
    assert {name: now["audit"][name] for name in kept["audit"] if name != "reasons"} == {
        name: value for name, value in kept["audit"].items() if name != "reasons"
    }
    assert "vectors" in now["audit"]["reasons"]


REDEFINED = {"target_auc", "target_source", "train_s_to_target", "samples_per_s_low", "samples_per_s_high"}
"""What schema 2 defines anew: the target, and intervals of speed-ups over processes in place of epochs."""


def without_target(section: Any) -> Any:
    if not isinstance(section, dict):
        return section
    return {name: without_target(value) for name, value in section.items() if name not in REDEFINED}


def test_its_end_is_watched(bench: Bench, runs: Path) -> None:
    watched = bench.call("watch", RUN, "--plain", "--out", runs)
    assert watched.code == 0, watched.err
    assert "gram-1e: interrupted" in watched.err


def test_it_is_replayed(bench: Bench, runs: Path) -> None:
    with bench.terminal("replay", RUN, "--speed", "64", "--out", runs, columns=120, lines=40) as terminal:
        terminal.until_says("gram-1e")
        terminal.type(b"q")
        assert terminal.wait() == 0


@pytest.mark.slow
def test_it_is_resumed_where_it_stopped(bench: Bench, runs: Path) -> None:
    """On another torch the checkpoint is refused by name; here every epoch's AUC is that of version 0.1."""
    resumed = bench.start("run", "--resume", RUN, "--out", runs, "--plain")

    def look() -> TrialState | None:
        trial = read_run(runs / RUN).trials["gram-1e.s0"]
        resumed_epochs = len(trial.evaluations) - EPOCHS_BEFORE
        return trial if trial.resumed_steps and (resumed_epochs >= 3 or trial.outcome == "failed") else None

    trial = until(look, "three more epochs of gram-1e")
    resumed.interrupt()
    if trial.outcome == "failed":
        assert "torch: " in trial.reason
        pytest.skip(trial.reason)
    assert resumed.wait().code == 75, resumed.err
    assert trial.resumed_steps == [312]
    wanted = json.loads((KEPT / "0.1" / "resumed.json").read_text())["validation_auc"]["gram-1e.s0"]
    found = [evaluation.metrics["auc"] for evaluation in trial.evaluations]
    assert found == pytest.approx(wanted[: len(found)], abs=ANOTHER_CPU)


def test_another_torch_is_named(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    from grambench.errors import ConfigError
    from grambench.runner.rundir import read_spec
    from grambench.training.checkpoint import read_manifest
    from grambench.worker.resume import folder_of, newest

    monkeypatch.setattr(torch, "__version__", "9.9.9")
    checkpoints = folder_of(runs / RUN, "gram-1e.s0")
    place, _ = checkpoints.newest()
    assert place is not None
    fingerprint = read_manifest(place)["data_fingerprint"]
    now = identity(read_spec(runs / RUN)[1], fingerprint, torch.device("cpu"))
    with pytest.raises(ConfigError, match=r'torch: "2\.13\.0\+cpu", now "9\.9\.9"'):
        newest(checkpoints, now)
