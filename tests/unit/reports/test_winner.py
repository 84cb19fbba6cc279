"""Which trial is the one to keep."""

from pathlib import Path

import pytest
from exported_runs import WrittenRun

from grambench.errors import ConfigError, DataError, GrambenchError
from grambench.events import types as ev
from grambench.reports.build import build_report
from grambench.reports.winner import trial_to_keep


def validation(auc: float, mrr: float) -> ev.Evaluated:
    metrics: dict[str, float | None] = {"auc": auc, "mrr": mrr}
    return ev.Evaluated("validation", 1, 7, 0.5, metrics, 40, 0, False, 0.1, best=True)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Trials that ended in many ways; the null test has the best score of all."""
    written = WrittenRun.of(tmp_path_factory.mktemp("runs"))
    scored: dict[str, tuple[float, float, ev.Outcome | None]] = {
        "e2e.s0": (0.60, 0.4, "completed"),
        "gram-1e.s0": (0.61, 0.3, "early-stopped"),
        "gram-1e.s1": (0.59, 0.3, "completed"),
        "null-e2e.s0": (0.90, 0.9, "completed"),
        "gram-1s.s0": (0.80, 0.8, "stopped"),
        "gram-10s.s0": (0.80, 0.8, "interrupted"),
        "gram-auto.s0": (0.80, 0.8, None),
    }
    written.log("", 0, ev.RunStarted(written.folder.name, "demo", [*scored, "crcf-1s.s0"], 1))
    for name, (auc, mrr, outcome) in scored.items():
        written.log(name, 1, ev.PhaseEntered("train"), validation(auc, mrr))
        if outcome is not None:
            written.log(name, 2, ev.TrialFinished(outcome))
    written.log("crcf-1s.s0", 1, ev.PhaseEntered("train"), ev.TrialFinished("failed", "no memory", 4))
    return written.folder


@pytest.mark.parametrize(
    ("wanted", "name", "how"),
    [
        (None, "gram-1e.s0", "gram-1e.s0 has a validation AUC of 0.6100, the best of 3 trials."),
        ("gram-1e", "gram-1e.s0", "gram-1e.s0 has a validation AUC of 0.6100, the best of 2 trials."),
        ("gram-1e.s1", "gram-1e.s1", "gram-1e.s1 has a validation AUC of 0.5900."),
        ("gram-1s", "gram-1s.s0", "gram-1s.s0 has a validation AUC of 0.8000."),
        ("null-e2e", "null-e2e.s0", "null-e2e.s0 has a validation AUC of 0.9000."),
    ],
)
def test_the_best_on_validation_is_kept(run: Path, wanted: str | None, name: str, how: str) -> None:
    trial, said = trial_to_keep(build_report(run), wanted)
    assert (trial.name, said) == (name, how)


def test_another_metric_may_decide(run: Path) -> None:
    report = build_report(run)
    by_mrr = report.model_copy(update={"run": report.run.model_copy(update={"selected_by": "mrr"})})
    assert trial_to_keep(by_mrr, None)[0].name == "e2e.s0"


@pytest.mark.parametrize(
    ("wanted", "kind", "words"),
    [
        ("gram", ConfigError, r"no trial 'gram'\. Its trials are e2e\.s0, gram-1e\.s0,"),
        (
            "gram-auto",
            ConfigError,
            r"gram-auto\.s0 has not ended \(phase train\)\. Wait for its end, or resume",
        ),
        ("gram-10s.s0", ConfigError, r"gram-10s\.s0 was interrupted\. Wait for its end, or resume"),
        ("crcf-1s", DataError, r"No validation has selected weights of crcf-1s\."),
    ],
)
def test_what_cannot_be_kept(run: Path, wanted: str, kind: type[GrambenchError], words: str) -> None:
    with pytest.raises(kind, match=words):
        trial_to_keep(build_report(run), wanted)


def test_a_run_without_scores_has_no_winner(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"No validation has selected weights of the run\."):
        trial_to_keep(build_report(WrittenRun.of(tmp_path).folder), None)
