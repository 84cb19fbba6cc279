"""Hand-made runs: `run.json` and logs with times of our choosing."""

import json
from pathlib import Path
from typing import Any

from grambench.config.changes import spec_digest
from grambench.config.spec import Spec
from grambench.config.trial_name import TrialName
from grambench.events import types as ev
from grambench.events.codec import Stamp, encode
from grambench.events.types import Event

HOST: dict[str, Any] = {
    "hostname": "box",
    "os": "Linux-6",
    "cpu_model": "AMD EPYC",
    "physical_cores": 2,
    "logical_cores": 4,
    "memory_total_bytes": 16 << 30,
    "python": "3.11.7",
    "packages": {"torch": "2.6.0", "grambench": "0.1.0", "textual": None},
    "git_commit": "0123456789abcdef",
    "git_dirty": True,
    "gpus": [],
    "driver": None,
    "reasons": {"gpus": "Driver Not Loaded", "driver": "Driver Not Loaded", "packages.textual": "x"},
}
COUNTS: dict[str, Any] = {"items": 100, "parts": {"train": {"impressions": 40, "unknown_history": 0}}}


class Run:
    """A run's folder that events are written into, one per call."""

    def __init__(self, folder: Path, spec: dict[str, Any] | None = None, **changes: Any) -> None:
        self.folder = folder
        self._seq: dict[str, int] = {}
        resolved = Spec.model_validate(spec or {}).model_dump(mode="json")
        content = {
            "schema_version": 1,
            "run": "demo-1",
            "preset": "demo",
            "spec": resolved,
            "spec_sha256": spec_digest(resolved),
            "created": "2025-01-01T00:00:00Z",
            "command": ["grambench", "run", "--preset", "demo"],
            "host": HOST,
        }
        (folder / "run.json").write_text(json.dumps(content | changes))

    def log(self, source: str, t_s: float, *events: Event, boot: str = "b") -> None:
        """Append events at `t_s` seconds to the log of `source` (empty: the supervisor's)."""
        path = self.path(source)
        path.parent.mkdir(exist_ok=True)
        with path.open("ab") as file:
            for event in events:
                seq = self._seq[source] = self._seq.get(source, -1) + 1
                file.write(encode(event, Stamp(seq, int(t_s * 1e9), boot, f"wall {t_s}")))

    def path(self, source: str) -> Path:
        return self.folder / source / "events.jsonl" if source else self.folder / "supervisor.jsonl"


def run_started(*trials: str) -> ev.RunStarted:
    return ev.RunStarted("demo-1", "demo", list(trials), 11, "TinyBERT", "MIND")


def worker_started(trial: str, gpu_uuid: str | None = None) -> ev.WorkerStarted:
    device = "cuda:0" if gpu_uuid else "cpu"
    return ev.WorkerStarted(trial, 12, device, "AMD EPYC", gpu_uuid, {"torch": "2.6.0"}, 2, "fp32")


def planned(strategy: str, seed: int = 0, **changes: Any) -> ev.TrialPlanned:
    fields: dict[str, Any] = {
        "strategy": strategy,
        "seed": seed,
        "steps_per_epoch": 10,
        "max_steps": 20,
        "batch_size": 4,
        "window_steps": 1,
        "encoder_parameters": 1000,
        "filter_parameters": 100,
    }
    return ev.TrialPlanned(**fields | changes)


def progress(step: int, train_s: float, **changes: Any) -> ev.Progress:
    """4 samples, 20 occurrences, 10 unique items, 10 encodings and 50 tokens a step."""
    fields: dict[str, Any] = {
        "epoch": 1 + step // 10,
        "step": step,
        "train_s": train_s,
        "encode_s": train_s / 2,
        "samples": 4 * step,
        "occurrences": 20 * step,
        "unique_items": 10 * step,
        "items_encoded": 10 * step,
        "tokens_encoded": 50 * step,
        "loss": 1.0,
        "encoder_lr": 1e-4,
        "filter_lr": 1e-3,
    }
    return ev.Progress(**fields | changes)


def epoch_finished(epoch: int, train_s: float) -> ev.EpochFinished:
    return ev.EpochFinished(epoch, 10, train_s, 40, 200, 100, 100, 500)


def evaluated(part: Any, epoch: int, train_s: float, auc: float | None, **changes: Any) -> ev.Evaluated:
    fields: dict[str, Any] = {
        "part": part,
        "epoch": epoch,
        "step": 10 * epoch,
        "train_s": train_s,
        "metrics": {"auc": auc, "mrr": 0.3, "ndcg@5": 0.35, "ndcg@10": 0.4},
        "impressions": 90,
        "skipped": 10,
        "sampled": False,
        "seconds": 0.5,
        "best": True,
    }
    return ev.Evaluated(**fields | changes)


def write_trial(
    run: Run,
    name: str,
    t_s: float,
    epoch_s: float,
    aucs: tuple[float, float],
    test_auc: float = 0.6,
    **plan: Any,
) -> float:
    """A whole trial of two epochs from `t_s` on, `plan` in its plan; returns when it ended."""
    trial = TrialName.parse(name)
    assert trial is not None
    end_s = t_s + 2 * epoch_s + 3
    run.log("", t_s, ev.WorkerSpawned(name, 12), ev.TurnGranted(name, 1))
    run.log(
        name,
        t_s,
        worker_started(name),
        ev.PhaseEntered("load"),
        planned(**{"strategy": trial.label, "seed": trial.seed} | plan),
    )
    run.log("", t_s + 0.5, ev.ProcessSample(name, 12, rss_bytes=500))
    run.log(name, t_s + 1, ev.PhaseEntered("train"))
    best = 0.0
    for epoch, auc in enumerate(aucs, 1):
        at_s, train_s = t_s + 1 + epoch * epoch_s, epoch * epoch_s
        run.log(name, at_s, progress(10 * epoch, train_s), epoch_finished(epoch, epoch_s))
        run.log(name, at_s, evaluated("validation", epoch, train_s, auc, best=auc > best))
        best = max(best, auc)
    run.log("", end_s - 1, ev.ProcessSample(name, 12, rss_bytes=900))
    run.log(name, end_s, evaluated("test", 2, 2 * epoch_s, test_auc), ev.PhaseEntered("done"))
    run.log(name, end_s, ev.TrialFinished("completed"))
    run.log("", end_s, ev.WorkerExited(name, 0))
    return end_s


def write_setup(run: Run, t_s: float = 1.0, counts: dict[str, Any] | None = None) -> None:
    run.log("", t_s, ev.WorkerSpawned("setup", 11), ev.TurnGranted("setup", 0))
    run.log("setup", t_s, worker_started("setup"), ev.PhaseEntered("prepare"))
    run.log("setup", t_s + 1, ev.DataPrepared("/data", "f1", counts or COUNTS, 0.5, False))
    run.log("setup", t_s + 2, ev.AuditFinished(True, 1e-9, 16, 80, 40, 1e-12, 2e-11, 3e-12, 4e-11, 0.1))
    run.log("setup", t_s + 2, ev.TrialFinished("completed"))
    run.log("", t_s + 2, ev.WorkerExited("setup", 0))


def write_whole(folder: Path, spec: dict[str, Any] | None = None, **changes: Any) -> Run:
    """e2e at 10 s an epoch, gram-1s at 4 s: two finished epochs each, on a CPU."""
    run = Run(folder, spec, **changes)
    run.log("", 0, run_started("e2e.s0", "gram-1s.s0"), ev.GpuAbsent("Driver Not Loaded"))
    run.log("", 0, ev.HostSample(10.0, 5, 10))
    write_setup(run)
    end_s = write_trial(run, "e2e.s0", 4, 10.0, (0.60, 0.70), test_auc=0.65)
    end_s = write_trial(run, "gram-1s.s0", end_s, 4.0, (0.694, 0.68), test_auc=0.66)
    run.log("", end_s, ev.RunFinished(0, end_s))
    return run


def write_seeds(
    folder: Path,
    seeds: tuple[int, ...],
    epoch_s: float = 4.0,
    test_auc: float = 0.66,
    spec: dict[str, Any] | None = None,
    exit_code: int = 0,
    **changes: Any,
) -> Path:
    """A run of the folder's name: e2e at 10 s an epoch and gram-1s, whose seconds grow by 1 % a seed."""
    folder.mkdir()
    run = Run(folder, spec, run=folder.name, **changes)
    run.log("", 0, run_started(*(f"{label}.s{seed}" for seed in seeds for label in ("e2e", "gram-1s"))))
    write_setup(run)
    end_s = 4.0
    for seed in seeds:
        end_s = write_trial(run, f"e2e.s{seed}", end_s, 10.0, (0.60, 0.70), test_auc=0.65)
        own_s = epoch_s * (1 + seed / 100)
        end_s = write_trial(run, f"gram-1s.s{seed}", end_s, own_s, (0.694, 0.70), test_auc + seed / 10_000)
    run.log("", end_s, ev.RunFinished(exit_code, end_s))
    return folder
