"""Whether a run can be resumed: what its log says of how it began."""

import json
from pathlib import Path

import pytest

from grambench.config.spec import Spec, Training
from grambench.config.trials import TrialEntry
from grambench.errors import ConfigError
from grambench.events.journal import Journal
from grambench.events.types import RunStarted
from grambench.runner.resume import check_resumable
from grambench.runner.rundir import RUN_FILE, SUPERVISOR_LOG, create_run, read_spec, spec_digest
from grambench.worker.main import read_spec as worker_spec


@pytest.fixture
def edited(tmp_path: Path) -> Path:
    """A run whose batch size was edited afterwards."""
    spec = Spec(training=Training(strategies=("e2e",)))
    folder = create_run(spec, "demo", tmp_path, ["grambench"])
    document = json.loads((folder / RUN_FILE).read_text())
    document["spec"]["training"]["batch_size"] = 7
    (folder / RUN_FILE).write_text(json.dumps(document))
    return folder


def test_an_edit_is_listed_without_any_checkpoint(edited: Path) -> None:
    spec = Spec(training=Training(strategies=("e2e",)))
    began = RunStarted("run", "demo", ["e2e.s0"], 1, spec=spec.model_dump(mode="json"))
    Journal(edited / SUPERVISOR_LOG).append(began)
    with pytest.raises(ConfigError, match=rf"training.batch_size: {spec.training.batch_size}, now 7\. Undo"):
        check_resumable(edited)


def test_an_edit_of_a_run_without_a_log_is_refused_without_a_list(edited: Path) -> None:
    with pytest.raises(ConfigError, match=r"was edited since the run began\. Undo"):
        check_resumable(edited)


def test_a_run_of_version_01_keeps_repeated_answers(tmp_path: Path) -> None:
    """Its specification does not have the field; asking for its preset again is asking for the same."""
    spec = Spec(training=Training(strategies=("e2e",)))
    folder = create_run(spec, "demo", tmp_path, ["grambench"])
    document = json.loads((folder / RUN_FILE).read_text())
    del document["spec"]["data"]["repeated_answers"]
    document["spec_sha256"] = spec_digest(document["spec"])
    (folder / RUN_FILE).write_text(json.dumps(document))
    assert spec.data.repeated_answers == "error"
    assert read_spec(folder)[1].data.repeated_answers == worker_spec(folder).data.repeated_answers == "keep"
    check_resumable(folder, spec)
    first = spec.data.model_copy(update={"repeated_answers": "first"})
    with pytest.raises(ConfigError, match=r'data\.repeated_answers: "keep", now "first"'):
        check_resumable(folder, spec.model_copy(update={"data": first}))


def test_a_changed_setting_of_one_trial_is_another_run(tmp_path: Path) -> None:
    def spec(rate: float) -> Spec:
        fast = TrialEntry(label="fast", strategy="gram-1e", settings={"encoder_optimizer.lr": rate})
        return Spec(trials=(TrialEntry(strategy="e2e"), fast))

    folder = create_run(spec(1e-3), "demo", tmp_path, ["grambench"])
    check_resumable(folder, spec(1e-3))
    words = r"trials\.fast\.settings\.encoder_optimizer\.lr: 0\.001, now 0\.002\. Use"
    with pytest.raises(ConfigError, match=words):
        check_resumable(folder, spec(2e-3))
    with pytest.raises(ConfigError, match="trials: "):
        check_resumable(folder, Spec(training=Training(strategies=("e2e", "gram-1e"))))
