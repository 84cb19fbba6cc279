"""A specification of version 0.1 trains as it did, also where today's defaults are others."""

import json
from pathlib import Path
from typing import Any

import pytest

from grambench.config.changes import differences
from grambench.config.kept import as_kept, read_kept
from grambench.config.optimizer import RowOptimizer
from grambench.config.renamed import with_new_names
from grambench.config.spec import Spec
from grambench.runner.rundir import read_spec
from grambench.worker.main import read_spec as read_spec_in_worker
from grambench.worker.resume import _as_now

RUN = next((Path(__file__).parents[2] / "kept_runs" / "0.1").glob("kept-*/run.json"))


@pytest.fixture
def written() -> dict[str, Any]:
    """The specification of version 0.1's own run."""
    spec: dict[str, Any] = json.loads(RUN.read_text())["spec"]
    return spec


def test_what_version_0_1_did_not_have_stays_as_it_was(written: dict[str, Any]) -> None:
    written["filter_optimizer"] = {"lr": 0.003, "schedule": "noam", "warmup_steps": 7}
    spec = read_kept(written)
    assert (
        spec.crcf.optimizer
        == spec.nocontent.optimizer
        == RowOptimizer(lr=0.003, schedule="noam", warmup_steps=7)
    )
    assert (spec.crcf.start, spec.nofinetune.pooling, spec.crcf.pull) == ("random", "untrained", 0.1)
    assert (spec.speedyfeed.draw, spec.speedyfeed.expiry) == ("item", 20)
    assert (spec.gram_auto.measure, spec.multi_step.table_optimizer) == ("norm", "adagrad")
    assert (spec.gram_auto.drift, spec.data.repeated_answers) == (0.4, "keep")
    assert spec.evaluation.every == "1e"
    assert (spec.filter.lstm.masks, Spec().filter.lstm.masks) == ("torch", "counter")
    assert _as_now(written) == spec.model_dump(mode="json")
    for spec in (read_spec(RUN.parent)[1], read_spec_in_worker(RUN.parent)):
        assert spec == read_kept(json.loads(RUN.read_text())["spec"])


def test_asking_for_todays_defaults_is_asking_for_what_a_kept_run_did(written: dict[str, Any]) -> None:
    kept, (renamed, _) = read_kept(written).model_dump(mode="json"), with_new_names(written)
    today = {
        **kept,
        "crcf": {**kept["crcf"], "start": "content"},
        "data": {**kept["data"], "repeated_answers": "error"},
    }
    assert differences(kept, as_kept(today, kept, renamed)) == []
    other = {**kept, "data": {**kept["data"], "repeated_answers": "first"}}
    assert differences(kept, as_kept(other, kept, renamed)) == ['data.repeated_answers: "keep", now "first"']
    own = {**kept, "encoder": {**kept["encoder"], "pooling": f"own-or-{kept['encoder']['pooling']}"}}
    assert differences(kept, as_kept(own, kept, renamed)) == []
    last = {**kept, "encoder": {**kept["encoder"], "pooling": "last"}}
    assert len(differences(kept, as_kept(last, kept, renamed))) == 1
    masks = {**kept["filter"]["lstm"], "masks": "counter"}
    counted = {**kept, "filter": {**kept["filter"], "lstm": masks}}
    assert differences(kept, as_kept(counted, kept, renamed)) == []
    slower = {**kept, "gram_auto": {**kept["gram_auto"], "drift": 0.7}}
    assert len(differences(kept, as_kept(slower, kept, renamed))) == 1


def test_a_run_of_today_is_read_as_it_was_written() -> None:
    specs = [Spec(), Spec(crcf={"start": "random", "optimizer": {"lr": 0.2}})]
    specs += [Spec(gram_auto={"measure": measure}) for measure in ("spread", "norm")]
    for spec in specs:
        assert read_kept(spec.model_dump(mode="json")) == spec
    assert (Spec().speedyfeed.draw, Spec().speedyfeed.expiry) == ("step", 2)
    assert (Spec().crcf.start, Spec().nofinetune.pooling, Spec().crcf.pull) == (
        "content",
        "trained",
        0.03,
    )


@pytest.mark.parametrize("damaged", [None, [], "spec", {"speedyfeed": 3}, {"unheard_of": 1}])
def test_what_is_no_specification_is_left_to_the_comparison(damaged: Any) -> None:
    with pytest.raises((ValueError, TypeError, AttributeError)):
        read_kept(damaged)
    assert _as_now(damaged) == damaged
