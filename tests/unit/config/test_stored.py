"""A stored specification acts as the version acted by it that wrote it."""

import json
from pathlib import Path

import pytest

from grambench.config.spec import MultiStep, Spec
from grambench.config.stored import stored_spec
from grambench.runner.rundir import read_spec
from grambench.worker.main import read_spec as read_spec_in_worker
from grambench.worker.resume import _as_now

KEPT = next((Path(__file__).parents[2] / "kept_runs" / "0.1").glob("kept-*"))


def test_version_0_1_measured_the_drift_by_the_norm_and_moved_every_table_by_adagrad() -> None:
    for spec in (read_spec(KEPT)[1], read_spec_in_worker(KEPT)):
        assert spec.multi_step.auto_measure == "norm"
        assert spec.multi_step.table_optimizer == "adagrad"
        assert spec.multi_step.auto_drift == 0.4
    stored = json.loads((KEPT / "run.json").read_text())["spec"]
    assert _as_now(stored)["multi_step"] == spec.multi_step.model_dump(mode="json")


def test_what_this_version_stores_is_read_as_it_is() -> None:
    for measure in ("spread", "norm"):
        spec = Spec(multi_step=MultiStep(auto_measure=measure))
        assert stored_spec(spec.model_dump(mode="json")) == spec
    assert Spec().multi_step.auto_measure == "spread"


def test_unknown_fields_are_refused() -> None:
    with pytest.raises(ValueError, match="no_such_field"):
        stored_spec({"multi_step": {"no_such_field": 1}})
    assert _as_now(None) is None
