"""A report with everything that figures and tables show: six seeds, windows, energy, factors, cautions."""

import json
from pathlib import Path
from typing import Any

import report_logs as logs
from report_logs import Run

from grambench.events import types as ev
from grambench.reports.build import build_report
from grambench.reports.schema import Report

SEEDS = range(6)
PLANS: dict[str, tuple[float, float, int, float]] = {
    "e2e": (10.0, 0.650, 1, 1.0),
    "gram-1s": (4.6, 0.6502, 1, 2.3),
    "gram-10s": (2.2, 0.652, 10, 6.0),
    "gram-1e": (0.9, 0.645, 10, 30.0),
}
"""Label -> seconds of an epoch, test AUC, steps of a window, reuse ratio."""
EPOCHS = 4


def rich_report(folder: Path, **changes: Any) -> Report:
    """The report of a run on a GPU whose power is 200 W."""
    folder.mkdir(exist_ok=True)
    run = Run(folder, **{"run": folder.name} | changes)
    names = [f"{label}.s{seed}" for seed in SEEDS for label in PLANS]
    run.log("", 0, logs.run_started(*names), ev.Warned("low-disk", "Only 2 GB are left on the disk"))
    logs.write_setup(run)
    end_s = 4.0
    for seed in SEEDS:
        for label in PLANS:
            end_s = _write(run, label, seed, end_s)
    run.log("", end_s, ev.RunFinished(0, end_s))
    return _with_energy(build_report(folder))


def _write(run: Run, label: str, seed: int, t_s: float) -> float:
    epoch_s, test, steps, reuse = PLANS[label]
    epoch_s, name = epoch_s * (1 + 0.01 * seed), f"{label}.s{seed}"
    run.log("", t_s, ev.WorkerSpawned(name, 12), ev.TurnGranted(name, 1))
    run.log(name, t_s, logs.worker_started(name), ev.PhaseEntered("load"))
    run.log(name, t_s, logs.planned(label, seed, window_steps=steps), ev.PhaseEntered("train"))
    for epoch in range(1, EPOCHS + 1):
        at_s, train_s = t_s + epoch * epoch_s, epoch * epoch_s
        run.log(name, at_s, *_epoch(epoch, epoch_s, steps, reuse))
        auc = test + 0.02 - 0.08 / epoch**2 + 0.001 * ((seed * 7 + epoch) % 5 - 2)
        run.log(name, at_s, logs.evaluated("validation", epoch, train_s, auc))
    end_s = t_s + EPOCHS * epoch_s + 1
    peak = int((3 - PLANS[label][3] / 20) * (1 << 30))
    run.log("", end_s - 0.5, ev.ProcessSample(name, 12, rss_bytes=peak + seed))
    score = test + 0.0004 * (seed * 3 % 5 - 2)
    run.log(name, end_s, logs.evaluated("test", EPOCHS, EPOCHS * epoch_s, score), ev.PhaseEntered("done"))
    run.log(name, end_s, ev.TrialFinished("completed"))
    run.log("", end_s, ev.WorkerExited(name, 0))
    return end_s


def _epoch(epoch: int, epoch_s: float, steps: int, reuse: float) -> list[ev.Event]:
    step, train_s = 10 * epoch, epoch * epoch_s
    unique = round(20 * step / reuse)
    encoded = unique * (1 if steps == 1 else 2)
    counts = {"occurrences": 20 * step, "unique_items": unique, "items_encoded": encoded}
    done = logs.progress(
        step, train_s, encode_s=train_s * (0.9 if steps == 1 else 0.5), tokens_encoded=11 * encoded, **counts
    )
    closed = ev.WindowClosed(epoch, step, 10, unique, 20 * step, 0.4 / epoch, 0.1, 0.1, reuse_ratio=reuse)
    return [done, *([closed] if steps > 1 else []), logs.epoch_finished(epoch, epoch_s)]


def _with_energy(report: Report) -> Report:
    fields = json.loads(report.model_dump_json())
    fields["run"]["spec_sha256"] = "0" * 64  # the golden files outlive new settings
    for trial in fields["trials"]:
        train_s = trial["times"]["train_s"]
        trial["energy"] = {"reasons": {}, "joules": 200 * train_s, "source": "counter"}
        trial["curves"]["energy"] = [[x, 200 * x] for x in (0.1, train_s / 2, train_s)]
    return Report.model_validate_json(json.dumps(fields))
