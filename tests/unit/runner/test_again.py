"""Whether a run can be gone on with: what its log says of how it began."""

import json
from pathlib import Path

import pytest

from grambench.config.spec import Spec, Training
from grambench.errors import ConfigError
from grambench.events.journal import Journal
from grambench.events.types import RunStarted
from grambench.runner.again import check_resumable
from grambench.runner.rundir import RUN_FILE, SUPERVISOR_LOG, create_run


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
