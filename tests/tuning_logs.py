"""Hand-made logs of the two runs of a tuning."""

from pathlib import Path

from grambench.config.trial_name import TrialName
from grambench.errors import ExitCode
from grambench.events import types as ev
from grambench.events.journal import Journal
from grambench.reports.tuning import trials_tried
from grambench.runner.names import trial_names
from grambench.runner.rundir import read_spec


def write_run(folder: Path, scores: dict[str, float | None], *, until: str = "") -> None:
    """Logs of a run that ends before trial `until`; trials score by label, without a score they diverge."""
    spec = read_spec(folder)[1]
    names, labels = trial_names(spec), {entry.label: entry.strategy for entry in spec.entries}
    with Journal(folder / "supervisor.jsonl") as journal:
        dumped = spec.model_dump(mode="json")
        journal.append(
            ev.RunStarted(
                folder.name, "demo", names, 1, spec=dumped, strategies=labels, tuned=trials_tried(folder)
            )
        )
        for name in names:
            if name == until:
                journal.append(ev.RunFinished(int(ExitCode.INTERRUPTED), 1.0))
                return
            (folder / name).mkdir(exist_ok=True)
            label = (TrialName.parse(name) or TrialName("", 0)).label
            with Journal(folder / name / "events.jsonl") as log:
                for event in trial_events(label, labels[label], scores.get(label, 0.5), spec.evaluation.test):
                    log.append(event)
            journal.append(ev.WorkerExited(name, 0))
        scored = [scores.get(label, 0.5) for label in labels]
        code = ExitCode.PARTIAL if None in scored else ExitCode.OK
        journal.append(ev.RunFinished(int(code), 1.0))


def trial_events(label: str, strategy: str, auc: float | None, test: bool) -> list[ev.Event]:
    scored = ev.Evaluated("validation", 1, 10, 2.0, {"auc": auc}, 90, 0, False, 0.1, True)
    planned = ev.TrialPlanned(strategy, 0, 10, 10, 4, 1, 1000, 100, label=label)
    progress = ev.Progress(1, 10, 2.0, 1.0, 40, 200, 100, 100, 500, 1.0, 1e-4, 1e-3)
    if auc is None:
        return [planned, progress, ev.TrialFinished("diverged", "the loss was not finite")]
    tested = [ev.Evaluated("test", 1, 10, 2.0, {"auc": auc}, 90, 0, False, 0.1, True)] if test else []
    return [planned, progress, scored, *tested, ev.TrialFinished("completed")]
