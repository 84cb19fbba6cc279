"""Which trials' predictions are copied: those of a label, whatever other labels train its strategy."""

from pathlib import Path

import pytest

from grambench.cli.export_predictions import export_predictions
from grambench.errors import ConfigError
from grambench.events import types as ev
from grambench.events.journal import Journal

LABELS = ("gram-1s", "lora")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Two labels of one strategy, scored, with their predictions."""
    names = tuple(f"{label}.s0" for label in LABELS)
    with Journal(tmp_path / "supervisor.jsonl") as journal:
        journal.append(ev.RunStarted("run", "demo", names, 1, strategies=dict.fromkeys(LABELS, "gram-1s")))
    for label, name in zip(LABELS, names, strict=True):
        (tmp_path / name).mkdir()
        (tmp_path / name / "test.zip").write_text(label)
        with Journal(tmp_path / name / "events.jsonl") as log:
            log.append(ev.TrialPlanned("gram-1s", 0, 10, 10, 4, 1, 1000, 100, label=label))
            log.append(ev.Evaluated("test", 1, 10, 2.0, {"auc": 0.5}, 90, 0, False, 0.1, True))
            log.append(ev.PredictionsWritten("test", "test.zip", True, 1, 0, 4, "", 0.1))
    return tmp_path


@pytest.mark.parametrize("label", LABELS)
def test_a_label_is_its_own_trials(label: str, run: Path, tmp_path: Path) -> None:
    into = tmp_path / "into"
    for name in (label, f"{label}.s0"):
        assert export_predictions(run, into, name) == [str(into / f"{label}.s0" / "test.zip")]
    assert (into / f"{label}.s0" / "test.zip").read_text() == label


def test_another_name_is_refused_with_those_that_there_are(run: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"No 'e2e' was scored.*Scored: gram-1s.s0, lora.s0"):
        export_predictions(run, tmp_path / "into", "e2e")
