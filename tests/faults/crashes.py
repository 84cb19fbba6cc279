"""What tests of faults share: numbers that must not change, and workers without a supervisor."""

import shutil
from pathlib import Path
from typing import Any

from live_runs import report_of, until

from grambench.events.reader import read_run
from grambench.events.state import TrialState
from grambench.reports.build import write_report
from grambench.runner.starts import WorkerStarts
from grambench.runner.workers import Worker

OFTEN = ("--set", "training.checkpoint_s=0.05")
"""Checkpoints after nearly every step, so that a kill hits all that can be hit."""
LONGER = ("--set", "training.epochs=6", "--set", "training.patience=6")


def numbers_of(run: Path) -> dict[str, Any]:
    """Everything of a report that no clock decides, by trial."""
    return {trial["name"]: _numbers(trial) for trial in report_of(run)["trials"]}


def _numbers(trial: dict[str, Any]) -> dict[str, Any]:
    scores = ("epoch", "step", "auc", "mrr", "ndcg_at_5", "ndcg_at_10", "impressions")
    evaluations = [*trial["validations"], trial["best_validation"], trial["test"]]
    windows = ("closed", "mean_steps", "mean_unique_items", "mean_drift", "mean_pseudo_loss")
    return {
        "outcome": trial["outcome"],
        "steps": trial["steps"],
        "epochs": trial["epochs_finished"],
        "reuse_ratio": trial["reuse_ratio"],
        "scores": [{name: found[name] for name in scores} for found in evaluations if found],
        "windows": {name: trial["windows"][name] for name in windows},
    }


def fresh_copy(run: Path, to: Path) -> Path:
    """A run whose setup is done and whose trials have not begun."""
    shutil.copytree(run, to)
    for log in to.glob("*.s0"):
        shutil.rmtree(log)
    return to


def trial_of(run: Path, name: str) -> TrialState:
    """A trial as the logs tell it now."""
    return read_run(run).trials[name]


def start_worker(run: Path, name: str, starts: WorkerStarts | None = None) -> Worker:
    """A worker with an endless turn; `starts`: forks it, None: it starts plainly."""
    worker = Worker(run, name, start=starts)
    worker.grant(1)
    return worker


def wait_for(worker: Worker, timeout_s: float = 240.0) -> int:
    """Its exit code."""
    code = until(lambda: (worker.wait(0.05),) if worker.wait(0) is not None else None, "a worker", timeout_s)
    worker.close()
    assert code[0] is not None
    return code[0]


def reported(run: Path) -> dict[str, Any]:
    """The report as the files tell it now."""
    write_report(run)
    return report_of(run)
